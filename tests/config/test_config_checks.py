"""Each rule, broken once: the message shows the key, what must hold and what came."""

import pytest

from reid.config import ConfigError, get_default_config, load_config
from reid.config.checks import CHOICES, LISTS, RANGES, find_faults


def faults_after(**changes):
    cfg = get_default_config()
    for key, value in changes.items():
        group, _, name = key.partition("__")
        cfg[group][name] = value
    return find_faults(cfg)


@pytest.mark.parametrize("key", CHOICES)
def test_a_value_that_is_no_choice_is_one_fault(key):
    group, name = key.split(".")
    value = 3 if key == "MODEL.LAST_STRIDE" else "other"
    (fault,) = faults_after(**{f"{group}__{name}": value})
    assert fault.startswith(f"{key} must be one of ")
    assert fault.endswith(f"got {value!r}")


@pytest.mark.parametrize("bound", [0, 1])
@pytest.mark.parametrize("key", RANGES)
def test_the_bounds_are_allowed_and_what_is_beyond_is_not(key, bound):
    group, name = key.split(".")
    edge, step = RANGES[key][bound], [-1, 1][bound]

    def about_key(value):
        entries = [value] * (LISTS[key][1] or 1) if key in LISTS else value
        changed = faults_after(**{f"{group}__{name}": entries})
        return [fault for fault in changed if fault.startswith(f"{key} must be ") and " in " in fault]

    assert about_key(edge) == []
    (fault,) = about_key(edge + step)
    assert f"in {RANGES[key][0]}..{RANGES[key][1]}, got " in fault
    assert str(edge + step) in fault


@pytest.mark.parametrize(
    "key", ["SOLVER__BASE_LR", "MODEL__DROP_PATH", "DENOISE__LAMBDA", "DENOISE__BETA_END"]
)
def test_nan_is_a_fault(key):
    (fault,) = faults_after(**{key: float("nan")})
    assert "got " in fault
    assert "nan" in fault


@pytest.mark.parametrize("key", ["SIZE_TRAIN", "SIZE_TEST"])
@pytest.mark.parametrize(
    "size", [[256], [256, 128, 3], [0, 128], [256.0, 128], [True, 128], ["256", 1], [5000, 1]]
)
def test_an_image_size_is_two_positive_whole_numbers(key, size):
    (fault,) = faults_after(**{f"INPUT__{key}": size})
    assert fault == f"INPUT.{key} must be [height, width] in whole pixels in 1..4096, got {size}"


@pytest.mark.parametrize(
    "values",
    [[0.5, 0.5], [0.5] * 4, ["a", 0.5, 0.5], [True, 0.5, 0.5], [float("nan"), 0.5, 0.5], [float("inf")] * 3],
)
@pytest.mark.parametrize("key", ["PIXEL_MEAN", "PIXEL_STD"])
def test_mean_and_deviation_are_three_finite_numbers(key, values):
    (fault,) = faults_after(**{f"INPUT__{key}": values})
    assert fault.startswith(f"INPUT.{key} must be three ")
    assert fault.endswith(f"got {values}")


def test_a_deviation_of_zero_is_refused_where_a_mean_of_zero_is_not():
    assert faults_after(INPUT__PIXEL_MEAN=[0.0, 0, 0]) == []
    (fault,) = faults_after(INPUT__PIXEL_STD=[0.5, 0.0, 0.5])
    assert fault == "INPUT.PIXEL_STD must be three numbers in 0.001..1000, got [0.5, 0.0, 0.5]"


@pytest.mark.parametrize("steps", [[0], [40.0, 70], [True], ["a", 40]])
def test_steps_of_the_learning_rate_are_whole_epochs(steps):
    (fault,) = faults_after(SOLVER__STEPS=steps)
    assert fault == f"SOLVER.STEPS must be whole numbers of epochs in 1..100000, got {steps}"


@pytest.mark.parametrize("steps", [[70, 40], [40, 40, 70]])
def test_steps_of_the_learning_rate_must_rise(steps):
    (fault,) = faults_after(SOLVER__STEPS=steps)
    assert fault == f"SOLVER.STEPS must rise, got {steps}; use [40, 70]"


@pytest.mark.parametrize("steps", [[], [1], [30, 50, 55]])
def test_any_number_of_steps_is_allowed(steps):
    assert faults_after(SOLVER__STEPS=steps) == []


@pytest.mark.parametrize("names", [[], [1], ["market1501", None]])
def test_data_sets_are_at_least_one_name(names):
    (fault,) = faults_after(DATASETS__NAMES=names)
    assert fault.startswith("DATASETS.NAMES must be a list of names, such as ['market1501', 'msmt17'], got ")


def test_a_data_set_is_named_once():
    (fault,) = faults_after(DATASETS__NAMES=["msmt17", "msmt17"])
    assert fault == "DATASETS.NAMES must hold each name once, got ['msmt17', 'msmt17']"


def test_a_name_in_a_list_is_plain_text():
    (fault,) = faults_after(DATASETS__NAMES=["msmt17", "a\nb.csv"])
    assert fault.startswith("DATASETS.NAMES must be text without control characters")


@pytest.mark.parametrize("targets", [[], [1], ["mlp", None]])
def test_targets_are_at_least_one_name(targets):
    (fault,) = faults_after(DENOISE__TARGETS=targets)
    assert fault.startswith("DENOISE.TARGETS must be a list of names")
    assert fault.endswith(f"got {targets}")


@pytest.mark.parametrize(
    ("batch", "instances", "use"), [(62, 4, "use 60 or 64"), (3, 4, "use 4"), (65, 64, "use 64 or 128")]
)
def test_a_batch_must_be_whole_identities_and_the_nearest_sizes_are_named(batch, instances, use):
    (fault,) = faults_after(SOLVER__IMS_PER_BATCH=batch, DATALOADER__NUM_INSTANCE=instances)
    assert fault == (
        f"SOLVER.IMS_PER_BATCH must be a multiple of DATALOADER.NUM_INSTANCE ({instances}), got {batch};"
        f" {use}"
    )


def test_betas_must_not_fall():
    (fault,) = faults_after(DENOISE__BETA_START=0.2, DENOISE__BETA_END=0.1)
    assert fault == "DENOISE.BETA_START must be at most BETA_END, got 0.2 and 0.1"


def test_constant_betas_are_allowed():
    assert faults_after(DENOISE__BETA_START=0.01, DENOISE__BETA_END=0.01) == []


def test_two_losses_of_weight_zero_are_refused_where_one_is_not():
    assert faults_after(MODEL__ID_LOSS_WEIGHT=0.0) == []
    assert faults_after(MODEL__TRIPLET_LOSS_WEIGHT=0.0) == []
    (fault,) = faults_after(MODEL__ID_LOSS_WEIGHT=0.0, MODEL__TRIPLET_LOSS_WEIGHT=0.0)
    assert fault == "MODEL.ID_LOSS_WEIGHT and MODEL.TRIPLET_LOSS_WEIGHT must not both be 0"


def test_no_epochs_at_all_is_refused():
    (fault,) = faults_after(SOLVER__MAX_EPOCHS=0)
    assert "nothing to train" in fault


def test_denoising_from_the_start_needs_weights():
    (fault,) = faults_after(SOLVER__MAX_EPOCHS=0, DENOISE__MODE="label_free")
    assert "MODEL.PRETRAIN_PATH must name" in fault
    weights = {"MODEL__PRETRAIN_PATH": "baseline.pth"}
    assert faults_after(SOLVER__MAX_EPOCHS=0, DENOISE__MODE="label_free", **weights) == []


def test_all_broken_rules_are_in_one_message():
    words = [
        "SOLVER.IMS_PER_BATCH",
        "62",
        "TEST.METRIC",
        "manhattan",
        "MODEL.DROP_PATH",
        "2",
        "SOLVER.SEED",
        "-1",
    ]
    with pytest.raises(ConfigError) as caught:
        load_config(None, words)
    faults = str(caught.value).split("; ")
    assert len(faults) == 5  # the batch's own "; use 60 or 64" included
    for key in words[::2]:
        assert sum(fault.startswith(key) for fault in faults) == 1


@pytest.mark.parametrize("text", ["a\0b", "a\ud800b", "a\nb"], ids=ascii)
@pytest.mark.parametrize("key", ["OUTPUT_DIR", "TEST.WEIGHT", "MODEL.NAME"])
def test_text_that_no_file_could_hold_is_refused(key, text):
    cfg = get_default_config()
    group, _, name = key.rpartition(".")
    (cfg[group] if group else cfg)[name] = text
    assert f"{key} must be text without control characters, encodable as UTF-8, got {text!r}" in find_faults(
        cfg
    )


@pytest.mark.parametrize("text", ["", " "])
def test_the_output_folder_must_have_a_name(text):
    cfg = get_default_config()
    cfg.OUTPUT_DIR = text
    assert find_faults(cfg) == [f"OUTPUT_DIR must name a folder, got {text!r}"]


@pytest.mark.parametrize("rule", ["depth", "spread", "2", "1000"])
def test_t_begins_by_a_known_rule_or_at_a_step_of_the_schedule(rule):
    assert faults_after(DENOISE__T_RULE=rule, DENOISE__STEPS=2) == []


@pytest.mark.parametrize("rule", ["", "Depth", "1", "1001", "-5", "1e2", "²", "9" * 40])
def test_another_rule_for_t_is_refused(rule):
    (fault,) = faults_after(DENOISE__T_RULE=rule, DENOISE__STEPS=2)
    assert fault == (
        "DENOISE.T_RULE must be depth, spread or a whole number from STEPS to TIMESTEPS (2..1000),"
        f" got {rule!r}"
    )


def test_a_rule_for_t_may_be_given_as_a_number(tmp_path):
    (tmp_path / "c.yml").write_text("DENOISE: {T_RULE: 100}")
    assert load_config(tmp_path / "c.yml").DENOISE.T_RULE == "100"
    assert load_config(None, ["DENOISE.T_RULE", "100"]).DENOISE.T_RULE == "100"
    with pytest.raises(ConfigError, match=r"DENOISE\.T_RULE must be a str such as 'depth', got True"):
        load_config(None, ["DENOISE.T_RULE", "True"])
