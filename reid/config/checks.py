"""Rules across keys: all faults of a configuration are found before any is reported."""

import reprlib
import unicodedata
from collections.abc import Iterator
from typing import Any

from yacs.config import CfgNode

CHOICES = {
    "SOLVER.OPTIMIZER_NAME": ("SGD", "Adam", "AdamW"),
    "SOLVER.SCHEDULE": ("cosine", "multistep"),
    "SOLVER.STEP_AT": ("epoch_start", "epoch_end"),
    "DENOISE.OPTIMIZER_NAME": ("SGD", "Adam", "AdamW"),
    "MODEL.LAST_STRIDE": (1, 2),
    "DENOISE.MODE": ("none", "label_free", "alternating", "joint"),
    "DENOISE.FIRST": ("denoisers", "backbone"),
    "DENOISE.LOSS": ("l1", "l2", "l1+l2"),
    "DATASETS.MSMT_VERSION": ("", "V1", "V2"),
    "DATASETS.CUHK03_BOXES": ("", "labeled", "detected"),
    "DATASETS.CUHK03_PROTOCOL": ("new", "classic"),
    "DATASETS.VEHICLEID_TEST_SIZE": (800, 1600, 2400),
    "DATALOADER.DECODER": ("pillow", "opencv"),
    "ADAPT.PAIRS": ("cameras", "tracklets", "neighbours"),
    "ADAPT.NOISE": ("auto", "on", "off"),
    "ADAPT.MEANS": ("auto", "one", "camera"),
    "ADAPT.BATCHNORM": ("auto", "on", "off"),
    "TEST.NECK_FEAT": ("before", "after"),
    "TEST.METRIC": ("cosine", "euclidean"),
    "TEST.BACKEND": ("torch", "faiss"),
    "TEST.DTYPE": ("float32", "bfloat16", "float16"),
}

# Every number's lowest and highest allowed value; of a list, every entry's. The highest ones are far above
# what anybody uses, and low enough that nothing overflows, divides by zero or counts for ever.
RANGES: dict[str, tuple[float, float]] = {
    "MODEL.PRETRAIN_HW_RATIO": (1, 16),
    "MODEL.DROP_PATH": (0, 1),
    "MODEL.STRIDE_SIZE": (0, 256),
    "MODEL.SIE_COE": (0, 1000),
    "MODEL.DEVIDE_LENGTH": (1, 64),
    "MODEL.SHIFT_NUM": (1, 64),
    "MODEL.SHUFFLE_GROUP": (1, 64),
    "MODEL.FEAT_DIM": (1, 10**5),
    "MODEL.I2T_LOSS_WEIGHT": (0, 10**6),
    "MODEL.ID_LOSS_WEIGHT": (0, 10**6),
    "MODEL.TRIPLET_LOSS_WEIGHT": (0, 10**6),
    "INPUT.SIZE_TRAIN": (1, 4096),
    "INPUT.SIZE_TEST": (1, 4096),
    "INPUT.PIXEL_MEAN": (0, 1),
    "INPUT.PIXEL_STD": (1e-3, 1000),
    "INPUT.PROB": (0, 1),
    "INPUT.PADDING": (0, 1024),
    "INPUT.RE_PROB": (0, 1),
    "INPUT.COLOR_JITTER": (0, 1),
    "INPUT.HUE_JITTER": (0, 0.5),
    "INPUT.GRAYSCALE_PROB": (0, 1),
    "INPUT.AFFINE_DEGREES": (0, 180),
    "INPUT.AFFINE_SCALE": (0, 1),
    "DATASETS.CUHK03_SPLIT": (1, 20),
    "DATASETS.FOLDERS_SEED": (0, 2**63 - 1),
    "DATASETS.MOT_GAP": (1, 10**6),
    "DATASETS.MOT_MIN_VISIBILITY": (0, 1),
    "DATASETS.MOT_MIN_HEIGHT": (1, 10**5),
    "DATALOADER.NUM_INSTANCE": (1, 4096),
    "DATALOADER.NUM_WORKERS": (-1, 1024),
    "DATALOADER.CACHE_MB": (0, 2**31),
    "SOLVER.SEED": (0, 2**63 - 1),
    "SOLVER.BASE_LR": (0, 100),
    "SOLVER.BIAS_LR_FACTOR": (0, 100),
    "SOLVER.WEIGHT_DECAY": (0, 100),
    "SOLVER.WEIGHT_DECAY_BIAS": (0, 100),
    "SOLVER.MOMENTUM": (0, 1),
    "SOLVER.MARGIN": (0, 10**6),
    "SOLVER.IMS_PER_BATCH": (1, 2**16),
    "SOLVER.MAX_EPOCHS": (0, 10**5),
    "SOLVER.WARMUP_EPOCHS": (0, 10**5),
    "SOLVER.STEPS": (1, 10**5),
    "SOLVER.GAMMA": (0, 1),
    "SOLVER.WARMUP_FACTOR": (0, 1),
    "SOLVER.ACCUMULATE": (1, 10**4),
    "SOLVER.CLIP_NORM": (0, 10**6),
    "SOLVER.EVAL_PERIOD": (1, 10**5),
    "SOLVER.CHECKPOINT_PERIOD": (1, 10**5),
    "DENOISE.STEPS": (1, 10**5),
    "DENOISE.TIMESTEPS": (1, 10**5),
    "DENOISE.STRENGTH": (0, 1),
    "DENOISE.BETA_START": (1e-8, 0.999),
    "DENOISE.BETA_END": (1e-8, 0.999),
    "DENOISE.TOKEN_SHARE": (1e-3, 1),
    "DENOISE.LAMBDA": (0, 1),
    "DENOISE.MAX_EPOCHS": (1, 10**5),
    "DENOISE.PERIOD": (1, 10**5),
    "DENOISE.BASE_LR": (0, 100),
    "DENOISE.BACKBONE_LR": (0, 100),
    "ADAPT.K": (0, 100),
    "ADAPT.SHRINKAGE": (0, 10**6),
    "TEST.IMS_PER_BATCH": (1, 2**16),
    "TEST.RERANK_K1": (1, 10**4),
    "TEST.RERANK_K2": (1, 10**4),
    "TEST.RERANK_LAMBDA": (0, 1),
}

# Texts that may be whole numbers, too.
NUMBERS_OR_WORDS = ("DENOISE.T_RULE",)

# Lists of numbers: what they are, how many (None: any number), and of which types.
LISTS: dict[str, tuple[str, int | None, tuple[type, ...]]] = {
    "MODEL.STRIDE_SIZE": ("[down, across] in whole pixels", 2, (int,)),
    "INPUT.SIZE_TRAIN": ("[height, width] in whole pixels", 2, (int,)),
    "INPUT.SIZE_TEST": ("[height, width] in whole pixels", 2, (int,)),
    "INPUT.PIXEL_MEAN": ("three numbers", 3, (int, float)),
    "INPUT.PIXEL_STD": ("three numbers", 3, (int, float)),
    "SOLVER.STEPS": ("whole numbers of epochs", None, (int,)),
}


def find_faults(cfg: CfgNode) -> list[str]:
    """Every broken rule as one sentence; an empty list where there is none."""
    rules = (
        _wrong_choices,
        _wrong_numbers,
        _wrong_lists,
        _wrong_texts,
        _wrong_combinations,
        _wrong_denoising,
    )
    return [fault for rule in rules for fault in rule(cfg)]


def leaves(node: CfgNode, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and values."""
    for name, value in node.items():
        if isinstance(value, CfgNode):
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def value_at(cfg: CfgNode, key: str) -> Any:
    """The value of a dotted key."""
    node = cfg
    for part in key.split("."):
        node = node[part]
    return node


class _Short(reprlib.Repr):
    """Python's notation, cut to a line whatever the value."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxlist, self.maxdict, self.maxstring, self.maxother = 2, 6, 6, 120, 120

    def repr_int(self, x: int, level: int) -> str:
        """Python refuses to write out thousands of digits."""
        return repr(x) if x.bit_length() <= 64 else f"a number of {x.bit_length()} bits"


show = _Short().repr


def _wrong_choices(cfg: CfgNode) -> list[str]:
    return [
        f"{key} must be one of {', '.join(repr(c) for c in choices)}, got {show(value_at(cfg, key))}"
        for key, choices in CHOICES.items()
        if value_at(cfg, key) not in choices
    ]


def _wrong_numbers(cfg: CfgNode) -> list[str]:
    numbers = {key: value_at(cfg, key) for key in RANGES if key not in LISTS}
    return [
        f"{key} must be in {low}..{high}, got {show(numbers[key])}"
        for key, (low, high) in RANGES.items()
        # Written so that NaN, which compares false with everything, is a fault too.
        if key in numbers and not low <= numbers[key] <= high
    ]


def _wrong_lists(cfg: CfgNode) -> list[str]:
    faults = []
    for key, (meaning, count, types) in LISTS.items():
        values = value_at(cfg, key)
        low, high = RANGES[key]
        is_other_length = count is not None and len(values) != count
        if is_other_length or not all(type(n) in types and low <= n <= high for n in values):
            faults.append(f"{key} must be {meaning} in {low}..{high}, got {show(values)}")
    for key, example in (("DENOISE.TARGETS", ["mlp"]), ("DATASETS.NAMES", ["market1501", "msmt17"])):
        names = value_at(cfg, key)
        if not names or not all(isinstance(name, str) for name in names):
            faults.append(f"{key} must be a list of names, such as {example}, got {show(names)}")
        elif len(set(names)) < len(names):
            faults.append(f"{key} must hold each name once, got {show(names)}")
    return faults


def _wrong_texts(cfg: CfgNode) -> list[str]:
    """Paths and names that no file system, log or saved configuration could hold."""
    entries = [
        (key, entry)
        for key, value in leaves(cfg)
        for entry in (value if isinstance(value, list) else [value])
    ]
    texts = [(key, entry) for key, entry in entries if isinstance(entry, str)]
    faults = [
        f"{key} must be text without control characters, encodable as UTF-8, got {show(text)}"
        for key, text in texts
        if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in text)
    ]
    if not cfg.OUTPUT_DIR.strip():
        faults.append(f"OUTPUT_DIR must name a folder, got {show(cfg.OUTPUT_DIR)}")
    return faults


def _wrong_combinations(cfg: CfgNode) -> list[str]:
    faults = []
    if (cfg.MODEL.STRIDE_SIZE[:1] == [0]) != (cfg.MODEL.STRIDE_SIZE[1:] == [0]):
        faults.append(f"MODEL.STRIDE_SIZE must be two strides, or [0, 0], got {show(cfg.MODEL.STRIDE_SIZE)}")
    batch, instances = cfg.SOLVER.IMS_PER_BATCH, cfg.DATALOADER.NUM_INSTANCE
    if instances > 0 and batch % instances:
        down, up = batch // instances * instances, (batch // instances + 1) * instances
        near = f"{down} or {up}" if down else f"{up}"
        faults.append(
            f"SOLVER.IMS_PER_BATCH must be a multiple of DATALOADER.NUM_INSTANCE ({instances}), got {batch};"
            f" use {near}"
        )
    steps = cfg.SOLVER.STEPS
    if all(type(n) is int for n in steps) and sorted(set(steps)) != steps:
        faults.append(f"SOLVER.STEPS must rise, got {show(steps)}; use {show(sorted(set(steps)))}")
    if 0 < cfg.ADAPT.SHRINKAGE < 1e-3:
        faults.append(f"ADAPT.SHRINKAGE must be 0 or at least 0.001, got {show(cfg.ADAPT.SHRINKAGE)}")
    if cfg.MODEL.ID_LOSS_WEIGHT == 0 and cfg.MODEL.TRIPLET_LOSS_WEIGHT == 0:
        faults.append("MODEL.ID_LOSS_WEIGHT and MODEL.TRIPLET_LOSS_WEIGHT must not both be 0")
    if cfg.SOLVER.MAX_EPOCHS == 0 and cfg.DENOISE.MODE == "none":
        faults.append("SOLVER.MAX_EPOCHS is 0 and DENOISE.MODE is none: there is nothing to train")
    if cfg.SOLVER.MAX_EPOCHS == 0 and not cfg.MODEL.PRETRAIN_PATH and cfg.DENOISE.MODE != "none":
        faults.append("SOLVER.MAX_EPOCHS is 0: MODEL.PRETRAIN_PATH must name the trained weights to denoise")
    return faults


def _wrong_denoising(cfg: CfgNode) -> list[str]:
    faults = []
    if cfg.DENOISE.BETA_START > cfg.DENOISE.BETA_END:
        faults.append(
            f"DENOISE.BETA_START must be at most BETA_END, got {cfg.DENOISE.BETA_START} and"
            f" {cfg.DENOISE.BETA_END}"
        )
    if not _is_t_rule(cfg.DENOISE.T_RULE, cfg.DENOISE.STEPS, cfg.DENOISE.TIMESTEPS):
        faults.append(
            "DENOISE.T_RULE must be depth, spread or a whole number from STEPS to TIMESTEPS"
            f" ({cfg.DENOISE.STEPS}..{cfg.DENOISE.TIMESTEPS}), got {show(cfg.DENOISE.T_RULE)}"
        )
    is_solved = cfg.DENOISE.MODE == "label_free" and cfg.DENOISE.CLOSED_FORM
    for key, value in (("LOSS", "l2"), ("TOKEN_SHARE", 1)):
        if is_solved and cfg.DENOISE[key] != value:
            faults.append(
                f"DENOISE.{key} must be {value} where label-free denoisers are solved in closed form, got"
                f" {show(cfg.DENOISE[key])}; set DENOISE.CLOSED_FORM False"
            )
    return faults


def _is_t_rule(rule: str, lowest: int, highest: int) -> bool:
    is_number = rule.isascii() and rule.isdecimal() and len(rule) < 20
    return rule in ("depth", "spread") or (is_number and lowest <= int(rule) <= highest)
