import logging
import os
import re

import pytest

from reid.data.folders import find_tree, first_missing, image_names, images_below
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


def test_images_below_a_folder_are_sorted_and_the_rest_is_counted(make_files, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("reid"), "propagate", True)
    caplog.set_level(logging.INFO, "reid")
    root = make_files(
        "b.jpg", "a/z.PNG", "a/b/c.jpeg", "a-b.jpg", "notes.txt", "a/x.bmp", "a/y.gif", ".h.jpg", ".git/y.jpg"
    )
    (root / "circle").symlink_to(root)
    assert images_below(root) == ["a-b.jpg", "a/b/c.jpeg", "a/x.bmp", "a/z.PNG", "b.jpg"]
    assert f"2 files in {root} are no .jpg, .jpeg, .png" in caplog.text


def test_a_folder_without_images_is_refused(make_files):
    with pytest.raises(InputError, match=r"must hold \.jpg, .* \.tiff files, .* has none"):
        images_below(make_files("notes.txt"))


def test_a_folder_that_cannot_be_listed_is_not_left_out(make_files, monkeypatch):
    root, scandir = make_files("a.jpg", "b/c.jpg"), os.scandir

    def listed(path):
        if str(path).endswith("b"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", listed)
    with pytest.raises(PermissionError):
        images_below(root)
