"""Write a model for another runtime, and keep the file only if it computes what the model computes."""

import contextlib
import copy
import io
import json
import logging
import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

import reid
from reid.denoise import denoised_layers, fuse_denoisers
from reid.export.network import ExportNetwork
from reid.export.plain import plain_keys
from reid.models import Preprocessing, ReIDModel
from reid.utils import InputError, unknown_choice, write_atomically

FORMATS = ("plain", "onnx", "torchscript", "torch_export")
SUFFIXES = {".onnx": "onnx", ".pt2": "torch_export", ".ts": "torchscript", ".torchscript": "torchscript"}
BATCHES = (1, 2, 5)
# What the exporters of torch and onnxscript raise; writing a file raises OSError.
EXPORTER_FAULTS = (RuntimeError, ValueError, TypeError)
SIDE_TABLE = "base.sie_embed"
Call = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Settings:
    """How to export.

    Args:
        format: One of ``FORMATS``.
        keys: Of a plain file.
        with_preprocessing: Whether images come as RGB 0..255 of the model's size and are normalised inside.
        tolerance: Largest difference to the model, over the length of a feature.

    Raises:
        InputError: If the tolerance is negative or not finite.
    """

    format: str
    keys: str = "timm"
    with_preprocessing: bool = False
    tolerance: float = 1e-4

    def __post_init__(self) -> None:
        if not 0 <= self.tolerance < math.inf:
            raise InputError(f"the tolerance must be a finite number of at least 0, got {self.tolerance:g}")


@dataclass(frozen=True)
class Difference:
    """The largest difference of the file's features to the model's.

    Args:
        absolute: Of one number.
        relative: Of a feature, over its length.
    """

    absolute: float
    relative: float


def pick_format(path: Path, name: str | None) -> str:
    """The format that is named, or that the file's suffix tells.

    Raises:
        InputError: If it is unknown, or the suffix is of several.
    """
    if name is None and path.suffix.lower() not in SUFFIXES:
        raise InputError(f"--format must be one of {', '.join(FORMATS)}, the suffix of {path} tells none")
    found = name or SUFFIXES[path.suffix.lower()]
    if found not in FORMATS:
        raise InputError(unknown_choice("format", found, FORMATS))
    return found


def export_model(
    model: ReIDModel, preprocessing: Preprocessing, path: Path, images: Tensor, settings: Settings
) -> Difference:
    """Write ``model`` to ``path``, fused, and compare the file's features with the model's own.

    Args:
        model: On the CPU, in eval mode; left as it was. Denoisers are fused where there are some.
        preprocessing: Of its images.
        path: The file; as it was where anything is refused.
        images: (N, 3, H, W) float32, prepared, or RGB 0..255 with preprocessing inside; in batches of 1, 2
            and 5, over again where there are fewer.
        settings: How.

    Raises:
        InputError: If the model cannot be expressed, the exporter fails, is not installed or cannot write to
            such a path, or the file's features differ by more than the tolerance.
        OSError: If the file cannot be written.
    """
    pick_format(path, settings.format)
    if settings.format == "onnx" and not _is_utf8(path):
        raise InputError(f"onnx writes to paths of UTF-8 only, got {str(path)!r}; name another file")
    fused = fuse_denoisers(model) if denoised_layers(model) else model
    scale = (preprocessing.mean, preprocessing.std) if settings.with_preprocessing else None
    if scale and settings.format == "plain":
        raise InputError("plain weights hold no preprocessing; leave out --with-preprocessing")
    network = ExportNetwork(fused, scale).requires_grad_(False)
    batches = [images.repeat(-(-count // len(images)), 1, 1, 1)[:count] for count in BATCHES]
    eager = ExportNetwork(model, scale)
    expected = [eager(batch) for batch in batches]
    with write_atomically(path) as temporary:
        call = _write(network, preprocessing, temporary, batches[1], settings)
        found = [call(batch) for batch in batches]
        difference = _compare(found, expected)
        # Written so that NaN is refused too.
        if not difference.relative <= settings.tolerance:
            raise InputError(
                f"the exported features must differ by at most {settings.tolerance:g} of their length, they"
                f" differ by {difference.relative:.1e}; nothing was written"
            )
    return difference


def _is_utf8(path: Path) -> bool:
    try:
        str(path.absolute()).encode()
    except UnicodeEncodeError:
        return False
    return True


def _write(
    network: ExportNetwork, preprocessing: Preprocessing, path: Path, example: Tensor, settings: Settings
) -> Call:
    """Write the file, and return what it computes."""
    if settings.format == "plain":
        return _write_plain(network.model, path, settings.keys)
    writers = {"onnx": _write_onnx, "torchscript": _write_torchscript, "torch_export": _write_program}
    metadata = {
        "name": network.model.spec.name,
        "size": json.dumps(preprocessing.size),
        "mean": json.dumps(preprocessing.mean),
        "std": json.dumps(preprocessing.std),
        "interpolation": preprocessing.interpolation,
        "antialias": "true",
        "input": "RGB 0..255" if settings.with_preprocessing else "normalised RGB",
        "dim": str(network.model.dim),
        "denoisereid": reid.__version__,
    }
    try:
        with _quiet():
            return writers[settings.format](network, path, example, metadata)
    except ModuleNotFoundError as error:
        package = str(error.name).split(".")[0]
        raise InputError(
            f'{settings.format} needs the package {package}: pip install "denoisereid[onnx]"'
        ) from error
    except EXPORTER_FAULTS as error:
        words = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise InputError(
            f"{settings.format} must be able to express {network.model.spec.name}, its exporter failed: "
            f"{words}; try another format"
        ) from error


def _write_plain(model: ReIDModel, path: Path, keys: str) -> Call:
    names = plain_keys(model, keys)
    state = model.state_dict()
    tensors = {
        new: state[old].unsqueeze(1) if new == SIDE_TABLE else state[old] for new, old in names.items()
    }
    with path.open("wb") as file:
        torch.save(tensors, file)
    read = torch.load(path, weights_only=True)
    again = copy.deepcopy(model)
    own = {old: read[new].squeeze(1) if new == SIDE_TABLE else read[new] for new, old in names.items()}
    again.load_state_dict(own, strict=False)
    return again.embed


def _write_torchscript(network: ExportNetwork, path: Path, example: Tensor, metadata: dict[str, str]) -> Call:
    with torch.no_grad():
        traced = torch.jit.trace(network, example, check_trace=False)
    # To memory: of a path torch takes the archive's name, which must not be empty.
    content = io.BytesIO()
    torch.jit.save(traced, content, _extra_files={"metadata.json": json.dumps(metadata)})
    path.write_bytes(content.getvalue())
    return torch.jit.load(io.BytesIO(path.read_bytes()))


def _write_program(network: ExportNetwork, path: Path, example: Tensor, metadata: dict[str, str]) -> Call:
    shapes = {"images": {0: torch.export.Dim("batch", min=1)}}
    program = torch.export.export(network, (example,), dynamic_shapes=shapes)
    # To memory: on a disk that fills up torch's writer ends the process.
    content = io.BytesIO()
    torch.export.save(program, content, extra_files={"metadata.json": json.dumps(metadata)})
    path.write_bytes(content.getvalue())
    return torch.export.load(io.BytesIO(path.read_bytes())).module()


def _write_onnx(network: ExportNetwork, path: Path, example: Tensor, metadata: dict[str, str]) -> Call:
    import onnx
    import onnxruntime

    program = torch.onnx.export(
        network,
        (example,),
        dynamo=True,
        dynamic_shapes={"images": {0: torch.export.Dim("batch", min=1)}},
        input_names=["images"],
        output_names=["features"],
        verbose=False,
    )
    content = cast(torch.onnx.ONNXProgram, program).model_proto
    onnx.helper.set_model_props(content, metadata)
    onnx.save(content, str(path))
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda batch: torch.from_numpy(session.run(["features"], {"images": batch.numpy()})[0])


def _compare(found: list[Tensor], expected: list[Tensor]) -> Difference:
    if any(mine.shape != its.shape for mine, its in zip(found, expected, strict=True)):
        raise InputError("the exported features must have the model's shapes, they have others")
    mine, its = torch.cat(found).double(), torch.cat(expected).double()
    gap = mine - its
    lengths = its.norm(dim=1).clamp(min=1e-12)
    return Difference(float(gap.abs().max()), float((gap.norm(dim=1) / lengths).max()))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence torch's exporters, which print and warn about what the comparison tests."""
    loggers = [logging.getLogger(name) for name in ("torch", "torch.onnx", "onnxscript", "torch.export")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            for logger in loggers:
                logger.setLevel(logging.ERROR)
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
