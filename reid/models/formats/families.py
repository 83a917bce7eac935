"""The code bases whose files are known: how their keys look, and what becomes of each key here.

Where two code bases write the same keys for the same network they are one family. The facts are from their
sources: TransReID (He et al., ICCV 2021), TransReID-SSL (Luo et al., 2021), CLIP-ReID (Li et al., AAAI 2023),
DenoiseRep (Xu et al., NeurIPS 2024), torchreid (Zhou and Xiang, 2019), fast-reid (He et al., 2020), timm
(Wightman, 2019) and DeiT (Touvron et al., 2021).

Some things leave no trace in the keys, and the usual choice is taken: TransReID-SSL's pooling of patches
(off), fast-reid's pooling where it learns nothing (average; with non-local blocks AGW's generalised mean of
exponent 3), its stem in the last weeks of its first heads, August 2020 (as before), whether ImageNet weights
are timm's or DeiT's (timm's), CLIP's activation (QuickGELU, OpenAI's), the windows of timm's SwinV2 (8; its
authors' files tell), and the antialiased pooling of timm's resnetaa50 and resnetblur50 (none).
"""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Literal

from reid.models.formats.keys import has_match, has_prefix

Keys = Collection[str]

CONV_STEM = "patch_embed.conv.0.weight"
OSNET_STREAMS = ("conv2.0.conv2a.conv1.weight", "conv2.0.conv2.0.layers.0.conv1.weight")
RESNET = "layer1.0.conv1.weight"
SWIN = "layers.0.blocks.0.attn.qkv.weight"
# What a denoising layer of DenoiseRep's authors keeps beside weight and bias. The file is written after their
# fusion, so weight and bias hold the fused values, and fusing these again would denoise twice.
SCHEDULE = (
    "betas|sqrt_betas|alphas|sqrt_alphas|alphas_cumprod|alphas_cumprod_prev|sqrt_alphas_cumprod|"
    "sqrt_one_minus_alphas_cumprod|log_one_minus_alphas_cumprod|sqrt_recip_alphas_cumprod|"
    "sqrt_recipm1_alphas_cumprod|posterior_variance"
)
DENOISERS = rf".+\.((dm|time_mlp|teacher)\..+|({SCHEDULE}))"
IMAGENET_HEADS = r"(head|head_dist|fc|pre_logits)\..+|dist_token"
# What Swin transformers compute from the window's size, kept by the authors' files and older ones of timm.
SWIN_BUFFERS = r"layers\..+\.(relative_position_index|relative_coords_table|attn_mask)"
BACKBONE, NECK, CLASSIFIER = "backbone.", "neck.", "classifier.weight"


@dataclass(frozen=True)
class Family:
    """One way of naming the parameters of a re-identification model.

    Args:
        name: For options and reports.
        title: For people.
        fits: Whether a file with these keys can be of this family.
        prefix: What stands before the network's own keys.
        renames: Old and new beginnings of a key, the first that fits counts.
        leftovers: Keys, as a regular expression, that retrieval has no use for.
        neck_feat: Which feature its own evaluation ranks.
        last_stride: Of its ResNets' last stage.
    """

    name: str
    title: str
    fits: Callable[[Keys], bool]
    prefix: str
    renames: tuple[tuple[str, str], ...]
    leftovers: str = ""
    neck_feat: Literal["before", "after"] = "before"
    last_stride: int = 1

    def is_leftover(self, key: str) -> bool:
        """Whether ``key`` is known and of no use."""
        return re.fullmatch(self.leftovers, key) is not None

    def new_key(self, key: str) -> str | None:
        """This toolkit's name for ``key`` by its beginning; None where it has none."""
        return next((new + key.removeprefix(old) for old, new in self.renames if key.startswith(old)), None)


def _is_denoiserep(keys: Keys) -> bool:
    return has_match(keys, r"^base\..*\.dm\.weight$")


def _is_ssl(keys: Keys) -> bool:
    own = has_match(keys, rf"^base\.{re.escape(CONV_STEM)}$|^base\..+\.IN\.weight$|^fcneck\.")
    return has_prefix(keys, "base.") and own and not _is_denoiserep(keys)


def _is_transreid(keys: Keys) -> bool:
    return has_prefix(keys, "base.") and not _is_ssl(keys) and not _is_denoiserep(keys)


def _is_ssl_pretraining(keys: Keys) -> bool:
    own_heads = has_prefix(keys, "heads.", "neck.", "classifier.")
    return (has_prefix(keys, BACKBONE) and not own_heads) or ("cls_token" in keys and CONV_STEM in keys)


def _is_clipreid(keys: Keys) -> bool:
    return has_prefix(keys, "image_encoder.")


def _is_clip(keys: Keys) -> bool:
    return has_prefix(keys, "visual.")


def _is_fastreid(keys: Keys) -> bool:
    return has_prefix(keys, BACKBONE) and not has_prefix(keys, "head.", NECK, "classifier.")


def _is_torchreid(keys: Keys) -> bool:
    return any(key in keys for key in OSNET_STREAMS) or (RESNET in keys and "fc.weight" not in keys)


def _is_imagenet(keys: Keys) -> bool:
    vit = "cls_token" in keys and CONV_STEM not in keys
    return vit or SWIN in keys or (RESNET in keys and not has_prefix(keys, "classifier.", "fc.0."))


def _is_ours(keys: Keys) -> bool:
    return has_prefix(keys, BACKBONE) and not has_prefix(keys, "head.", "heads.")


_BASE = (("base.", BACKBONE), ("bottleneck.", NECK), (CLASSIFIER, CLASSIFIER))
_UNUSED_HEAD = rf"base\.({IMAGENET_HEADS})|classifier\.W"

FAMILIES: tuple[Family, ...] = (
    Family(
        "denoiserep", "DenoiseRep's authors", _is_denoiserep, "base.", _BASE, rf"{_UNUSED_HEAD}|{DENOISERS}"
    ),
    Family(
        "transreid", "TransReID or TransReID-SSL (the same keys)", _is_transreid, "base.", _BASE, _UNUSED_HEAD
    ),
    Family("transreid-ssl", "TransReID-SSL", _is_ssl, "base.", _BASE, _UNUSED_HEAD),
    Family(
        "ssl-pretraining",
        "a DINO teacher of TransReID-SSL",
        _is_ssl_pretraining,
        BACKBONE,
        ((BACKBONE, BACKBONE), ("", BACKBONE)),
        r"head\..+",
    ),
    Family(
        "clip-reid",
        "CLIP-ReID",
        _is_clipreid,
        "image_encoder.",
        (("image_encoder.", BACKBONE), *_BASE[1:]),
        # The text side is for training, and has a reader of its own.
        r"(prompt_learner|text_encoder)\..+",
    ),
    Family(
        "clip",
        "CLIP of OpenAI or OpenCLIP",
        _is_clip,
        "visual.",
        (("visual.", BACKBONE),),
        r"(transformer|ln_final|token_embedding)\..+|positional_embedding|text_projection|attn_mask|"
        r"logit_(scale|bias)|input_resolution|context_length|vocab_size",
        last_stride=2,
    ),
    Family(
        "fast-reid",
        "fast-reid",
        _is_fastreid,
        BACKBONE,
        (
            (BACKBONE, BACKBONE),
            ("heads.bottleneck.0.", NECK),
            ("heads.bnneck.", NECK),
            ("heads.weight", CLASSIFIER),
            ("heads.classifier.weight", CLASSIFIER),
        ),
        # The last is ArcFace's running mean, kept by a classifier.
        r"pixel_mean|pixel_std|heads\.classifier\.t",
        # Its NECK_FEAT is about training; its heads return the feature behind the BNNeck in evaluation.
        neck_feat="after",
    ),
    Family(
        "torchreid",
        "torchreid",
        _is_torchreid,
        "",
        ((CLASSIFIER, CLASSIFIER), ("", BACKBONE)),
        # Without a bias the classifier only starts a training; torchreid has no neck to imitate anyway.
        r"classifier\.bias",
        last_stride=2,
    ),
    Family(
        "imagenet",
        "timm, DeiT or torchvision on ImageNet",
        _is_imagenet,
        "",
        (("", BACKBONE),),
        rf"{IMAGENET_HEADS}|{SWIN_BUFFERS}",
        last_stride=2,
    ),
    Family("ours", "this toolkit without its header", _is_ours, BACKBONE, (("", ""),)),
)
