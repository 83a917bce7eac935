"""Which gallery images are right for a query, and which do not count at all."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reid.data.records import UNKNOWN
from reid.utils import InputError

Labels = Tensor | NDArray[np.int64]
Rows = NDArray[np.int64]

QUERIES = 1024  # whose rows are listed at a time


def as_labels(labels: Labels, count: int, name: str, device: torch.device) -> Tensor:
    """Bring one column of identities or cameras to ``device`` as int64.

    Args:
        labels: (N,) integers.
        count: N, the number of feature rows they belong to.
        name: What the message calls them, e.g. ``query_pids``.
        device: Where the features are.

    Raises:
        InputError: If there is not one label for each feature row.
        TypeError: If the labels are not integers.
    """
    column = torch.as_tensor(labels, device=device)
    if column.shape != (count,):
        raise InputError(
            f"{name} must hold one number for each of the {count} feature rows, "
            f"got shape {tuple(column.shape)}; take features and labels from one extraction"
        )
    if column.is_floating_point() or column.is_complex():
        raise TypeError(f"{name} must be integers, got {column.dtype}")
    return column.long()


def labels_of_side(pids: Labels, camids: Labels, count: int, side: str) -> tuple[Tensor, Tensor]:
    """Bring the identities and cameras of ``query`` or ``gallery`` to the CPU, (N,) int64 each.

    Args:
        pids: (N,) integers.
        camids: (N,) integers.
        count: N, the number of feature rows they belong to.
        side: What the message calls them by.

    Raises:
        InputError: As ``as_labels``.
        TypeError: As ``as_labels``.
    """
    cpu = torch.device("cpu")
    return as_labels(pids, count, f"{side}_pids", cpu), as_labels(camids, count, f"{side}_camids", cpu)


def relevance(
    query_pids: Tensor, query_camids: Tensor, gallery_pids: Tensor, gallery_camids: Tensor
) -> tuple[Tensor, Tensor]:
    """Tell true matches and junk among gallery images of known identity.

        junk:  same identity, seen by the same camera
        match: same identity, not junk

    A query of unknown camera (-1) has no junk: whether another image shares its camera is not known.

    Args:
        query_pids: (Q,) int64.
        query_camids: (Q,) int64.
        gallery_pids: (G,) or, where each query has candidates of its own, (Q, K) int64, no -1 among them.
        gallery_camids: int64, shaped like ``gallery_pids``.

    Returns:
        Two bool tensors, (Q, G) or (Q, K): true matches, and junk.
    """
    is_same = query_pids[:, None] == gallery_pids
    is_same_camera = (query_camids[:, None] == gallery_camids) & (query_camids != UNKNOWN)[:, None]
    return is_same & ~is_same_camera, is_same & is_same_camera


class IdentityIndex:
    """The gallery rows of each identity: what ``relevance`` tells, without a look at all the other rows.

    Args:
        pids: (G,) int64 identities of the gallery, no -1 among them.
        camids: (G,) int64 cameras of the gallery.
    """

    def __init__(self, pids: Tensor, camids: Tensor) -> None:
        ordered = pids.sort(stable=True)
        self._pids, self._rows = ordered.values.numpy(), ordered.indices.numpy()
        self._camids = camids[ordered.indices].numpy()

    def count(self, pids: Tensor, camids: Tensor) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """How many gallery rows are true matches of each query, and how many are junk, (Q,) each.

        What ``find`` lists of all queries together can be larger than the gallery, so it is not kept.
        """
        counts = [
            (len(matches), len(junk))
            for part in zip(pids.split(QUERIES), camids.split(QUERIES), strict=True)
            for matches, junk in self.find(*part)
        ]
        num_matches, num_junk = np.array(counts, np.int64).reshape(-1, 2).T
        return num_matches, num_junk

    def find(self, pids: Tensor, camids: Tensor) -> list[tuple[Rows, Rows]]:
        """For each query of the identities (Q,) and cameras (Q,): gallery rows of true matches, and of junk.

        Rows ascend.
        """
        starts = np.searchsorted(self._pids, pids.numpy(), side="left").tolist()
        ends = np.searchsorted(self._pids, pids.numpy(), side="right").tolist()
        found = []
        for start, end, camid in zip(starts, ends, camids.tolist(), strict=True):
            rows = self._rows[start:end]
            is_junk = (self._camids[start:end] == camid) & (camid != UNKNOWN)
            found.append((rows[~is_junk], rows[is_junk]))
        return found
