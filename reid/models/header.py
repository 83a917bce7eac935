"""What a checkpoint says of itself: enough to rebuild its model without a configuration."""

import json
import platform
import reprlib
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

import timm
import torch
import torchvision

import reid
from reid.denoise import NoiseSchedule, attach_denoisers
from reid.denoise.timesteps import read_rule
from reid.models.feature import FEATURE, denoise_feature
from reid.models.fields import read_fields
from reid.models.preprocessing import Preprocessing
from reid.models.reid_model import ReIDModel
from reid.models.spec import ModelSpec
from reid.models.training import Training
from reid.utils import InputError

FORMAT = "denoisereid-1"
MAX_TIMESTEPS = 10**5


@dataclass(frozen=True)
class DenoiseSpec:
    """How denoisers are attached: the arguments of ``attach_denoisers``, or ``feature`` for DenoiseRep-.

    Raises:
        InputError: If a number is outside its range, or ``feature`` is one of several targets.
    """

    targets: tuple[str, ...] = ("mlp",)
    steps: int = 1
    timesteps: int = 1000
    beta_start: float = 1e-4
    beta_end: float = 2e-3
    rescale: bool = True
    t_rule: str = "depth"
    strength: float = 1.0

    def __post_init__(self) -> None:
        for name, value in (("steps", self.steps), ("timesteps", self.timesteps)):
            if not 1 <= value <= MAX_TIMESTEPS:
                raise InputError(f"{name} must be in 1..{MAX_TIMESTEPS}, got {value}")
        if FEATURE in self.targets and len(self.targets) > 1:
            raise InputError(f"the target {FEATURE} (DenoiseRep-) stands alone, got {list(self.targets)}")
        if not 0 <= self.strength <= 1:
            raise InputError(f"strength must be in 0..1, got {self.strength}")
        try:
            # One rule has one spelling, so that equal settings are equal: 007 is 7.
            object.__setattr__(self, "t_rule", str(read_rule(self.t_rule)))
            self.schedule()
        except ValueError as error:
            raise InputError(str(error)) from error

    def schedule(self) -> NoiseSchedule:
        """The noise schedule of the denoisers."""
        return NoiseSchedule(self.timesteps, self.beta_start, self.beta_end, self.rescale)

    @property
    def is_fusable(self) -> bool:
        """Whether the denoisers lie in layers that they fold into."""
        return FEATURE not in self.targets

    def attach(self, model: ReIDModel) -> ReIDModel:
        """Return a copy of ``model`` with denoisers.

        Raises:
            InputError: If they cannot be attached.
        """
        options = (self.schedule(), self.steps, self.t_rule, self.strength)
        try:
            if not self.is_fusable:
                return denoise_feature(model, *options)
            return attach_denoisers(model, self.targets, *options)
        except ValueError as error:
            raise InputError(f"denoisers cannot be attached to {model.spec.name}: {error}") from error


@dataclass(frozen=True)
class Header:
    """What a checkpoint says of itself.

    Args:
        model: How to build the model.
        preprocessing: What its images must go through.
        denoise: How denoisers are attached; None for a plain model.
        state: ``none`` (never denoised), ``attached`` or ``fused``.
        training: What the weights come from; None where that is unknown.
        versions: Of the packages that wrote it.

    Raises:
        InputError: If denoisers are attached but it is not said how.
    """

    model: ModelSpec
    preprocessing: Preprocessing
    denoise: DenoiseSpec | None = None
    state: Literal["none", "attached", "fused"] = "none"
    training: Training | None = None
    versions: dict[str, str] = field(default_factory=lambda: package_versions())

    def __post_init__(self) -> None:
        if self.state == "attached" and self.denoise is None:
            raise InputError("denoise must say how the denoisers are attached, got None")

    @property
    def is_adapted(self) -> bool:
        """Whether the last that was done to the model was to adapt it to a site."""
        is_last = self.training is not None and self.training.stage == "adaptation"
        return self.model.adapted or is_last

    def as_json(self) -> str:
        """The header as JSON text."""
        return json.dumps({"format": FORMAT, **asdict(self)})

    @classmethod
    def from_json(cls, text: str, path: Path) -> "Header":
        """Read the header back.

        Raises:
            InputError: If it is of another format or version, naming the first field that does not fit.
        """
        try:
            tree = json.loads(text)
            found = tree.pop("format", None) if isinstance(tree, dict) else None
            if found != FORMAT:
                raise ValueError(f"format must be {FORMAT}, got {reprlib.repr(found)}")
            return read_fields(cls, tree)
        # RecursionError: lists in lists in lists.
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path} has a header that this version cannot read: {error}") from error


def package_versions() -> dict[str, str]:
    """Versions of what computes a feature, and of Python."""
    return {
        "reid": reid.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "timm": timm.__version__,
    }
