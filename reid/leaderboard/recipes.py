"""How each row of the paper that this toolkit can run is run."""

from dataclasses import dataclass

from reid.leaderboard.paper import Cell

PAPER_SETS = ("dukemtmc", "msmt17", "market1501", "cuhk03")
SUFFIX = {
    "msmt17": "msmt",
    "market1501": "market",
    "dukemtmc": "duke",
    "cuhk03": "cuhk03",
    "vehicleid": "vehicleid",
    "time": "market",
}
FOLDERS = {
    "msmt17": "MSMT17_V1",
    "market1501": "market1501",
    "dukemtmc": "dukemtmcreid/DukeMTMC-reID",
    "cuhk03": "cuhk03-np",
    "vehicleid": "VehicleID_V1.0",
}
VARIANTS: dict[str, tuple[str, ...]] = {
    "baseline": ("DENOISE.MODE", "none"),
    "alternating": ("DENOISE.MODE", "alternating"),
    "label_free": ("DENOISE.MODE", "label_free", "DENOISE.CLOSED_FORM", "False"),
    "final_only": ("DENOISE.MODE", "alternating", "DENOISE.TARGETS", "feature"),
}
VARIANTS["merged"] = VARIANTS["label_free"]
CLIP_WORDS = (
    *("MODEL.STRIDE_SIZE", "[12, 12]", "MODEL.SIE_CAMERA", "True", "MODEL.SIE_COE", "1.0"),
    *("DENOISE.BACKBONE_LR", "5e-6"),
)
LUP = "TransReID-SSL's model zoo, https://github.com/damo-cv/TransReID-SSL"
IMAGENET = "timm's ImageNet pre-training, https://github.com/rwightman/pytorch-image-models/releases"


@dataclass(frozen=True)
class Weights:
    """A file that a recipe starts from.

    Args:
        key: The configuration key that names it.
        name: Of the file.
        source: Where to get it.
    """

    key: str
    name: str
    source: str


@dataclass(frozen=True)
class Recipe:
    """How a cell is run.

    Args:
        config: A file in ``configs/``.
        variant: A key of ``VARIANTS``.
        network: KEY VALUE words of the baseline too.
        words: KEY VALUE words of the variant.
        weights: Files that it needs.
        data: Data sets that it needs.
        evaluated: The one that is evaluated.
        notes: What is not the paper's, or not known of it.
    """

    config: str
    variant: str
    network: tuple[str, ...]
    words: tuple[str, ...]
    weights: tuple[Weights, ...]
    data: tuple[str, ...]
    evaluated: str
    notes: tuple[str, ...] = ()


# By the beginning of a row's key, the longest first: configuration, pre-training, notes.
FAMILIES: tuple[tuple[str, str, Weights, tuple[str, ...]], ...] = (
    (
        "transreid-vit-b-ics",
        "transreid",
        Weights("MODEL.PRETRAIN_PATH", "jx_vit_base_p16_224-80ecf9dd.pth", IMAGENET),
        ("ViT-B-ics is taken as TransReID with stride 12, jigsaw and cameras, whose figures it has",),
    ),
    (
        "transreid-vit-b",
        "vit_base",
        Weights("MODEL.PRETRAIN_PATH", "jx_vit_base_p16_224-80ecf9dd.pth", IMAGENET),
        (),
    ),
    ("transreid-ssl-vit-s", "vit_small", Weights("MODEL.PRETRAIN_PATH", "vit_small_cfs_lup.pth", LUP), ()),
    (
        "transreid-ssl-vit-b",
        "vit_base_lup",
        Weights("MODEL.PRETRAIN_PATH", "vit_base_ics_cfs_lup.pth", LUP),
        ("ViT-B is taken with the convolution stem at 384x128, as TransReID-SSL publishes it",),
    ),
    (
        "clip-reid",
        "clip_vit",
        Weights("MODEL.PRETRAIN_PATH", "clip.pth", "OpenAI's ViT-B-16.pt through tools/import_weights.py"),
        ("taken as CLIP-ReID with cameras and stride 12, whose figures the baseline's seem to be",),
    ),
)
VEHICLES = (
    "resnet50",
    Weights("MODEL.PRETRAIN_PATH", "resnet50_imagenet.pth", "torchvision's or timm's ImageNet ResNet-50"),
    ("the paper gives no recipe and no test list for vehicles: the list of 800, fast-reid's rates",),
)


def recipe_of(cell: Cell) -> Recipe | None:
    """How a cell is run; None where the paper quotes a method that is not one of this toolkit's recipes."""
    family = _family(cell)
    if family is None:
        return None
    stem, weights, notes = family
    variant = _variant(cell)
    evaluated = "market1501" if cell.dataset == "time" else cell.dataset
    needed = [weights]
    if stem == "clip_vit":
        name = f"texts_{SUFFIX[evaluated]}.pth"
        needed.append(Weights("MODEL.TEXT_FEATURES", name, "tools/learn_prompts.py on the data set"))
    return Recipe(
        config=f"{stem}_{SUFFIX[cell.dataset]}.yml",
        variant=variant,
        network=CLIP_WORDS if stem == "clip_vit" else (),
        words=VARIANTS[variant],
        weights=tuple(needed),
        data=PAPER_SETS if variant == "merged" else (evaluated,),
        evaluated=evaluated,
        notes=notes,
    )


def _family(cell: Cell) -> tuple[str, Weights, tuple[str, ...]] | None:
    if cell.table == 6:
        return VEHICLES
    key = cell.row if cell.table == 3 else "transreid-ssl-vit-s"
    found = (family for family in FAMILIES if key.startswith(family[0]))
    return next((family[1:] for family in found), None)


def _variant(cell: Cell) -> str:
    if cell.row in ("label-free", "merged", "final-only"):
        return cell.row.replace("-", "_")
    return "alternating" if cell.row.endswith("denoiserep") or cell.row == "label-augmented" else "baseline"
