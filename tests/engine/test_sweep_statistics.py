"""Where the statistics of a sweep come from: never gathered twice, never of other weights, never lost."""

import pytest
import torch

from reid.denoise import Moments, load_statistics, save_statistics
from reid.engine.sweep_statistics import StatisticsFiles
from reid.utils import InputError


def moments(value):
    return Moments(4, torch.full((2,), float(value), dtype=torch.float64), torch.eye(2, dtype=torch.float64))


def of(*names, value=1.0):
    return {name: moments(value) for name in names}


@pytest.fixture
def files(tmp_path):
    def make(named=None, key="ours"):
        own = tmp_path / "out" / "statistics.pt"
        return StatisticsFiles(named, tmp_path / "run" / "statistics.pt", own, key)

    (tmp_path / "run").mkdir()
    return make


def refuse(layers):
    raise AssertionError(f"gathered {layers}")


def test_the_named_file_is_taken(files, tmp_path):
    path = tmp_path / "given.pt"
    save_statistics(of("a", "b"), path, of="ours")
    found, source = files(path).find(["a"], refuse)
    assert (set(found), source) == ({"a", "b"}, path)
    assert set(files(path).read_named()) == {"a", "b"}
    assert files().read_named() is None


def test_a_named_file_that_lacks_layers_is_refused_with_their_names(files, tmp_path):
    path = tmp_path / "given.pt"
    save_statistics(of("a"), path, of="ours")
    with pytest.raises(InputError, match=r"lacks b, c, d and 1 more; name fewer") as refused:
        files(path).find(["a", "b", "c", "d", "e"], refuse)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("content", [b"", b"no statistics"])
def test_a_named_file_of_another_kind_or_of_other_weights_is_refused(files, tmp_path, content):
    path = tmp_path / "given.pt"
    path.write_bytes(content)
    with pytest.raises(InputError, match="no statistics of this version"):
        files(path).find(["a"], refuse)
    save_statistics(of("a"), path, of="theirs")
    with pytest.raises(InputError, match="other weights"):
        files(path).read_named()


def test_a_file_beside_the_weights_is_taken_where_it_covers_the_layers(files):
    save_statistics(of("a", "b"), files().beside, of="ours")
    found, source = files().find(["b"], refuse)
    assert (set(found), source) == ({"a", "b"}, files().beside)
    assert not files().own.parent.exists()


def test_what_is_lacking_is_gathered_once_and_written(files):
    save_statistics(of("a", value=1), files().beside, of="ours")
    asked = []

    def gather(layers):
        asked.append(layers)
        return of(*layers, value=2)

    found, source = files().find(["a", "b", "c"], gather)
    assert (asked, source) == ([["b", "c"]], files().own)
    assert [float(found[name].mean[0]) for name in "abc"] == [1, 2, 2]
    again, source = files().find(["a", "b", "c"], refuse)
    assert (set(again), source) == (set("abc"), files().own)
    assert set(load_statistics(files().beside)) == {"a"}


def test_other_weights_beside_are_passed_over_and_those_in_the_output_kept(files):
    save_statistics(of("a"), files().beside, of="theirs")
    _, source = files().find(["a"], lambda layers: of(*layers))
    assert source == files().own
    with pytest.raises(InputError, match=r"other weights.*name another OUTPUT_DIR"):
        files(key="third").find(["a"], refuse)
    assert set(load_statistics(files().own, of="ours")) == {"a"}


def test_without_a_pass_over_images_a_file_must_be_there(files):
    with pytest.raises(
        InputError, match=r"statistics of every layer must be in .*they lack a; name their file"
    ):
        files().find(["a"])
    assert not files().own.parent.exists()


def test_a_named_file_that_is_not_there_and_a_folder_in_the_place_of_one_are_refused(files, tmp_path):
    for path in (tmp_path / "nowhere.pt", tmp_path):
        with pytest.raises(InputError, match="no such file; name one, or leave --statistics out"):
            files(path).read_named()
        with pytest.raises(InputError, match="no such file"):
            files(path).find(["a"], refuse)
    files().own.mkdir(parents=True)
    with pytest.raises(InputError, match=r"statistics\.pt must be a file.*name another OUTPUT_DIR"):
        files().find(["a"], refuse)
