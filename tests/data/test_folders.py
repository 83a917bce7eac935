import re

import pytest

from reid.data.folders import find_tree, first_missing, image_names
from reid.utils import InputError


def test_the_first_spelling_that_holds_a_mark_wins(make_files):
    root = make_files("B/query/x.jpg", "query/x.jpg")
    assert find_tree(root, "Set", ("A", "B", "."), ("query",)) == root / "B"


def test_the_root_itself_can_be_the_tree(make_files):
    root = make_files("query/x.jpg")
    assert find_tree(root, "Set", ("A", "."), ("train", "query")) == root


def test_a_missing_tree_is_named_in_full(tmp_path):
    with pytest.raises(
        InputError, match=rf"^Set not found: {re.escape(str(tmp_path))}/A/train does not exist; "
    ):
        find_tree(tmp_path, "Set", ("A", "."), ("train",))


def test_a_missing_root_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"the data root must be a folder, .*/nowhere is not one"):
        find_tree(tmp_path / "nowhere", "Set", (".",), ("train",))


def test_images_are_sorted_and_other_files_ignored(make_files):
    root = make_files("b.jpg", "a.PNG", "c.jpeg", "Thumbs.db", "._a.jpg", "sub/d.jpg")
    assert image_names(root, "Set") == ["a.PNG", "b.jpg", "c.jpeg"]


def test_an_absent_folder_of_images_points_at_the_readme(tmp_path):
    with pytest.raises(InputError, match=r"Set not found: .*/query does not exist; see datasets/README.md"):
        image_names(tmp_path / "query", "Set")


@pytest.mark.parametrize(
    ("paths", "missing"),
    [
        ([], None),
        (["a.jpg", "d/b.jpg", "d/../a.jpg"], None),
        (["a.jpg", "d/c.jpg", "e/f.jpg"], 1),
        (["a.jpg", "e/f.jpg"], 1),
        (["A.jpg"], 0),
    ],
)
def test_the_first_missing_file_is_found(make_files, paths, missing):
    assert first_missing(make_files("a.jpg", "d/b.jpg"), paths) == missing


def test_a_file_system_that_ignores_case_is_believed(make_files, monkeypatch):
    root = make_files("a.jpg")
    monkeypatch.setattr("reid.data.folders.os.listdir", lambda folder: ["A.JPG"])
    assert first_missing(root, ["a.jpg"]) is None
