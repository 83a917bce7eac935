"""What stands in a denoiser's place in the statistics pass and adds up the moments of what enters it."""

import math

import torch
from torch import Tensor, nn

from reid.denoise.moments import Moments
from reid.denoise.outer import add_outer_products, mirrored

BUFFER = 2048  # feature vectors that wait for one matrix product


def least_vectors(d: int) -> int:
    """How many vectors of d channels are all taken, before some begin to stand for all.

        max(16 d, 2^34 / d^2)

    From fewer than d a covariance is known in some directions only, and the solved denoiser is far from the
    best. From n independent ones its eigenvalues are within (1 +- sqrt(d / n))^2 of the true ones (Marchenko
    and Pastur): a factor of 0.56 to 1.56 where n = 16 d, from the first batches alone. Where d is small, more
    cost little: n vectors take n d^2 products, and 2^34 of these are a second on one core.
    """
    return max(16 * d, 2**34 // d**2)


class Recorder(nn.Module):
    """Hands the features on as they are and adds up their moments.

    Of a batch with n vectors that begins below ``at_least`` all count, w = 1; of a later one m of them count
    w = n / m each. With the shift s, the mean of the first vectors: sum w (x - s) and sum w (x - s)(x - s)^T.

    Args:
        channel_dim: Where the features' channels are.
        per_image: Most vectors of an image that count in a later batch; None takes all, always.
        at_least: How many vectors are all taken; None is :func:`least_vectors` of the channels.
    """

    def __init__(self, channel_dim: int, per_image: int | None, at_least: int | None) -> None:
        super().__init__()
        self.channel_dim, self.per_image, self.at_least = channel_dim, per_image, at_least
        self.num_images = 1  # of the batch that is coming
        self.count = 0  # vectors that were represented
        self.sampled = 0  # batches of which some stood for all
        self.waiting = 0  # of the buffer's rows
        self.buffer = self.roots = self.shift = self.sum = self.products = torch.empty(0)

    def forward(self, features: Tensor) -> Tensor:
        """Add the features (..., d), or (..., d, H, W), and return them."""
        rows = torch.atleast_2d(features.movedim(self.channel_dim, -1))
        total = rows.shape[:-1].numel()
        if total:
            chosen = self._choose(rows, total)
            for part in chosen.split(BUFFER):
                self._keep(part, total / len(chosen))
            self.count += total
        return features

    def _choose(self, rows: Tensor, total: int) -> Tensor:
        """(m, d) what counts of rows (..., d)."""
        d = rows.shape[-1]
        if self.at_least is None:
            self.at_least = least_vectors(d)
        if self.per_image is None or self.count < self.at_least:
            return rows.reshape(total, d)
        stride = self._stride(total, self.per_image)
        # Each batch begins one further, so that in the long run every vector's place is taken as often.
        first = self.sampled % min(stride, total)
        self.sampled += 1
        if rows.is_contiguous():
            return rows.view(total, d)[first::stride]
        # Indexing copies these rows alone, where a reshape would copy a whole map.
        numbers = torch.arange(first, total, stride, device=rows.device)
        return rows[torch.unravel_index(numbers, rows.shape[:-1])]

    def _stride(self, total: int, per_image: int) -> int:
        stride = -(-total // (per_image * self.num_images))
        while math.gcd(stride, total) > 1:
            stride += 1
        return stride

    def _keep(self, rows: Tensor, weight: float) -> None:
        """Copy rows to the buffer: the features may be changed in place later on. Add up a full one."""
        if not len(self.buffer):
            dtype = torch.promote_types(rows.dtype, torch.float32)
            self.buffer = rows.new_empty(BUFFER, rows.shape[1], dtype=dtype)
            self.roots = rows.new_empty(BUFFER, dtype=dtype)
        if self.waiting + len(rows) > BUFFER:
            self._add()
        place = slice(self.waiting, self.waiting + len(rows))
        self.buffer[place], self.roots[place] = rows, weight**0.5
        self.waiting += len(rows)

    def _add(self) -> None:
        rows, roots = self.buffer[: self.waiting], self.roots[: self.waiting]
        self.waiting = 0
        if not len(self.shift):
            self.shift = rows.mean(0)
            self.sum = rows.new_zeros(rows.shape[1], dtype=torch.float64)
            self.products = rows.new_zeros(rows.shape[1], rows.shape[1], dtype=torch.float64)
        rows -= self.shift
        rows *= roots[:, None]
        with torch.autocast(rows.device.type, enabled=False):
            self.sum += roots @ rows
            add_outer_products(self.products, rows)

    def moments(self) -> Moments:
        """(x - mu) = (x - s) - (mu - s), so the products around s lose n (mu - s)(mu - s)^T."""
        if self.waiting:
            self._add()
        off = self.sum / self.count
        scatter = mirrored(self.products) - self.count * torch.outer(off, off)
        return Moments(self.count, (self.shift.double() + off).cpu(), scatter.cpu())
