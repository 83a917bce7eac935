"""How close two features are: the one place that knows which sign means closer.

Search and metrics share it, so that they rank alike.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reid.utils import InputError, unknown_choice

METRICS = ("cosine", "euclidean")
ROWS = 4096  # squared at a time
UNIT = 1e-6  # how far from 1 the length of a row may be that is taken as it is: what float32 sums leave
TINY = 1e-18  # what a shorter row is divided by instead of its length: squares of less vanish
GATHERED = 1 << 18  # numbers of single rows gathered at a time: 1 MB stays in a core's cache


def prepare_features(query: Tensor, gallery: Tensor, metric: str) -> tuple[Tensor, Tensor]:
    """Check two feature tables and bring them into the form that ``similarity`` takes.

    Args:
        query: (Q, D) features of any float type.
        gallery: (G, D) features of the same width.
        metric: ``cosine`` or ``euclidean``.

    Returns:
        (Q, D) and (G, D) float32; for ``cosine`` with rows of length 1, a zero row staying zero. A table that
        has that form already is not copied.

    Raises:
        InputError: If the metric is unknown, a table is empty or not two-dimensional, the widths differ,
            or a row holds a number that is not finite or whose square overflows.
    """
    query, gallery, lengths = check_features(query, gallery, metric)
    if metric == "cosine":
        return unit_rows(query, lengths[0]), unit_rows(gallery, lengths[1])
    return query, gallery


def check_features(
    query: Tensor, gallery: Tensor, metric: str
) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor]]:
    """Check two feature tables as ``prepare_features`` does, without changing a number.

    Returns:
        (Q, D) and (G, D) float32, and the lengths of their rows, (Q,) and (G,).

    Raises:
        InputError: If the metric is unknown, a table is not (N, D) of finite numbers with rows, or the two
            differ in width.
    """
    if metric not in METRICS:
        raise InputError(unknown_choice("metric", metric, METRICS))
    check_table(query, "query")
    check_table(gallery, "gallery")
    if query.shape[1] != gallery.shape[1]:
        raise InputError(
            f"query and gallery features must be equally wide, got {query.shape[1]} and {gallery.shape[1]}; "
            "extract both with one model"
        )
    query, gallery = query.detach().float(), gallery.detach().float()
    return query, gallery, (check_finite(query, "query"), check_finite(gallery, "gallery"))


def check_table(features: Tensor, name: str) -> None:
    """Refuse what is no table (N, D) of at least one row and column.

    Raises:
        InputError: Calling the features by their ``name``.
    """
    if features.ndim != 2 or 0 in features.shape:
        raise InputError(
            f"{name} features must be a table of at least one row and column, "
            f"got shape {tuple(features.shape)}; check what was extracted"
        )


def unit_rows(features: Tensor, lengths: Tensor, *, own: bool = False) -> Tensor:
    """Scale each row x to x / |x|; a zero row stays zero.

    Args:
        features: (N, D) float32.
        lengths: (N,) |x|.
        own: Whether the table may be written over.

    Returns:
        (N, D); the table itself where all rows have length 1 already or it may be written over.
    """
    if ((lengths - 1).abs() <= UNIT).all():
        return features
    return torch.div(features, lengths.clamp(min=TINY)[:, None], out=features if own else None)


def check_finite(features: Tensor, name: str) -> Tensor:
    """Refuse rows that no similarity can rank.

    Args:
        features: (N, D) float32.
        name: What the message calls the rows, e.g. ``query``.

    Returns:
        (N,) the lengths of the rows.

    Raises:
        InputError: If a row's squared length is not a finite number; the message says how many are not.
    """
    lengths = torch.linalg.vector_norm(features, dim=1)
    is_bad = ~lengths.square().isfinite()
    if is_bad.any():
        raise InputError(
            f"{name} features must be finite, but {int(is_bad.sum())} of {len(features)} rows hold NaN, "
            f"infinity or too large numbers (first: row {int(is_bad.nonzero()[0])}); check weights and images"
        )
    return lengths


def similarity(query: Tensor, gallery: Tensor, metric: str, out: Tensor | None = None) -> Tensor:
    """Compare every query row with every gallery row; larger is closer.

        cosine:     s = q·g                                 in [-1, 1]
        euclidean:  s = -|q - g|² = 2 q·g - |g|² - |q|²     at most 0

    All pairs of one call come from one float32 matrix product, whatever autocast region surrounds it: in
    half precision many different distances would become equal.

    Args:
        query: (Q, D) from ``prepare_features``.
        gallery: (G, D) from ``prepare_features``.
        metric: The metric they were prepared for.
        out: (Q, G) float32 to write to: where a call follows another, fresh memory costs a third of the time.

    Returns:
        (Q, G) float32; ``out`` where it is given.
    """
    sim_mat = query.new_empty(len(query), len(gallery)) if out is None else out
    if query.device.type == "cpu":
        # By numpy's BLAS: torch's leaves the widest instructions of AMD processors unused.
        np.matmul(query.numpy(), gallery.numpy().T, out=sim_mat.numpy())
    else:
        with torch.autocast(query.device.type, enabled=False):
            torch.mm(query, gallery.T, out=sim_mat)
    if metric == "cosine":
        return sim_mat
    return (
        sim_mat.mul_(2).sub_(_squared_lengths(gallery)).sub_(_squared_lengths(query)[:, None]).clamp_(max=0)
    )


def _squared_lengths(features: Tensor) -> Tensor:
    """|x|² of each row, without a second table of the squares."""
    return torch.cat([rows.square().sum(dim=1) for rows in features.split(ROWS)])


def pair_similarity(
    features: Tensor,
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    metric: str,
    others: Tensor | None = None,
) -> NDArray[np.float32]:
    """Compare single pairs of rows, as ``similarity`` does but for rounding.

    On a CPU the same two rows, up to 8,192 wide, give the same number in any place of any call.

    Args:
        features: (N, D) from ``prepare_features``.
        first: (P,) rows.
        second: (P,) rows, compared with ``first`` one by one.
        metric: The metric they were prepared for.
        others: (M, D), the table that ``second`` names rows of; None for the same one.

    Returns:
        (P,) float32.
    """
    # numpy indexes rows ten times as fast as torch does on a CPU; both know the two calls below.
    on_cpu = features.device.type == "cpu"
    table: Any = features.numpy() if on_cpu else features
    partners: Any = table if others is None else others.numpy() if on_cpu else others
    einsum: Any = np.einsum if on_cpu else torch.einsum
    found = np.empty(len(first), np.float32)
    step = max(1, GATHERED // features.shape[1])
    for start in range(0, len(first), step):
        one, other = table[first[start : start + step]], partners[second[start : start + step]]
        if metric == "cosine":
            values = einsum("nd,nd->n", one, other)
        else:
            difference = one - other
            values = -einsum("nd,nd->n", difference, difference)
        found[start : start + step] = values if on_cpu else values.cpu().numpy()
    return found


def stable_top(sim_mat: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The ``k`` largest of each row, largest first, equal ones in the order of their columns.

    Args:
        sim_mat: (B, G) float32.
        k: At most G are returned.

    Returns:
        (B, k) values and (B, k) int64 columns.
    """
    # One more than wanted, to see whether the last place is shared: torch may keep any of several equal ones.
    top = sim_mat.topk(min(k + 1, sim_mat.shape[1]), dim=1)
    values, columns = in_stable_order(*top)
    is_shared = values[:, k - 1] == values[:, k] if values.shape[1] > k else values.new_zeros(len(values)) > 0
    values, columns = values[:, :k], columns[:, :k]
    if is_shared.any():
        ranked = sim_mat[is_shared].sort(dim=1, descending=True, stable=True)
        values[is_shared], columns[is_shared] = ranked.values[:, :k], ranked.indices[:, :k]
    return values, columns


def in_stable_order(values: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
    """Sort found values (B, k), largest first, equal ones by their columns (B, k)."""
    columns, by_column = columns.sort(dim=1)
    values, by_value = values.gather(1, by_column).sort(dim=1, descending=True, stable=True)
    return values, columns.gather(1, by_value)
