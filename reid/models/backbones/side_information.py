"""Side information: an embedding of an image's camera, its view, or both."""

import logging

import torch
from torch import Tensor, nn

from reid.models.camera_numbers import check_numbers, places_of
from reid.models.spec import SideSpec

logger = logging.getLogger(__name__)


class SideInformation(nn.Module):
    """Embed cameras and views by a table; a number that the table lacks takes the mean.

        s(c, v) = coef E[c, v]        E (C, V, D), or (C, D) or (V, D) with one of the two

    An unknown camera takes the mean over all cameras (of its view), an unknown view the mean over all views
    (of its camera): what is not known is not told apart.

    Source: He et al., "TransReID", ICCV 2021, section 3.3, which has no rule for unknown cameras.

    Args:
        spec: Cameras and views of the table, and the factor.
        dim: Width D of the tokens.
    """

    cameras: Tensor
    views: Tensor

    def __init__(self, spec: SideSpec, dim: int) -> None:
        super().__init__()
        self.spec = spec
        self.embed = nn.Parameter(torch.empty(spec.num_rows, dim))
        nn.init.trunc_normal_(self.embed, std=0.02)
        # Of the spec, not of the weights: a plain state dict need not hold them.
        self.register_buffer("cameras", torch.tensor(spec.cameras, dtype=torch.long), persistent=False)
        self.register_buffer("views", torch.tensor(spec.views, dtype=torch.long), persistent=False)
        self._is_told = False

    def forward(self, images: Tensor, camids: Tensor | None, viewids: Tensor | None) -> Tensor:
        """Map the numbers of a batch to embeddings.

        Args:
            images: (B, ...), for the batch size alone.
            camids: (B,) int64 cameras, -1 unknown; None where no camera is known.
            viewids: (B,) int64 views, likewise.

        Returns:
            (B, D).

        Raises:
            InputError: If there is not one whole number for each image.
        """
        for name, numbers in (("camids", camids), ("viewids", viewids)):
            # Of a graph that is being traced nothing is known yet.
            if isinstance(numbers, Tensor) and isinstance(images, Tensor):
                check_numbers(name, numbers, len(images))
        self._tell_once(camids, viewids)
        counts = (max(len(self.spec.cameras), 1), max(len(self.spec.views), 1))
        table = self.embed.unflatten(0, counts)  # (C, V, D)
        table = torch.cat([table, table.mean(0, keepdim=True)])  # (C + 1, V, D)
        table = torch.cat([table, table.mean(1, keepdim=True)], dim=1)  # (C + 1, V + 1, D)
        rows = places_of(self.cameras, counts[0], camids)
        columns = places_of(self.views, counts[1], viewids)
        batch = images.new_zeros(images.shape[0], dtype=torch.long)
        return self.spec.coef * table[batch + rows, batch + columns]

    def _tell_once(self, camids: Tensor | None, viewids: Tensor | None) -> None:
        wanted = ((self.spec.cameras, camids, "cameras"), (self.spec.views, viewids, "views"))
        absent = [name for known, given, name in wanted if known and given is None]
        if absent and not self._is_told:
            self._is_told = True
            logger.warning("no %s are given: the mean of their embeddings is used", " and ".join(absent))
