"""A model's weights under the keys of the code base that its network is of."""

from typing import Literal, get_args

from reid.models import ReIDModel
from reid.models.backbones.resnet import DEPTHS
from reid.models.backbones.swin import SWINS
from reid.models.backbones.vit import VISION_TRANSFORMERS
from reid.utils import InputError, unknown_choice

Keys = Literal["timm", "torchvision", "transreid"]
KEYS: tuple[str, ...] = get_args(Keys)
TIMM_NAMES = (*VISION_TRANSFORMERS, *DEPTHS, "resnet10", "resnet14", *SWINS)


def plain_keys(model: ReIDModel, keys: str) -> dict[str, str]:
    """The model's key for each key of the file.

    ``timm`` and ``torchvision`` hold the backbone alone; ``transreid`` also necks and classifiers, and with
    jigsaw branches the last block and norm twice: TransReID's own network keeps them beside its branches,
    which begin as their copies, and never reads them.

    Raises:
        InputError: If these keys are unknown, or cannot express the model.
    """
    if keys not in KEYS:
        raise InputError(unknown_choice("naming of keys", keys, KEYS))
    names = {"timm": TIMM_NAMES, "torchvision": DEPTHS}.get(keys, (*VISION_TRANSFORMERS,))
    is_transreid_resnet = keys == "transreid" and model.spec.name.endswith(("_transreid", "_ibn"))
    lost = [] if model.spec.name in names or is_transreid_resnet else [f"the network {model.spec.name}"]
    lost += _lost(model, keys)
    if lost:
        raise InputError(
            f"{keys} keys cannot express {', '.join(lost)}; export to onnx, torchscript or torch_export,"
            " which hold the whole model"
        )
    own = list(model.state_dict())
    if keys != "transreid":
        return {key.removeprefix("backbone."): key for key in own if key.startswith("backbone.")}
    named = {_transreid_key(key): key for key in own}
    return named | (_unread(named) if model.spec.jigsaw else {})


def _lost(model: ReIDModel, keys: str) -> list[str]:
    """What the keys have no place for, beside the network's name, in words."""
    spec, is_alone = model.spec, keys != "transreid"
    parts = {
        "the adaptation behind the embedding": model.embedding_denoiser is not None,
        "a denoiser on the final feature": bool(model.feature_denoisers),
        "the layer that reduces the feature": model.reduction is not None,
        "generalised-mean pooling": spec.gem,
        "attention's scale in a legacy ViT-S": spec.name == "vit_small_legacy",
        "the BNNeck that the feature lies behind (TEST.NECK_FEAT after)": is_alone
        and spec.neck_feat == "after",
        "side information": is_alone and spec.side is not None,
        "jigsaw branches": is_alone and spec.jigsaw is not None,
        "overlapping patches": is_alone and spec.patch_stride is not None,
        "a stem of convolutions": is_alone and spec.conv_stem,
    }
    return [name for name, is_there in parts.items() if is_there]


def _unread(named: dict[str, str]) -> dict[str, str]:
    """Keys of the last block and norm that are the first branch's."""
    depth = 1 + max(int(key.split(".")[2]) for key in named if key.startswith("base.blocks."))
    places = {"b1.0.": f"base.blocks.{depth}.", "b1.1.": "base.norm."}
    return {
        new + key.removeprefix(old): own
        for old, new in places.items()
        for key, own in named.items()
        if key.startswith(old)
    }


def _transreid_key(key: str) -> str:
    for old, new in (
        ("backbone.global_branch.", "b1."),
        ("backbone.local_branch.", "b2."),
        ("backbone.side.embed", "base.sie_embed"),
        ("backbone.", "base."),
        ("neck.", "bottleneck."),
    ):
        if key.startswith(old):
            return new + key.removeprefix(old)
    for old, new in (("part_necks.", "bottleneck_"), ("part_classifiers.", "classifier_")):
        if key.startswith(old):
            place, _, rest = key.removeprefix(old).partition(".")
            return f"{new}{int(place) + 1}.{rest}"
    return key
