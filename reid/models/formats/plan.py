"""Which model of this toolkit computes what a foreign file's network computes."""

from dataclasses import dataclass

from reid.models.backbones.osnet import OSNETS
from reid.models.backbones.resnet import NON_LOCAL, RESNETS
from reid.models.formats.detect import FileFormat
from reid.models.formats.grid import PATCH, PatchGrid, find_grid
from reid.models.spec import JigsawSpec, ModelSpec, SideSpec
from reid.utils import InputError

# What cannot be built, by the parts of a format, in the words of a refusal.
NOT_BUILT = {
    "squeeze": "squeeze-and-excitation (se.fc)",
    "instance_stem": "instance normalisation in the stem (IBN-b)",
}
OURS = (
    "a state dict of this toolkit without its header does not say how its images were prepared; start from it"
    " with MODEL.PRETRAIN_PATH"
)
# Width, depth, and whether queries, keys and values have a bias.
TRANSFORMERS = {
    (768, 12, True): "vit_base",
    (384, 12, True): "vit_small",
    (768, 8, False): "vit_small_legacy",
}
DEPTHS: dict[tuple[int, tuple[int, ...]], str] = {
    (2048, (3, 4, 6, 3)): "resnet50",
    (2048, (3, 4, 23, 3)): "resnet101",
    (2048, (3, 8, 36, 3)): "resnet152",
    (512, (2, 2, 2, 2)): "resnet18",
    (512, (3, 4, 6, 3)): "resnet34",
}
SWINS: dict[tuple[int, tuple[int, ...]], str] = {
    (768, (2, 2, 6, 2)): "tiny",
    (768, (2, 2, 18, 2)): "small",
    (1024, (2, 2, 18, 2)): "base",
}
# Sides of their windows, in cells of the map.
WINDOWS = {"swin": 7, "swinv2": 8}
# The data set behind a number of training identities. VeRi-776 has 576, 575 of them with labelled views.
DATASETS = {751: "market1501", 702: "dukemtmc", 1041: "msmt17", 576: "veri", 575: "veri", 13164: "vehicleid"}
# TransReID's SHIFT_NUM where it is not 5.
SHIFTS = {"vehicleid": 8}


@dataclass(frozen=True)
class ImportOptions:
    """What leaves no trace in a file, or is to be another than the usual choice.

    Args:
        image_size: Height and width of the images; the file's own if None.
        gem: Whether pooling is a generalised mean although nothing of it is learned.
        num_views: Views that the side information tells apart, where the data set is not known.
        sie_coef: Factor on the side information; TransReID's 3.0 or CLIP-ReID's 1.0 if None.
        shift: Of the jigsaw branches; 5, or 8 for VehicleID, if None.
    """

    image_size: tuple[int, int] | None = None
    gem: bool = False
    num_views: int = 0
    sie_coef: float | None = None
    shift: int | None = None


def plan_model(form: FileFormat, options: ImportOptions | None = None) -> ModelSpec:
    """The specification of the model that computes what the file's network computes, at the file's own size.

    Raises:
        InputError: If there is none, naming the part that is not built here, or if the image size is unknown.
    """
    options = options or ImportOptions()
    if form.family.name == "ours":
        raise InputError(OURS)
    _refuse_idle(form, options)
    parts = sorted(form.parts & set(NOT_BUILT))
    if parts:
        raise InputError(f"{form.family.title}: {NOT_BUILT[parts[0]]} cannot be built here")
    name = _name(form)
    if name is None:
        raise InputError(f"{form.describe()}: this network cannot be built here")
    _refuse_windows(form, options)
    grid = own_grid(form, options)
    size = grid.image_size if grid else options.image_size or form.image_size
    if (form.num_patches and grid is None) or size is None:
        problem = "are of no known image size; give it with --size of tools/import_weights.py"
        if options.image_size:
            sides = "x".join(map(str, options.image_size))
            problem = f"do not cover {sides} (--size) in patches of {PATCH} pixels, whatever their stride"
        raise InputError(f"{form.num_patches} position embeddings {problem}")
    is_overlapping = grid is not None and form.network in ("vit", "clip_vit") and grid.stride != PATCH
    return ModelSpec(
        name=name,
        image_size=size,
        num_classes=form.num_classes,
        last_stride=_last_stride(form, name, grid),
        neck_feat=form.neck_feat,
        patch_stride=(grid.stride, grid.stride) if grid is not None and is_overlapping else None,
        conv_stem="ics" in form.parts,
        # fast-reid's AGW has non-local blocks, and an exponent of 3 that is not learned.
        gem=options.gem or bool(form.parts & {"gem", "non_local"}),
        feat_dim=form.feature_dim if "reduced" in form.parts else 0,
        side=_side(form, options),
        jigsaw=_jigsaw(form, options),
    )


def own_grid(form: FileFormat, options: ImportOptions) -> PatchGrid | None:
    """How the file's patches lie: by their number alone, or with the help of the image size that is given."""
    if form.grid is None and form.num_patches and options.image_size:
        return find_grid(form.num_patches, options.image_size)
    return form.grid


def _name(form: FileFormat) -> str | None:
    if form.network == "vit":
        return TRANSFORMERS.get((form.width, form.depth[0], "no_qkv_bias" not in form.parts))
    if form.network == "clip_vit" and (form.width, form.depth) == (768, (12,)):
        return "clip_vit_base"
    if form.network == "clip_resnet" and (form.width, form.depth) == (2048, (3, 4, 6, 3)):
        return "clip_resnet50"
    if form.network in ("swin", "swinv2"):
        size = SWINS.get((form.width, form.depth))
        return size and f"{form.network}_{size}"
    if form.network == "osnet":
        wanted = (form.width, form.variant)
        return next((name for name, (channels, v) in OSNETS.items() if (channels[3], v) == wanted), None)
    return _resnet_name(form)


def _resnet_name(form: FileFormat) -> str | None:
    depth = DEPTHS.get((form.width, form.depth))
    if depth is None:
        return None
    if "fc" in form.parts:
        name = f"{depth}_fc{form.feature_dim}"
    else:
        name = depth + ("_ibn" if "ibn" in form.parts else "") + ("_nl" if "non_local" in form.parts else "")
        if "bare_stem" in form.parts:
            name += "_transreid"
        elif form.family.name == "fast-reid" and form.generation != 1:
            # Its first generation still had torchvision's pooling.
            name += "_fastreid"
    is_known = name in RESNETS and ("non_local" not in form.parts or depth in NON_LOCAL)
    return name if is_known else None


def _refuse_idle(form: FileFormat, options: ImportOptions) -> None:
    """Refuse options that speak of a part which the file does not have."""
    of_side = bool(options.num_views) or options.sie_coef is not None
    if of_side and not form.side_rows:
        raise InputError("the file has no side information; leave out --views and --sie-coef")
    if options.shift is not None and "jpm" not in form.parts:
        raise InputError("the file has no jigsaw branches; leave out --shift")


def _refuse_windows(form: FileFormat, options: ImportOptions) -> None:
    """At the file's own size its windows are computed as they are, or not at all."""
    wanted = WINDOWS.get(form.network)
    others = [window for window in form.windows if window != wanted]
    if wanted and others and options.image_size is None:
        raise InputError(
            f"its windows must be of {wanted} cells, got {others[-1]}: this network cannot be built here; a"
            " size (--size of tools/import_weights.py) brings its position biases to the windows of that size"
        )


def _last_stride(form: FileFormat, name: str, grid: PatchGrid | None) -> int:
    if form.network == "clip_resnet" and grid is not None:
        # OpenAI's own has cells of 32 pixels.
        return grid.stride // 16
    return 1 if name.endswith("_fc512") else form.family.last_stride


def _side(form: FileFormat, options: ImportOptions) -> SideSpec | None:
    if not form.side_rows or form.network == "clip_resnet":  # CLIP-ReID's ResNet does not read its table
        return None
    cameras, views = form.cameras, form.views
    if options.num_views or cameras is None or views is None:
        # Of an unknown data set: cameras, unless the number of views says more.
        views = options.num_views
        if views < 0 or (views and form.side_rows % views):
            raise InputError(
                f"{form.side_rows} rows of side information must be a multiple of the views, got {views}"
            )
        cameras = form.side_rows // views if views else form.side_rows
        if views and cameras == 1:
            cameras = 0
    usual = 1.0 if form.network == "clip_vit" else 3.0
    coef = usual if options.sie_coef is None else options.sie_coef
    dataset = DATASETS.get(form.num_classes, "")
    return SideSpec(tuple(range(cameras)), tuple(range(views)), coef, dataset)


def _jigsaw(form: FileFormat, options: ImportOptions) -> JigsawSpec | None:
    if "jpm" not in form.parts:
        return None
    usual = SHIFTS.get(DATASETS.get(form.num_classes, ""), 5)
    return JigsawSpec(shift=usual if options.shift is None else options.shift)
