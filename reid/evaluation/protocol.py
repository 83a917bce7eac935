"""How a figure was come by, in one line."""

from dataclasses import dataclass

from reid.evaluation.rerank import ReRanking
from reid.evaluation.similarity import METRICS
from reid.utils import InputError, unknown_choice

NECK_FEATS = ("before", "after")


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """What two results must share to be comparable.

    Args:
        dataset: Title of the data set with its version, e.g. ``MSMT17 V1``.
        training: What the weights come from, e.g. ``trained on its train+val split (32621 images)``.
        metric: ``cosine`` or ``euclidean``.
        reranking: How the rankings were re-ranked; None where they were not.
        flip: Whether features are the mean over an image and its mirror image.
        neck_feat: Whether features are taken ``before`` or ``after`` the BNNeck.
        num_query: Number of queries.
        num_gallery: Number of gallery images.
        num_trials: Draws of query and gallery that the figures are means over.
        one_match: Whether no query has more than one true match, which makes mAP the mean reciprocal rank.

    Raises:
        InputError: If the metric or the neck feature is unknown.
    """

    dataset: str
    training: str
    metric: str
    reranking: ReRanking | None = None
    flip: bool = False
    neck_feat: str
    num_query: int
    num_gallery: int
    num_trials: int = 1
    one_match: bool = False

    def __post_init__(self) -> None:
        if self.metric not in METRICS:
            raise InputError(unknown_choice("metric", self.metric, METRICS))
        if self.neck_feat not in NECK_FEATS:
            raise InputError(unknown_choice("neck feature", self.neck_feat, NECK_FEATS))

    def describe(self) -> str:
        """Name all of it in one line."""
        return ", ".join(
            [
                self.dataset,
                self.training,
                f"{self.metric} metric",
                self.reranking.describe() if self.reranking else "no re-ranking",
                "flip" if self.flip else "no flip",
                f"feature {self.neck_feat} BNNeck",
                f"{self.num_query} queries",
                f"{self.num_gallery} gallery images",
                *([f"mean of {self.num_trials} trials"] if self.num_trials > 1 else []),
                *(["mAP is the mean reciprocal rank"] if self.one_match else []),
            ]
        )
