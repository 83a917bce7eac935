"""All that is needed to build a model again before its weights are loaded."""

import reprlib
from dataclasses import dataclass
from typing import Literal

from reid.models.preprocessing import check_size
from reid.utils import InputError

NeckFeat = Literal["before", "after"]
MAX_CLASSES = 10**6
MAX_PATCH_STRIDE = 256
MAX_FEATURE = 10**5
MAX_CAMERA = 2**63 - 1
MAX_ROWS = 10**6


@dataclass(frozen=True)
class SideSpec:
    """Embeddings of cameras and views that are added to a vision transformer's tokens.

    Args:
        cameras: The cameras of the table's rows, in their order; empty where cameras are not told apart.
        views: Likewise for views. With both, a row is a pair, the camera counting first.
        coef: Factor on an embedding (TransReID's SIE_COE).
        dataset: Whose cameras they are, a data set's name; empty where that is unknown.

    Raises:
        InputError: If both are empty, a number is listed twice or is outside 0..2**63 - 1, there are more
            than 10**6 rows, or the factor is not in 0..1000.
    """

    cameras: tuple[int, ...] = ()
    views: tuple[int, ...] = ()
    coef: float = 3.0
    dataset: str = ""

    def __post_init__(self) -> None:
        if not self.cameras and not self.views:
            raise InputError("cameras must be listed: side information needs cameras or views, got neither")
        for name, numbers in (("cameras", self.cameras), ("views", self.views)):
            if len(set(numbers)) < len(numbers) or min(numbers, default=0) < 0:
                shown = reprlib.repr(numbers)
                raise InputError(f"{name} must be different numbers of 0 or more, got {shown}")
            if max(numbers, default=0) > MAX_CAMERA:
                raise InputError(f"{name} must be at most 2**63 - 1, got {max(numbers)}")
        if self.num_rows > MAX_ROWS:
            raise InputError(f"cameras times views must be at most {MAX_ROWS} rows, got {self.num_rows}")
        if not 0 <= self.coef <= 1000:
            raise InputError(f"coef must be in 0..1000, got {self.coef}")

    @property
    def num_rows(self) -> int:
        """Rows of the table."""
        return max(len(self.cameras), 1) * max(len(self.views), 1)


@dataclass(frozen=True)
class SiteSpec:
    """The cameras that an adapted model's feature has a mean of its own for.

    Args:
        cameras: In the order of the means' rows.
        dataset: Whose cameras they are, a data set's name; of a list its whole path.

    Raises:
        InputError: If there are none, a number is listed twice or is outside 0..2**63 - 1, or there are more
            than 10**6.
    """

    cameras: tuple[int, ...]
    dataset: str

    def __post_init__(self) -> None:
        if not 1 <= len(self.cameras) <= MAX_ROWS:
            raise InputError(f"cameras must be 1 to {MAX_ROWS} numbers, got {len(self.cameras)}")
        if len(set(self.cameras)) < len(self.cameras):
            raise InputError(f"cameras must be different numbers, got {reprlib.repr(self.cameras)}")
        if not 0 <= min(self.cameras) <= max(self.cameras) <= MAX_CAMERA:
            raise InputError(f"cameras must be in 0..2**63 - 1, got {reprlib.repr(self.cameras)}")


@dataclass(frozen=True)
class JigsawSpec:
    """TransReID's jigsaw patch module (JPM).

    Args:
        num_parts: Groups of patches that have a feature of their own.
        shift: Tokens that move from the front to the end; the class token is one of them.
        num_groups: Groups that are interleaved by the shuffle.
        rearrange: Whether patches are shifted and shuffled at all.

    Raises:
        InputError: If a count is outside 1..64.
    """

    num_parts: int = 4
    shift: int = 5
    num_groups: int = 2
    rearrange: bool = True

    def __post_init__(self) -> None:
        for name in ("num_parts", "shift", "num_groups"):
            if not 1 <= getattr(self, name) <= 64:
                raise InputError(f"{name} must be in 1..64, got {getattr(self, name)}")


@dataclass(frozen=True)
class ModelSpec:
    """All that is needed to build a model again before its weights are loaded.

    Args:
        name: Backbone, one of ``BACKBONES``.
        image_size: Height and width in pixels.
        num_classes: Training identities; 0 where there are no labels.
        drop_path: Stochastic depth of transformers.
        last_stride: Stride of a ResNet's last stage, 1 or 2.
        neck_feat: Which feature is retrieved with: before or after the BNNeck.
        adapted: Whether the retrieval feature goes through an :class:`EmbeddingDenoiser`.
        patch_stride: Pixels from patch to patch of a vision transformer, down and across; None is the
            patch's own side, less makes patches overlap.
        conv_stem: Whether patches are cut from a stem of convolutions (TransReID-SSL's ICS).
        gem: Whether pooling is a generalised mean: of a ResNet's map with a learned exponent, of a vision
            transformer's patches, added to the class token.
        feat_dim: Width that a linear layer reduces the feature to; 0 leaves it out.
        side: Side information of a vision transformer.
        jigsaw: Jigsaw branches of a vision transformer.
        site: The cameras that an adapted feature has means for; None where it has one mean.

    Raises:
        InputError: If a number is outside its range, ``neck_feat`` is neither, or there is a site and the
            model is not adapted.
    """

    name: str
    image_size: tuple[int, int]
    num_classes: int
    drop_path: float = 0.0
    last_stride: int = 1
    neck_feat: NeckFeat = "before"
    adapted: bool = False
    patch_stride: tuple[int, int] | None = None
    conv_stem: bool = False
    gem: bool = False
    feat_dim: int = 0
    side: SideSpec | None = None
    jigsaw: JigsawSpec | None = None
    site: SiteSpec | None = None

    def __post_init__(self) -> None:
        check_size("image_size", self.image_size)
        if not 0 <= self.num_classes <= MAX_CLASSES:
            raise InputError(f"num_classes must be in 0..{MAX_CLASSES}, got {self.num_classes}")
        if not 0 <= self.drop_path <= 1:
            raise InputError(f"drop_path must be in 0..1, got {self.drop_path}")
        if self.last_stride not in (1, 2):
            raise InputError(f"last_stride must be 1 or 2, got {self.last_stride}")
        if self.neck_feat not in ("before", "after"):
            raise InputError(f"neck_feat must be before or after, got {self.neck_feat!r}")
        stride = self.patch_stride or (1, 1)
        if not 1 <= min(stride) <= max(stride) <= MAX_PATCH_STRIDE:
            raise InputError(f"patch_stride must be in 1..{MAX_PATCH_STRIDE} pixels, got {stride}")
        if not 0 <= self.feat_dim <= MAX_FEATURE:
            raise InputError(f"feat_dim must be in 0..{MAX_FEATURE}, got {self.feat_dim}")
        if self.site is not None and not self.adapted:
            raise InputError("adapted must be true where there is a site, got false")
