"""Evaluate a model on a data set's test images, and say under which protocol."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import mean

import torch
from torch.utils.data import DataLoader

from reid.data import Batch, ReIDDataset, iterate
from reid.data.matches import count_matches
from reid.engine.distributed import ALONE, World
from reid.engine.side import knows_cameras_of, log_unknown, table_of
from reid.evaluation import (
    EvaluationResult,
    FeatureSet,
    Protocol,
    ReRanking,
    evaluate_trials,
    extract_features,
    log_lines,
)
from reid.models import ReIDModel

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Evaluator:
    """Everything about an evaluation but the model.

    Args:
        dataset: With test images and at least one trial.
        loader: The test images, in order; with several processes those of this one, ``world.rows``.
        metric: ``cosine`` or ``euclidean``.
        device: Where features are computed.
        training: What the model was trained on, in the words of a protocol.
        reranking: How the rankings are re-ranked; None leaves them.
        world: The processes that share the images; each computes features of its own, once.
        flip: Whether a feature is the mean of those of the image and its mirror image.
        backend: ``torch`` or ``faiss``, which searches on ``device``.
    """

    dataset: ReIDDataset
    loader: DataLoader
    metric: str
    device: torch.device
    training: str
    reranking: ReRanking | None = None
    world: World = ALONE
    flip: bool = False
    backend: str = "torch"

    def extract(self, model: ReIDModel, *, progress: bool = True) -> FeatureSet:
        """Features of all test images, on every process; the model is moved to the device.

        Args:
            model: What embeds them.
            progress: Whether the main process shows a bar.

        Raises:
            InputError: If an image cannot be read or a feature is not finite.
        """
        log_unknown(table_of(model.spec), self.dataset.name, self.dataset.test)
        if len(self.loader) == 0:  # fewer images than processes
            model.to(self.device)
            return self._join(None)
        shown = progress and self.world.is_main
        found = self.embed(model, iterate(self.loader), len(self.loader), progress=shown)
        return found if self.world.size == 1 else self._join(found)

    def embed(
        self, model: ReIDModel, batches: Iterable[Batch], total: int, *, progress: bool = False
    ) -> FeatureSet:
        """Features of images, the model being told of the cameras that it knows.

        Args:
            model: Moved to the evaluator's device, and evaluated as it is.
            batches: The images with their labels.
            total: How many batches there are, for the progress bar.
            progress: Whether to show it.

        Returns:
            (N, D) features with identities and cameras, in the order of the images.
        """
        return extract_features(
            model.to(self.device),
            batches,
            self.device,
            side_information=knows_cameras_of(table_of(model.spec), self.dataset.name),
            flip=self.flip,
            progress=progress,
            total=total,
        )

    def _join(self, own: FeatureSet | None) -> FeatureSet:
        """The features of all processes, each in its place: no image twice, none missing."""
        test, parts = self.dataset.test, self.world.gather_objects(None if own is None else own.feats.numpy())
        width = next(part.shape[1] for part in parts if part is not None)
        feats = torch.empty(len(test), width)
        for rank, part in enumerate(parts):
            if part is not None:
                feats[rank :: self.world.size] = torch.from_numpy(part)
        return FeatureSet(feats, torch.from_numpy(test.pids), torch.from_numpy(test.camids))

    def evaluate(self, features: FeatureSet) -> EvaluationResult:
        """Metrics of features that :meth:`extract` gave, computed by the main process for all."""
        result = None
        if self.world.is_main:
            trials = self.dataset.trials
            result = evaluate_trials(
                features,
                trials,
                metric=self.metric,
                reranking=self.reranking,
                backend=self.backend,
                device=self.device if self.backend == "faiss" else None,
            )
        return self.world.from_main(result)

    def evaluate_and_log(self, model: ReIDModel, title: str) -> EvaluationResult:
        """Extract, evaluate and log the figures under their protocol."""
        result = self.evaluate(self.extract(model))
        logger.info("%s: %s", title, self.protocol(model).describe())
        for line in log_lines(result):
            logger.info(line)
        return result

    def protocol(self, model: ReIDModel) -> Protocol:
        """What a figure of this evaluation must be compared under."""
        trials = self.dataset.trials
        return Protocol(
            dataset=self.dataset.title,
            training=self.training,
            metric=self.metric,
            reranking=self.reranking,
            flip=self.flip,
            neck_feat=model.spec.neck_feat,
            num_query=round(mean(len(trial.query) for trial in trials)),
            num_gallery=round(mean(len(trial.gallery) for trial in trials)),
            num_trials=len(trials),
            one_match=all(count_matches(self.dataset.test, trial).max() == 1 for trial in trials),
        )
