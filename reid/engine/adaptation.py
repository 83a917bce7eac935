"""What an adaptation did: for reading, and for machines."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reid.adaptation import Candidate, Choice, Judgement
from reid.adaptation.choose import USUAL
from reid.evaluation import format_table
from reid.models import ReIDModel

SHOWN = 10  # eigenvalues
PAIRS = {
    "cameras": "pairs of images that different cameras took",
    "tracklets": "pairs of images of one tracklet",
    "neighbours": "pairs of neighbours of any camera",
}
CAVEATS = {
    "tracklets": "what differs between cameras is not seen in pairs of one tracklet",
    "neighbours": "pairs of any camera were seen to gain about half as much as pairs of different cameras",
}
WAYS_BACK = (
    "ways back: from an image to its nearest of another camera, and 1/rank of the image among those nearest"
    " to that one; a mean, higher is better"
)


def choice_lines(choice: Choice, pairs: str, num_images: int, num_cameras: int) -> list[str]:
    """What was judged and fitted, for reading.

    Args:
        choice: The result.
        pairs: What was paired.
        num_images: That it was fitted on.
        num_cameras: Their cameras; 0 where they are unknown.
    """
    lines = []
    if choice.candidates:
        rows = [
            [c.setting.describe(), *_judged(c), "<- chosen" if c.setting == choice.setting else ""]
            for c in choice.candidates
        ]
        head = ["setting", "ways back before", "after", "standard error", "held-out images", ""]
        lines += [WAYS_BACK, format_table(head, rows)]
        if len(rows) > 1 and any((c.setting.k, c.setting.shrinkage) == USUAL for c in choice.candidates):
            rule = (
                f"k = {USUAL[0]}, r = {USUAL[1]:g}, one mean is kept unless another is better by more than a"
            )
            lines.append(f"{rule} standard error")
    if choice.denoiser is None or choice.setting is None:
        judged = "no setting leads more ways back by more than a standard error"
        reason = choice.reason or (judged if choice.candidates else "not asked for")
        return [*lines, f"camera noise: left alone, {reason}"]
    denoiser = choice.denoiser
    share = denoiser.noise_spectrum / denoiser.noise_spectrum.sum()
    shown = ", ".join(f"{value:.1%}" for value in share[:SHOWN])
    half = int(np.searchsorted(np.cumsum(share), 0.5)) + 1
    cameras = f"{num_cameras} cameras" if num_cameras else "unknown cameras"
    lines += [
        f"camera noise: {denoiser.num_pairs} {PAIRS[pairs]}, among {num_images} images of {cameras}",
        *([CAVEATS[pairs]] if pairs in CAVEATS else []),
        f"its eigenvalues, shares of the whole: {shown}, ...; {half} of {len(share)} hold a half",
    ]
    setting = choice.setting.describe_map() if pairs == "tracklets" else choice.setting.describe()
    lines.append(_how_taken(choice, setting))
    known = len(denoiser.camera_means)
    if choice.setting.mean_per_camera and known < num_cameras:
        lines.append(f"{known} of {num_cameras} cameras have a mean of their own, the others too few images")
    return lines


def _how_taken(choice: Choice, setting: str) -> str:
    """The words for the setting that was taken: who asked for it, or what spoke for it."""
    if choice.reason:
        return f"taken unjudged: {setting}; {choice.reason}"
    if not any(c.judgement.is_better for c in choice.candidates if c.setting == choice.setting):
        return f"taken because it was asked for: {setting}; no more ways lead back, by a standard error"
    return f"{'chosen without labels' if len(choice.candidates) > 1 else 'taken as given'}: {setting}"


def count_used(camids: NDArray[np.int64], pairs: str) -> tuple[int, int]:
    """Images that can be paired, those of known cameras where pairs are of cameras, and their cameras."""
    known = camids[camids >= 0]
    return len(known if pairs == "cameras" else camids), len(np.unique(known))


def choice_dict(choice: Choice, pairs: str) -> dict[str, Any]:
    """The same for machines."""
    denoiser = choice.denoiser
    return {
        "denoised": denoiser is not None,
        "pairs": pairs,
        "num_pairs": denoiser.num_pairs if denoiser else 0,
        "reason": choice.reason,
        "chosen": vars(choice.setting) if choice.setting else None,
        "candidates": [
            vars(c.setting) | vars(c.judgement) | {"gain": c.judgement.gain} for c in choice.candidates
        ],
    }


def spectrum_dict(choice: Choice) -> dict[str, Any]:
    """The eigenvalues, which come last: they are many lines."""
    return {"noise_spectrum": choice.denoiser.noise_spectrum.tolist() if choice.denoiser else []}


@dataclass(frozen=True, eq=False)
class Adaptation:
    """What was done.

    Args:
        model: A new model; the one that came in, unchanged, where nothing helps.
        familiar: Whether the images look like those of the training.
        batchnorm: Whether BatchNorm statistics were re-estimated.
        batchnorm_judgement: How new statistics were judged; None where they were not tried, or not judged.
        choice: What was fitted on the embeddings.
        pairs: What was paired: ``cameras``, ``tracklets`` or ``neighbours``.
        num_images: Images that it was fitted on.
        num_cameras: Their cameras.
        seconds: For all but the extraction of features.
    """

    model: ReIDModel
    familiar: bool
    batchnorm: bool
    batchnorm_judgement: Judgement | None
    choice: Choice
    pairs: str
    num_images: int
    num_cameras: int
    seconds: float

    @property
    def is_changed(self) -> bool:
        """Whether anything was adapted."""
        return self.batchnorm or self.choice.denoiser is not None

    @property
    def is_folded(self) -> bool:
        """Whether the denoising lies in the network's own layers."""
        return self.choice.denoiser is not None and self.model.embedding_denoiser is None

    def as_text(self) -> str:
        """What was judged and done, for reading."""
        lines = []
        if self.familiar:
            lines.append(
                "warning: these images look like those that the model was trained on, where adapting gains"
                " little and a weak shrinkage was seen to lose: only r of 3 and more, and one mean, are tried"
            )
        statistics = "re-estimated" if self.batchnorm else "as they were"
        if self.batchnorm_judgement is not None:
            gain, error = self.batchnorm_judgement.gain, self.batchnorm_judgement.error
            statistics += f"; new ones change the ways back by {gain:+.4f} (standard error {error:.4f})"
            if not self.choice.candidates:
                lines.append(WAYS_BACK)
        lines.append(f"BatchNorm statistics: {statistics}")
        lines += choice_lines(self.choice, self.pairs, self.num_images, self.num_cameras)
        if self.choice.denoiser is not None:
            where = "folded into the network's layers" if self.is_folded else "one linear layer behind it"
            lines.append(f"in the checkpoint: {where}")
        if self.model.spec.site is not None:
            lines.append(
                "embed(images, camids) takes each camera's own mean; an image of unknown camera takes a"
                " second map, with one mean"
            )
        if not self.is_changed:
            lines.append("not adapted: the model stays as it was")
        lines.append(f"{self.seconds:.1f} s after the features")
        return "\n".join(lines)

    def as_dict(self) -> dict[str, Any]:
        """The same for machines."""
        judgement = self.batchnorm_judgement
        return choice_dict(self.choice, self.pairs) | {
            "familiar": self.familiar,
            "batchnorm": self.batchnorm,
            "batchnorm_judgement": vars(judgement) | {"gain": judgement.gain} if judgement else None,
            "folded": self.is_folded,
            "num_images": self.num_images,
            "num_cameras": self.num_cameras,
            "seconds": self.seconds,
            **spectrum_dict(self.choice),
        }


def _judged(candidate: Candidate) -> list[str]:
    judgement = candidate.judgement
    figures = [f"{value:.4f}" for value in (judgement.before, judgement.after, judgement.error)]
    return [*figures, str(judgement.num_images)]
