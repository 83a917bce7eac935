"""What a model is and how it is denoised, for people: in a sentence, and as the configuration for it."""

import json
import shlex
from dataclasses import fields
from typing import Any

from reid.models.header import DenoiseSpec
from reid.models.spec import ModelSpec, SideSpec
from reid.utils import short_name


def config_words(spec: ModelSpec) -> str:
    """The words that build the same network from a configuration: ``MODEL.NAME vit_base MODEL.JPM True``."""
    words = [f"MODEL.NAME {spec.name}"]
    if spec.patch_stride:
        words.append('MODEL.STRIDE_SIZE "[{}, {}]"'.format(*spec.patch_stride))
    for is_set, word in (
        (spec.side is not None and spec.side.cameras, "MODEL.SIE_CAMERA True"),
        (spec.side is not None and spec.side.views, "MODEL.SIE_VIEW True"),
        (spec.conv_stem, "MODEL.STEM_CONV True"),
        (spec.gem, "MODEL.GEM_POOLING True"),
        (spec.feat_dim, f"MODEL.REDUCE_FEAT_DIM True MODEL.FEAT_DIM {spec.feat_dim}"),
        (spec.last_stride != 1 and spec.name.startswith(("resnet", "clip_resnet")), "MODEL.LAST_STRIDE 2"),
        (spec.neck_feat != "before", f"TEST.NECK_FEAT {spec.neck_feat}"),
    ):
        if is_set:
            words.append(word)
    if spec.side is not None and spec.side.coef != 3.0:
        words.append(f"MODEL.SIE_COE {spec.side.coef:g}")
    if spec.jigsaw is not None:
        words.append(f"MODEL.JPM True MODEL.SHIFT_NUM {spec.jigsaw.shift}")
    return " ".join(words)


def describe_model(spec: ModelSpec) -> str:
    """One line: the backbone and what it has beyond its plain form."""
    parts = [spec.name]
    if spec.patch_stride:
        parts.append("patches {} apart down and {} across".format(*spec.patch_stride))
    if spec.conv_stem:
        parts.append("a stem of convolutions")
    if spec.side is not None:
        parts.append(_describe_side(spec.side))
    if spec.jigsaw is not None:
        parts.append(f"{spec.jigsaw.num_parts} jigsaw parts shifted by {spec.jigsaw.shift}")
    if spec.gem:
        parts.append("generalised-mean pooling, of exponent 3 where the file has none")
    if spec.feat_dim:
        parts.append(f"feature reduced to {spec.feat_dim}")
    return ", ".join(parts)


def _describe_side(side: SideSpec) -> str:
    whose = f" of {short_name(side.dataset)}, as the number of identities says" if side.dataset else ""
    return (
        f"side information of {len(side.cameras)} cameras and {len(side.views)} views{whose}, factor"
        f" {side.coef:g}"
    )


def describe_denoise(spec: DenoiseSpec) -> str:
    """A setting of the denoising in words: ``mlp, t depth, 2 steps, beta to 0.002, strength 0.5``.

    The number of timesteps, the first beta and the rescaling are told where they are not the usual ones.
    """
    usual, targets = DenoiseSpec(), " + ".join(spec.targets)
    steps = "1 step" if spec.steps == 1 else f"{spec.steps} steps"
    parts = [targets, f"t {spec.t_rule}", steps, f"beta to {spec.beta_end:g}", f"strength {spec.strength:g}"]
    if spec.beta_start != usual.beta_start:
        parts.append(f"from {spec.beta_start:g}")
    if spec.timesteps != usual.timesteps:
        parts.append(f"{spec.timesteps} timesteps")
    if spec.rescale != usual.rescale:
        parts.append("not rescaled")
    return ", ".join(parts)


def denoise_keys(spec: DenoiseSpec) -> dict[str, Any]:
    """A setting of the denoising by its configuration keys: ``{"DENOISE.STEPS": 2, ...}``."""
    values = {f"DENOISE.{field.name.upper()}": getattr(spec, field.name) for field in fields(spec)}
    return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}


def denoise_words(spec: DenoiseSpec) -> str:
    """The same as words to type in a shell: ``DENOISE.TARGETS '["mlp"]' DENOISE.STEPS 2 ...``."""
    pairs = denoise_keys(spec).items()
    return " ".join(
        f"{key} {shlex.quote(json.dumps(value) if isinstance(value, list) else str(value))}"
        for key, value in pairs
    )
