"""A gallery of features by id, which is added to, removed from, searched exactly, and kept in a file."""

import reprlib
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reid.evaluation.array_files import open_arrays
from reid.evaluation.faiss_flat import faiss_metric, import_faiss
from reid.evaluation.similarity import METRICS, check_finite, check_table, in_stable_order, unit_rows
from reid.models import ReIDModel
from reid.retrieval.mark import is_mark, is_same_mark, mark_of
from reid.utils import InputError, as_path, at_least_one, unknown_choice, write_atomically

KIND = "denoisereid-gallery-1"
WIDEST = 1 << 31  # faiss counts the numbers of a feature in 32 bits
ROWS = 1 << 16  # added at a time, so that features are not copied as a whole


class Gallery:
    """Features (N, D) under ids of one's own, searched exactly by faiss on the CPU.

    All calls may come from several threads: they take turns, and a search uses all cores by itself.

    Args:
        dim: Width D of a feature, such as ``model.dim``.
        metric: ``cosine``, or ``euclidean``, whose score is minus the squared distance.
        mark: (D,) what :meth:`check_model` knows a model by; :meth:`of` finds it. None takes any model.

    Raises:
        InputError: If faiss is missing, the metric unknown, the mark none, or ``dim`` not in 1..2^31 - 1.

    Example:
        >>> gallery = Gallery(2)
        >>> gallery.add([[1.0, 0.0], [0.0, 1.0]], ids=[7, 8])
        >>> ids, scores = gallery.search([[3.0, 1.0]], k=1)
        >>> ids.tolist()
        [[7]]
    """

    def __init__(self, dim: int, metric: str = "cosine", mark: NDArray[np.float32] | None = None) -> None:
        if metric not in METRICS:
            raise InputError(unknown_choice("metric", str(metric), METRICS))
        self.dim, self.metric = at_least_one(dim, "dim, the width of a feature,"), metric
        if self.dim >= WIDEST:
            raise InputError(f"dim, the width of a feature, must be below 2^31, got {dim}")
        if mark is not None and not is_mark(mark, self.dim):
            raise InputError(f"a mark must be ({dim},) finite float32, got {mark.shape} of {mark.dtype}")
        self._mark = mark
        self._faiss = import_faiss()
        self._flat = self._faiss.IndexFlat(self.dim, faiss_metric(self._faiss, metric))
        self._ids = np.empty(0, np.int64)
        self._lock = threading.RLock()

    @classmethod
    def of(cls, model: ReIDModel, metric: str = "cosine") -> "Gallery":
        """A gallery for the features of one model, which it and its file know again.

        Args:
            model: In eval mode, as ``load_model`` gives it.
            metric: As of the class.

        Raises:
            InputError: If the metric is unknown, or the model cannot embed.
        """
        return cls(model.dim, metric, mark_of(model))

    def check_model(self, model: ReIDModel) -> None:
        """Refuse another model than that of :meth:`of`, adapted or trained on from it, for one.

        Raises:
            InputError: If it gives another feature of one picture.
        """
        if self._mark is not None and not is_same_mark(self._mark, mark_of(model)):
            raise InputError(
                "the gallery holds another model's features, scores between the two mean nothing; embed its"
                " images with this model, into a new gallery"
            )

    def __len__(self) -> int:
        return len(self._ids)

    def __repr__(self) -> str:
        return f"Gallery({len(self)} features of {self.dim} numbers, {self.metric})"

    def __contains__(self, number: int) -> bool:
        return bool((self._ids == number).any())

    @property
    def ids(self) -> NDArray[np.int64]:
        """(N,) ids, in the order in which they were added."""
        return self._ids.copy()

    def add(self, feats: Any, ids: Sequence[int] | NDArray[np.int64] | Tensor) -> None:
        """Add features.

        Args:
            feats: (N, D) tensor or array of finite numbers, N may be 0; for ``cosine`` their length means
                nothing from 1e-18 on, and zero has the cosine 0 with everything.
            ids: (N,) whole numbers of 0 and more that are not in the gallery yet, each once.

        Raises:
            InputError: If one of these does not hold; then nothing is added.
        """
        numbers, rows = _numbers(ids), self._table(feats)
        parts = rows.split(ROWS)
        names = [f"given (from row {place * ROWS} on)" if place else "given" for place in range(len(parts))]
        lengths = [check_finite(part.float(), name) for part, name in zip(parts, names, strict=True)]
        if len(numbers) != len(rows):
            raise InputError(f"ids must be one for each of {len(rows)} features, got {len(numbers)}")
        values, counts = np.unique(numbers, return_counts=True)
        if (counts > 1).any():
            raise InputError(f"an id is given once, {int(values[counts > 1][0])} comes twice")
        with self._lock:
            known = np.intersect1d(values, self._ids, assume_unique=True)
            if len(known):
                raise InputError(f"id {int(known[0])} is in the gallery already; remove it first")
            for part, own in zip(parts, lengths, strict=True):
                self._flat.add(self._prepared(part.float(), own).numpy())
            self._ids = np.concatenate([self._ids, numbers])

    def remove(self, ids: Sequence[int] | NDArray[np.int64] | Tensor) -> None:
        """Remove features by their ids (N,); the others keep their order.

        Raises:
            InputError: If an id is not in the gallery; then nothing is removed.
        """
        numbers = _numbers(ids)
        with self._lock:
            missing = np.setdiff1d(numbers, self._ids)
            if len(missing):
                raise InputError(f"id {int(missing[0])} is not in the gallery of {len(self)}")
            is_gone = np.isin(self._ids, numbers)
            self._flat.remove_ids(self._faiss.IDSelectorBatch(np.flatnonzero(is_gone)))
            self._ids = self._ids[~is_gone]

    def search(self, feats: Any, k: int) -> tuple[Tensor, Tensor]:
        """Find the nearest features of each query.

        Args:
            feats: (Q, D) queries, Q may be 0, or (D,) one.
            k: How many to return; at most as many as there are.

        Returns:
            (Q, k) int64 ids, best first, and (Q, k) float32 scores, larger is closer. Equal scores come in
            the order in which they were added, those that share the last place too.

        Raises:
            InputError: If the gallery is empty, ``k`` below 1, or the queries are of another width or not
                finite.
        """
        rows = self._table(feats).float()
        rows = self._prepared(rows, check_finite(rows, "given"))
        k = at_least_one(k, "k, the number of features to find,")
        with self._lock:
            if not len(self):
                raise InputError("the gallery is empty: add features before searching")
            scores, places = self._nearest(rows, min(k, len(self)))
            ids = self._ids
        return torch.from_numpy(ids[places.numpy()]), scores

    def _nearest(self, rows: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """Scores and places (Q, k), of features that share the last place the first ones.

        faiss keeps any of those, so queries are searched twice as far until a lower score ends the tie.
        """
        wide = min(k + 1, len(self))
        scores, places = self._top(rows, wide)
        is_open = scores[:, k - 1] == scores[:, -1]
        scores, places = scores[:, :k], places[:, :k]
        while wide < len(self) and is_open.any():
            wide = min(2 * wide, len(self))
            further, seen = self._top(rows[is_open], wide)
            scores[is_open], places[is_open] = further[:, :k], seen[:, :k]
            is_open[is_open.clone()] = further[:, k - 1] == further[:, -1]
        return scores, places

    def _top(self, rows: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """What faiss finds, (Q, k) scores and places, equal scores by their places."""
        scores, places = self._flat.search(rows.numpy(), k)
        found = torch.from_numpy(scores if self.metric == "cosine" else -scores)
        return in_stable_order(found, torch.from_numpy(places))

    def save(self, path: str | Path) -> None:
        """Write the gallery to an ``.npz`` file, atomically.

        Raises:
            InputError: If the name does not end in ``.npz``.
            OSError: If the file cannot be written.
        """
        path = as_path(path)
        if path.suffix != ".npz":
            raise InputError(f"a gallery is an .npz file, got {path}; name it so")
        with self._lock, write_atomically(path) as temporary:
            # A view of the index's own memory: a copy of a million features would be gigabytes.
            count = len(self) * self.dim
            held = self._faiss.rev_swig_ptr(self._flat.get_xb(), count) if count else np.empty(0, np.float32)
            mark: dict[str, Any] = {} if self._mark is None else {"mark": self._mark}
            with temporary.open("wb") as file:
                np.savez(
                    file,
                    **mark,
                    kind=np.array(KIND),
                    metric=np.array(self.metric),
                    ids=self._ids,
                    features=held.reshape(len(self), self.dim),
                )

    @classmethod
    def load(cls, path: str | Path) -> "Gallery":
        """Read a gallery that :meth:`save` wrote.

        Raises:
            InputError: If the file is missing, damaged, or no gallery.
        """
        path = as_path(path)
        if path.suffix.lower() != ".npz":
            raise InputError(f"a gallery is an .npz file that Gallery.save wrote, got {path}")
        if not path.is_file():
            raise InputError(f"gallery not found: {path} is no file")
        found = open_arrays(path)
        if not {"kind", "metric", "ids", "features"} <= set(found.names) or str(found.read("kind")) != KIND:
            raise InputError(f"{path} is no gallery that Gallery.save wrote")
        feats, ids = found.read("features"), found.read("ids")
        if feats.ndim != 2 or feats.dtype != np.float32 or ids.dtype.kind not in "iu":
            raise InputError(f"{path} is no whole gallery: features {feats.shape}, ids {ids.shape}")
        try:
            mark = found.read("mark") if "mark" in found.names else None
            gallery = cls(feats.shape[1], str(found.read("metric")), mark)
            gallery.add(feats, ids)
        except InputError as error:
            raise InputError(f"{path} is no whole gallery: {error}") from error
        return gallery

    def _table(self, feats: Any) -> Tensor:
        """Features (N, D) as they came, of whatever type of numbers."""
        try:
            rows = feats if isinstance(feats, Tensor) else torch.as_tensor(_forwards(np.asarray(feats)))
            rows = rows.detach().cpu()
        except (TypeError, ValueError, RuntimeError, NotImplementedError) as error:
            raise InputError(
                f"features must be a table (N, {self.dim}) of numbers, got {reprlib.repr(feats)}"
            ) from error
        if rows.is_complex() or rows.layout != torch.strided:
            raise InputError(
                f"features must be a dense table of real numbers, got {rows.dtype}, {rows.layout}"
            )
        rows = rows[None] if rows.ndim == 1 else rows
        if rows.ndim == 2 and rows.shape[1] != self.dim:
            raise InputError(f"features must have the gallery's width of {self.dim}, got {rows.shape[1]}")
        if rows.shape != (0, self.dim):  # what embed_boxes gives for a frame without boxes
            check_table(rows, "given")
        return rows

    def _prepared(self, rows: Tensor, lengths: Tensor) -> Tensor:
        """Features (N, D) float32 of these lengths (N,), as the index keeps them."""
        return (unit_rows(rows, lengths) if self.metric == "cosine" else rows).contiguous()


def _forwards(array: NDArray[Any]) -> NDArray[Any]:
    """A view that runs backwards as a copy that does not: torch knows none."""
    return array.copy() if any(stride < 0 for stride in array.strides) else array


def _numbers(ids: Any) -> NDArray[np.int64]:
    """Ids as whole numbers."""
    try:
        numbers = np.asarray(ids)
    except (TypeError, ValueError, RuntimeError):
        numbers = np.empty((0, 0))
    is_whole = numbers.ndim == 1 and (numbers.dtype.kind in "iu" or numbers.size == 0)
    if not is_whole or (numbers < 0).any() or (numbers > np.iinfo(np.int64).max).any():
        raise InputError(f"ids must be a list of whole numbers from 0 to 2^63 - 1, got {reprlib.repr(ids)}")
    return numbers.astype(np.int64)
