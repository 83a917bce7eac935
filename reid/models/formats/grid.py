"""From a number of position embeddings back to the image size and the stride of the patches."""

from typing import NamedTuple

# The sizes of this field, height and width; no two of these give the same number of patches.
IMAGE_SIZES = ((256, 128), (384, 128), (256, 256), (224, 224), (384, 384))
PATCH, STRIDES = 16, (16, 12)


class PatchGrid(NamedTuple):
    """How patches of 16 pixels lie on an image.

    Args:
        image_size: Height and width.
        stride: Pixels from patch to patch.
        rows: (H - 16) // stride + 1.
        columns: (W - 16) // stride + 1.
    """

    image_size: tuple[int, int]
    stride: int
    rows: int
    columns: int


def _grids() -> dict[int, PatchGrid]:
    grids = {}
    for size in IMAGE_SIZES:
        for stride in STRIDES:
            rows, columns = ((side - PATCH) // stride + 1 for side in size)
            grids[rows * columns] = PatchGrid(size, stride, rows, columns)
    return grids


GRIDS = _grids()


def find_grid(num_patches: int, image_size: tuple[int, int], patch: int = PATCH) -> PatchGrid | None:
    """The grid of the widest stride that cuts an image of this size into as many patches; None if none."""
    for stride in range(patch, 0, -1):
        rows, columns = ((side - patch) // stride + 1 for side in image_size)
        if rows * columns == num_patches:
            return PatchGrid(image_size, stride, rows, columns)
    return None
