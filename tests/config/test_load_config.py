"""Defaults, file, words: what is merged, what is converted, and how wrong input is answered."""

from pathlib import Path

import pytest

from reid.config import (
    ConfigError,
    config_from_text,
    find_config,
    get_default_config,
    load_config,
    with_values,
)
from reid.config.load import parse_value
from reid.utils import InputError


def write(folder, text, name="some.yml"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def refusal(*args, **kwargs):
    with pytest.raises(ConfigError) as caught:
        load_config(*args, **kwargs)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_without_file_and_words_it_is_the_defaults():
    assert load_config() == get_default_config()


def test_words_go_over_the_file_and_the_file_over_the_defaults(tmp_path):
    path = write(tmp_path, "SOLVER:\n  SEED: 5\n  MAX_EPOCHS: 9\n")
    cfg = load_config(path, ["SOLVER.SEED", "6"])
    assert (cfg.SOLVER.SEED, cfg.SOLVER.MAX_EPOCHS, cfg.SOLVER.IMS_PER_BATCH) == (6, 9, 64)


def test_the_last_of_two_words_for_one_key_counts():
    assert load_config(None, ["SOLVER.SEED", "6", "SOLVER.SEED", "7"]).SOLVER.SEED == 7


def test_two_loads_share_nothing():
    first, second = load_config(None, ["DENOISE.TARGETS", "['mlp','attn']"]), load_config()
    assert first is not second
    first.INPUT.SIZE_TRAIN.append(9)
    first.INPUT.PIXEL_MEAN[0] = 9.0
    assert second.INPUT.SIZE_TRAIN == load_config().INPUT.SIZE_TRAIN == [256, 128]
    assert second.INPUT.PIXEL_MEAN == [0.5, 0.5, 0.5]
    assert second.DENOISE.TARGETS == ["mlp"]


@pytest.mark.parametrize("key", ["OUTPUT_DIR", "SOLVER.SEED", "SOLVER.NEW_KEY"])
def test_a_loaded_config_is_frozen(key):
    cfg = load_config()
    group, _, name = key.rpartition(".")
    with pytest.raises(AttributeError, match="immutable"):
        setattr(cfg[group] if group else cfg, name, 1)


@pytest.mark.parametrize(
    ("key", "nearest"),
    [
        ("SOLVER.BASELR", "SOLVER.BASE_LR"),
        ("solver.seed", "SOLVER.SEED"),
        ("SOLVERS.SEED", "SOLVER.SEED"),
        ("OUTPUT_DIRECTORY", "OUTPUT_DIR"),
        ("DENOISE.LAMDA", "DENOISE.LAMBDA"),
    ],
)
def test_an_unknown_key_suggests_the_nearest(key, nearest, tmp_path):
    assert refusal(None, [key, "1"]) == f"unknown key {key}, did you mean {nearest}?"
    group, _, name = key.rpartition(".")
    path = write(tmp_path, f"{group}:\n  {name}: 1\n" if group else f"{name}: 1\n")
    # Of an unknown group the group is named, of an unknown key in a known group the key.
    assert refusal(path).startswith(f"unknown key {key if group in ('', 'SOLVER', 'DENOISE') else group}")


def test_an_unknown_key_like_nothing_has_no_suggestion():
    assert refusal(None, ["zzzzzzzz", "1"]) == "unknown key zzzzzzzz"


@pytest.mark.parametrize("key", ["SOLVER.SEED.MORE", "OUTPUT_DIR.X", "", ".", "SOLVER."])
def test_a_key_below_a_value_or_without_a_name_is_unknown(key):
    assert refusal(None, [key, "1"]).startswith(f"unknown key {key}")


@pytest.mark.parametrize("value", ["1", "text", "None"])
def test_a_group_cannot_be_set_to_a_value(value):
    assert "TEST is a group of keys (WEIGHT, IMS_PER_BATCH" in refusal(None, ["TEST", value])


def test_an_empty_group_in_the_file_is_refused_with_its_keys(tmp_path):
    assert "TEST is a group of keys" in refusal(write(tmp_path, "TEST:\n"))


@pytest.mark.parametrize(
    ("key", "word", "wanted", "got"),
    [
        ("SOLVER.SEED", "1.5", "int such as 1234", "1.5 (float)"),
        ("SOLVER.SEED", "True", "int such as 1234", "True (bool)"),
        ("SOLVER.SEED", "many", "int such as 1234", "'many' (str)"),
        ("SOLVER.BASE_LR", "fast", "float such as 0.0004", "'fast' (str)"),
        ("SOLVER.BASE_LR", "true", "float such as 0.0004", "True (bool)"),
        ("SOLVER.AMP", "no", "bool such as True", "'no' (str)"),
        ("SOLVER.AMP", "1", "bool such as True", "1 (int)"),
        ("OUTPUT_DIR", "5", "str such as 'runs/default'", "5 (int)"),
        ("INPUT.SIZE_TRAIN", "256", "list such as [256, 128]", "256 (int)"),
        ("INPUT.SIZE_TRAIN", "big", "list such as [256, 128]", "'big' (str)"),
        ("INPUT.SIZE_TRAIN", "{1:2}", "list such as [256, 128]", "{1: 2} (dict)"),
    ],
)
def test_a_wrong_type_shows_key_type_example_and_value(key, word, wanted, got):
    assert refusal(None, [key, word]) == f"{key} must be a {wanted}, got {got}"


def test_a_wrong_type_in_the_file_is_the_same_fault(tmp_path):
    path = write(tmp_path, "SOLVER:\n  AMP: 'yes'\n")
    assert refusal(path) == "SOLVER.AMP must be a bool such as True, got 'yes' (str)"


def test_all_wrong_keys_and_types_of_file_and_words_are_in_one_message(tmp_path):
    path = write(tmp_path, "SOLVER:\n  SEEED: 1\n  AMP: 3\nNEW: 1\n")
    faults = refusal(path, ["MODEL.NAME", "7", "TEST.METRICS", "cosine"]).split("; ")
    assert [fault.split(",")[0].split(" must")[0] for fault in faults] == [
        "unknown key SOLVER.SEEED",
        "SOLVER.AMP",
        "unknown key NEW",
        "MODEL.NAME",
        "unknown key TEST.METRICS",
    ]


@pytest.mark.parametrize("text", ["1e-4", "0.0001", "1E-4", "'1e-4'"])
def test_yaml_text_of_a_float_is_a_float(text, tmp_path):
    # YAML 1.1 reads 1e-4, which has no point, as text.
    cfg = load_config(write(tmp_path, f"SOLVER:\n  BASE_LR: {text}\n"))
    assert type(cfg.SOLVER.BASE_LR) is float
    assert cfg.SOLVER.BASE_LR == 0.0001


def test_a_whole_number_is_a_float_where_one_is_expected():
    cfg = load_config(None, ["SOLVER.BASE_LR", "1"])
    assert type(cfg.SOLVER.BASE_LR) is float
    assert cfg.SOLVER.BASE_LR == 1.0


@pytest.mark.parametrize("word", ["nan", "inf", "1e999"])
def test_text_of_nan_or_infinity_is_refused(word):
    assert refusal(None, ["SOLVER.BASE_LR", word]).startswith("SOLVER.BASE_LR must be in 0..100, got ")


def test_a_tuple_is_a_list_and_one_name_is_a_list_of_names():
    cfg = load_config(None, ["INPUT.SIZE_TRAIN", "(64,32)", "DENOISE.TARGETS", "conv"])
    assert cfg.INPUT.SIZE_TRAIN == [64, 32]
    assert cfg.DENOISE.TARGETS == ["conv"]


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("true", True),
        ("False", False),
        ("-1", -1),
        ("1e-3", 0.001),
        ("[1, 2]", [1, 2]),
        ("'5'", "5"),
        ("runs/a b", "runs/a b"),
        ("2024-runs", "2024-runs"),
        ("f(1)", "f(1)"),
        ("{[]: 1}", "{[]: 1}"),
        ("", ""),
    ],
)
def test_a_word_is_pythons_notation_or_text(word, value):
    assert parse_value(word) == value
    assert type(parse_value(word)) is type(value)


@pytest.mark.parametrize(
    ("key", "word", "expected"),
    [
        ("SOLVER.MAX_EPOCHS", str(2**31), "must be in 0..100000, got 2147483648"),
        ("DENOISE.TIMESTEPS", str(2**31), "must be in 1..100000, got 2147483648"),
        ("SOLVER.BASE_LR", "1e300", "must be in 0..100, got 1e+300"),
        ("SOLVER.BASE_LR", "1" * 401, "must be in 0..100, got inf"),
        ("SOLVER.BASE_LR", "-" + "1" * 401, "must be in 0..100, got -inf"),
        ("SOLVER.SEED", "1" * 401, "got a number of 1329 bits"),
        ("SOLVER.SEED", "0x" + "f" * 5000, "got a number of 20000 bits"),
        ("SOLVER.SEED", "-" * 10**5 + "1", "must be a int such as 1234, got '------"),
        ("INPUT.PIXEL_MEAN", f"[{'1' * 401}, 0, 0]", "got [a number of 1329 bits, 0, 0]"),
        ("INPUT.PIXEL_STD", "[1e-300, 1, 1]", "must be three numbers in 0.001..1000, got [1e-300, 1, 1]"),
        ("DENOISE.TARGETS", "[" * 90 + "]" * 90, "got [[[...]]]"),
    ],
    ids=lambda text: text[:20],
)
def test_absurd_values_are_refused_in_a_short_line(key, word, expected):
    message = refusal(None, [key, word])
    assert message.startswith(key)
    assert expected in message
    assert len(message) < 200


@pytest.mark.parametrize("words", [["SOLVER.SEED"], ["SOLVER.SEED", "1", "TEST.METRIC"]])
def test_an_odd_number_of_words_is_refused_and_shown(words):
    expected = f"overrides must be KEY VALUE pairs, got {len(words)} words: {' '.join(words)}"
    assert refusal(None, words) == expected


@pytest.mark.parametrize("text", ["", "# only a comment\n", "{}\n"])
def test_an_empty_file_is_the_defaults(text, tmp_path):
    assert load_config(write(tmp_path, text)) == get_default_config()


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"A: [1,\nB: }", "is no YAML"),
        (b"\xff\xfe\x00", "is no YAML"),
        (b"- 1\n- 2\n", "must hold KEY: value lines, got list"),
        (b"just words", "must hold KEY: value lines, got str"),
        (b"!!python/object/apply:os.getcwd []", "is no YAML"),
        (b"SOLVER:\n  SEED: 2020-13-45", "is no YAML: month must be in 1..12"),
        (b"SOLVER:\n  SEED: " + b"1" * 5000, "is no YAML: Exceeds the limit"),
        (b"SOLVER:\n  SEED: !!timestamp x", "is no YAML"),
        (b"SOLVER:\n  SEED: !!bool x", "is no YAML"),
        (b"A: " + b"[" * 3000, "is no YAML: maximum recursion depth exceeded"),
        (b"A: &a [1]\nB: *a", "is no YAML: line 2: aliases are not read here"),
    ],
)
def test_a_file_that_is_no_tree_is_refused_with_its_path(content, match, tmp_path):
    path = tmp_path / "bad.yml"
    path.write_bytes(content)
    message = refusal(path)
    assert match in message
    assert str(path) in message


def test_a_name_without_suffix_is_looked_up_in_configs():
    for name in ("demo", "demo.yml"):
        assert find_config(name).name == "demo.yml"
        assert find_config(name).parent.name == "configs"


def test_configs_beside_the_code_are_found_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_config("demo").is_file()
    assert load_config("demo").MODEL.NAME == "vit_micro"


def test_a_file_here_goes_before_one_in_configs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "OUTPUT_DIR: here\n", "demo.yml")
    assert find_config("demo.yml") == Path("demo.yml")
    assert load_config("demo").OUTPUT_DIR == "here"


def test_a_file_that_is_missing_names_the_nearest_one():
    message = refusal("vit_smal_market.yml")
    assert message.startswith("no configuration file vit_smal_market.yml; did you mean vit_small_market.yml?")
    assert "demo.yml, " in message


@pytest.mark.parametrize("path", ["", ".", "/", "..", "configs"])
def test_a_folder_is_no_configuration_file(path):
    assert refusal(path).startswith("no configuration file ")


def test_the_text_of_a_config_gives_the_same_config_again():
    words = ["SOLVER.BASE_LR", "1e-7", "DENOISE.TARGETS", r"conv\d+", "SOLVER.AMP", "false"]
    cfg = load_config("demo", words)
    again = config_from_text(cfg.dump())
    assert again == cfg
    assert again.is_frozen()


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("A: [1,", "no YAML"),
        ("- 1", "must hold KEY: value"),
        ("words", "must hold"),
        ("OLD_KEY: 1", "unknown key"),
    ],
)
def test_text_that_is_no_config_is_refused(text, match):
    with pytest.raises(ConfigError, match=match):
        config_from_text(text)


def test_a_config_error_is_an_input_error():
    assert issubclass(ConfigError, InputError)


def test_other_values_are_of_a_frozen_copy():
    cfg = get_default_config()
    cfg.freeze()
    own = with_values(cfg, {"OUTPUT_DIR": "7", "SOLVER.SEED": 3, "DATASETS.NAMES": ["a"]})
    assert (own.OUTPUT_DIR, own.SOLVER.SEED, own.DATASETS.NAMES) == ("7", 3, ["a"])
    assert own.is_frozen()
    assert cfg == get_default_config()
