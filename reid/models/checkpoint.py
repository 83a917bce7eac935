"""Our checkpoint: a plain state dict and a header that rebuilds the model without a config."""

import json
import platform
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import timm
import torch
import torchvision

import reid
from reid.denoise import NoiseSchedule, attach_denoisers
from reid.models.reid_model import ModelSpec, ReIDModel
from reid.models.weights import has_header, load_strictly, read_file
from reid.utils import InputError, write_atomically

FORMAT = "denoisereid-1"


@dataclass(frozen=True)
class Preprocessing:
    """How an image becomes the model's input.

    Args:
        size: Height and width in pixels.
        mean: Of the normalisation, RGB, on values in 0..1.
        std: Likewise.
    """

    size: tuple[int, int]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


@dataclass(frozen=True)
class DenoiseSpec:
    """How denoisers are attached: the arguments of ``attach_denoisers``."""

    targets: tuple[str, ...] = ("mlp",)
    steps: int = 1
    timesteps: int = 1000
    beta_start: float = 1e-4
    beta_end: float = 2e-3
    rescale: bool = True

    def attach(self, model: ReIDModel) -> ReIDModel:
        """Return a copy of ``model`` with denoisers.

        Raises:
            InputError: If they cannot be attached.
        """
        try:
            schedule = NoiseSchedule(self.timesteps, self.beta_start, self.beta_end, self.rescale)
            return attach_denoisers(model, self.targets, schedule, self.steps)
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
        training: Data set, rule, mode and epochs, for people to read.
        versions: Of the packages that wrote it.
    """

    model: ModelSpec
    preprocessing: Preprocessing
    denoise: DenoiseSpec | None = None
    state: Literal["none", "attached", "fused"] = "none"
    training: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=lambda: package_versions())

    def as_json(self) -> str:
        """The header as JSON text."""
        return json.dumps({"format": FORMAT, **asdict(self)})

    @classmethod
    def from_json(cls, text: str, path: Path) -> "Header":
        """Read the header back.

        Raises:
            InputError: If it is of another format or version.
        """
        try:
            tree = json.loads(text)
        except json.JSONDecodeError as error:
            raise InputError(f"{path} has a header that is no JSON: {error}") from error
        if not isinstance(tree, dict) or tree.pop("format", None) != FORMAT:
            raise InputError(f"{path} is no checkpoint of this version ({FORMAT})")
        try:
            tree["model"] = ModelSpec(**_tuples(tree["model"]))
            tree["preprocessing"] = Preprocessing(**_tuples(tree["preprocessing"]))
            tree["denoise"] = None if tree["denoise"] is None else DenoiseSpec(**_tuples(tree["denoise"]))
            header = cls(**tree)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise InputError(f"{path} has a header that this version cannot read: {error}") from error
        if header.state not in ("none", "attached", "fused"):
            raise InputError(f"{path} must be in state none, attached or fused, got {header.state!r}")
        if header.state == "attached" and header.denoise is None:
            raise InputError(f"{path} says that denoisers are attached but not how")
        return header


def package_versions() -> dict[str, str]:
    """Versions of what computes a feature, and of Python."""
    return {
        "reid": reid.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "timm": timm.__version__,
    }


def save_checkpoint(path: Path, model: ReIDModel, header: Header) -> None:
    """Write model and header, atomically.

    Raises:
        OSError: If the file cannot be written; an older one is then left as it was.
    """
    content = {"header": header.as_json(), "state_dict": model.state_dict()}
    with write_atomically(path) as temporary:
        torch.save(content, temporary)


def load_checkpoint(path: str | Path) -> tuple[ReIDModel, Header]:
    """Rebuild the model of a checkpoint of this toolkit, in eval mode on the CPU.

    Raises:
        InputError: If the file cannot be read safely, is no such checkpoint, or does not fit its header.
    """
    return rebuild(read_file(Path(path)), Path(path))


def rebuild(content: Any, path: Path) -> tuple[ReIDModel, Header]:
    """The model and header of what :func:`read_file` found in ``path``; see :func:`load_checkpoint`.

    Raises:
        InputError: If it is no such checkpoint, or does not fit its header.
    """
    if not has_header(content):
        raise InputError(f"{path} is no checkpoint of this toolkit; MODEL.PRETRAIN_PATH can start from it")
    header = Header.from_json(content["header"], path)
    if not isinstance(content.get("state_dict"), dict):
        raise InputError(f"{path} has a header but no state_dict")
    try:
        model = ReIDModel(header.model)
        if header.state == "attached" and header.denoise is not None:
            model = header.denoise.attach(model)
    except (TypeError, RuntimeError) as error:
        raise InputError(f"{path} has a header that describes no model: {error}") from error
    load_strictly(model, content["state_dict"], path)
    return model.eval(), header


def load_model(path: str | Path) -> ReIDModel:
    """Load a checkpoint for retrieval: ``load_model(path).embed(images)`` gives (B, D) features.

    Images (B, 3, H, W) must have gone through the checkpoint's preprocessing, see :func:`load_checkpoint`.

    Raises:
        InputError: As :func:`load_checkpoint`.
    """
    return load_checkpoint(path)[0]


def _tuples(tree: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in tree.items()}
