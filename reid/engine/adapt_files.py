"""Adapt features of any project to a site's cameras, from feature files alone."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from reid.adaptation import CameraNoiseDenoiser, Choice, NoiseSettings, fit_noise, save_denoiser
from reid.engine.adaptation import choice_dict, choice_lines, count_used, spectrum_dict
from reid.evaluation import FeatureSet
from reid.evaluation.feature_files import (
    SavedFeatures,
    check_feature_output,
    read_features,
    write_features,
)
from reid.utils import InputError


@dataclass(frozen=True, eq=False)
class FileAdaptation:
    """What was fitted on a file of features.

    Args:
        source: The file.
        choice: What was fitted.
        pairs: What was paired.
        num_images: Its rows that were used: of known cameras, where pairs are of cameras.
        num_cameras: Their cameras.
        seconds: For the fit.
        written: The files that were written.
    """

    source: str
    choice: Choice
    pairs: str
    num_images: int
    num_cameras: int
    seconds: float
    written: Sequence[Path]

    def as_text(self) -> str:
        """What was judged and done, for reading."""
        lines = choice_lines(self.choice, self.pairs, self.num_images, self.num_cameras)
        if self.choice.denoiser is None:
            lines.append("not adapted: features are written as they were")
        lines.append(f"{self.seconds:.1f} s for {self.source}")
        return "\n".join([*lines, *(f"wrote {path}" for path in self.written)])

    def as_dict(self) -> dict[str, Any]:
        """The same for machines."""
        return choice_dict(self.choice, self.pairs) | {
            "features": self.source,
            "num_images": self.num_images,
            "num_cameras": self.num_cameras,
            "seconds": self.seconds,
            "written": [str(path) for path in self.written],
            **spectrum_dict(self.choice),
        }


def adapt_files(
    features: Path, out: Path, settings: NoiseSettings, denoised: Sequence[tuple[Path, Path]] = ()
) -> FileAdaptation:
    """Fit a denoiser on a file of features, write it, and write other files denoised by it.

    Where nothing helps, no denoiser is written and the files keep their features.

    Args:
        features: ``.npz``, ``.mat`` or ``.pt`` with the cameras; identities are not read, unless they number
            tracklets.
        out: The ``.npz`` to write, for ``load_denoiser``.
        settings: How.
        denoised: Files to read, and the ``.npz`` to write for each.

    Raises:
        InputError: If a file cannot be read, is of another width, or as ``fit_noise``.
        OSError: If a file cannot be written.
    """
    sources = [path for path, _ in denoised]
    check_feature_output(out, features, *sources)
    for number, (_, target) in enumerate(denoised):
        check_feature_output(target, features, out, *sources, *(other for _, other in denoised[:number]))
    table = read_features(features).table
    sides = [read_features(path) for path in sources]
    for side in sides:
        if side.table.feats.shape[1] != table.feats.shape[1]:
            raise InputError(
                f"{side.source} must have features of {table.feats.shape[1]} numbers as {features}, they have"
                f" {side.table.feats.shape[1]}; name features of one model"
            )
    start = time.perf_counter()
    columns = (table.feats.numpy(), table.camids.numpy(), table.pids.numpy())
    choice = fit_noise(*columns, settings, progress=True)
    seconds = time.perf_counter() - start
    # All are denoised before the first is written: one that cannot be leaves nothing behind.
    results = [_denoised(side, choice.denoiser) for side in sides]
    written = []
    if choice.denoiser is not None:
        save_denoiser(out, choice.denoiser)
        written.append(out)
    for side, table, (_, target) in zip(sides, results, denoised, strict=True):
        paths = np.full(len(table), "") if side.paths is None else side.paths
        write_features(target, table, paths, side.identities)
        written.append(target)
    used = count_used(columns[1], settings.pairs)
    return FileAdaptation(str(features), choice, settings.pairs, *used, seconds, written)


def _denoised(side: SavedFeatures, denoiser: CameraNoiseDenoiser | None) -> FeatureSet:
    table = side.table
    if denoiser is None:
        return table
    try:
        feats = denoiser.apply(table.feats.numpy(), table.camids.numpy())
    except InputError as error:
        raise InputError(f"{side.source}: {error}") from error
    return FeatureSet(torch.from_numpy(feats), table.pids, table.camids)
