"""Rules across keys: all faults of a configuration are found before any is reported."""

import math

from yacs.config import CfgNode

CHOICES = {
    "SOLVER.OPTIMIZER_NAME": ("SGD", "AdamW"),
    "DENOISE.OPTIMIZER_NAME": ("SGD", "AdamW"),
    "MODEL.LAST_STRIDE": (1, 2),
    "DENOISE.MODE": ("none", "label_free", "alternating"),
    "DENOISE.LOSS": ("l1", "l2", "l1+l2"),
    "DATASETS.MSMT_VERSION": ("", "V1", "V2"),
    "TEST.NECK_FEAT": ("before", "after"),
    "TEST.METRIC": ("cosine", "euclidean"),
}

# Lowest allowed value; a tuple adds the highest.
RANGES: dict[str, tuple[float, float]] = {
    "MODEL.PRETRAIN_HW_RATIO": (1, 16),
    "MODEL.DROP_PATH": (0, 1),
    "MODEL.ID_LOSS_WEIGHT": (0, float("inf")),
    "MODEL.TRIPLET_LOSS_WEIGHT": (0, float("inf")),
    "INPUT.PROB": (0, 1),
    "INPUT.PADDING": (0, 1024),
    "INPUT.RE_PROB": (0, 1),
    "INPUT.COLOR_JITTER": (0, 1),
    "DATALOADER.NUM_INSTANCE": (1, 4096),
    "DATALOADER.NUM_WORKERS": (-1, 1024),
    "SOLVER.SEED": (0, 2**63 - 1),
    "SOLVER.BASE_LR": (0, float("inf")),
    "SOLVER.BIAS_LR_FACTOR": (0, float("inf")),
    "SOLVER.WEIGHT_DECAY": (0, float("inf")),
    "SOLVER.WEIGHT_DECAY_BIAS": (0, float("inf")),
    "SOLVER.MOMENTUM": (0, 1),
    "SOLVER.MARGIN": (0, float("inf")),
    "SOLVER.IMS_PER_BATCH": (1, 2**31),
    "SOLVER.MAX_EPOCHS": (0, 2**31),
    "SOLVER.WARMUP_EPOCHS": (0, 2**31),
    "SOLVER.CLIP_NORM": (0, float("inf")),
    "SOLVER.EVAL_PERIOD": (1, 2**31),
    "SOLVER.CHECKPOINT_PERIOD": (1, 2**31),
    "DENOISE.STEPS": (1, 2**31),
    "DENOISE.TIMESTEPS": (1, 2**31),
    "DENOISE.LAMBDA": (0, 1),
    "DENOISE.MAX_EPOCHS": (1, 2**31),
    "DENOISE.PERIOD": (1, 2**31),
    "DENOISE.BASE_LR": (0, float("inf")),
    "DENOISE.BACKBONE_LR": (0, float("inf")),
    "TEST.IMS_PER_BATCH": (1, 2**31),
}


def find_faults(cfg: CfgNode) -> list[str]:
    """Every broken rule as one sentence; an empty list where there is none."""
    return [*_wrong_choices(cfg), *_wrong_ranges(cfg), *_wrong_lists(cfg), *_wrong_combinations(cfg)]


def value_at(cfg: CfgNode, key: str) -> object:
    """The value of a dotted key."""
    node = cfg
    for part in key.split("."):
        node = node[part]
    return node


def _wrong_choices(cfg: CfgNode) -> list[str]:
    return [
        f"{key} must be one of {', '.join(repr(c) for c in choices)}, got {value_at(cfg, key)!r}"
        for key, choices in CHOICES.items()
        if value_at(cfg, key) not in choices
    ]


def _wrong_ranges(cfg: CfgNode) -> list[str]:
    return [
        f"{key} must be in {low}..{high}, got {value_at(cfg, key)}"
        for key, (low, high) in RANGES.items()
        # Written so that NaN, which compares false with everything, is a fault too.
        if not (low <= value_at(cfg, key) <= high) or value_at(cfg, key) == float("inf")  # type: ignore[operator]
    ]


def _wrong_lists(cfg: CfgNode) -> list[str]:
    faults = []
    for key in ("SIZE_TRAIN", "SIZE_TEST"):
        size = cfg.INPUT[key]
        if len(size) != 2 or not all(type(n) is int and 1 <= n <= 4096 for n in size):
            faults.append(f"INPUT.{key} must be [height, width] in pixels, got {list(size)}")
    for key in ("PIXEL_MEAN", "PIXEL_STD"):
        values = cfg.INPUT[key]
        numbers = all(type(n) in (int, float) and math.isfinite(n) for n in values)
        if len(values) != 3 or not numbers or (key == "PIXEL_STD" and min(values) <= 0):
            kind = "three positive numbers" if key == "PIXEL_STD" else "three numbers"
            faults.append(f"INPUT.{key} must be {kind}, got {list(values)}")
    targets = cfg.DENOISE.TARGETS
    if not targets or not all(isinstance(target, str) for target in targets):
        faults.append(f"DENOISE.TARGETS must be a list of names, such as ['mlp'], got {list(targets)}")
    return faults


def _wrong_combinations(cfg: CfgNode) -> list[str]:
    faults = []
    batch, instances = cfg.SOLVER.IMS_PER_BATCH, cfg.DATALOADER.NUM_INSTANCE
    if instances > 0 and batch % instances:
        down, up = batch // instances * instances, (batch // instances + 1) * instances
        near = f"{down} or {up}" if down else f"{up}"
        faults.append(
            f"SOLVER.IMS_PER_BATCH must be a multiple of DATALOADER.NUM_INSTANCE ({instances}), got {batch};"
            f" use {near}"
        )
    if not 0 < cfg.DENOISE.BETA_START <= cfg.DENOISE.BETA_END < 1:
        faults.append(
            f"DENOISE betas must satisfy 0 < BETA_START <= BETA_END < 1, got {cfg.DENOISE.BETA_START} and"
            f" {cfg.DENOISE.BETA_END}"
        )
    if cfg.MODEL.ID_LOSS_WEIGHT == 0 and cfg.MODEL.TRIPLET_LOSS_WEIGHT == 0:
        faults.append("MODEL.ID_LOSS_WEIGHT and MODEL.TRIPLET_LOSS_WEIGHT must not both be 0")
    if cfg.SOLVER.MAX_EPOCHS == 0 and cfg.DENOISE.MODE == "none":
        faults.append("SOLVER.MAX_EPOCHS is 0 and DENOISE.MODE is none: there is nothing to train")
    if cfg.SOLVER.MAX_EPOCHS == 0 and not cfg.MODEL.PRETRAIN_PATH and cfg.DENOISE.MODE != "none":
        faults.append("SOLVER.MAX_EPOCHS is 0: MODEL.PRETRAIN_PATH must name the trained weights to denoise")
    return faults
