import pytest
from trees import refusal, write_list

from reid.data.list_files import read_list


def read(path):
    return read_list(path, "Set", "a/1.jpg 7")


@pytest.mark.parametrize(
    "text",
    [
        "a/1.jpg 7\nb/2.jpg 0\n",
        "a/1.jpg 7\nb/2.jpg 0",
        "a/1.jpg 7\r\nb/2.jpg 0\r\n\r\n\r\n",
        "a\\1.jpg 7\nb\\2.jpg 0\n  \n",
        "a/1.jpg\t7 \n  b/2.jpg   0\n",
        "\ufeffa/1.jpg 007\nb/2.jpg 0\n",
    ],
    ids=["plain", "no end", "windows", "backslashes", "tabs", "mark"],
)
def test_lists_are_known_in_each_spelling(tmp_path, text):
    (tmp_path / "list.txt").write_text(text, encoding="utf-8", newline="")
    assert read(tmp_path / "list.txt") == [(1, "a/1.jpg", 7), (2, "b/2.jpg", 0)]


def test_a_line_keeps_its_number_after_blank_ones(tmp_path):
    write_list(tmp_path / "list.txt", ["", "a.jpg 1", "", "b.jpg 2"])
    assert [line.number for line in read(tmp_path / "list.txt")] == [2, 4]


@pytest.mark.parametrize("line", ["a.jpg", "a.jpg -1", "a.jpg x", "7", "a.jpg 1.0", "a.jpg ²"])
def test_another_line_is_refused_with_its_number(tmp_path, line):
    path = tmp_path / "list.txt"
    write_list(path, ["a/1.jpg 7", line])
    assert refusal(read, path) == f"{path}:2 must read like 'a/1.jpg 7', got '{line}'"


def test_an_empty_and_a_missing_list_are_refused(tmp_path):
    path = tmp_path / "list.txt"
    assert refusal(read, path).startswith(f"Set not found: {path} does not exist")
    write_list(path, ["", " "])
    assert refusal(read, path).startswith(f"{path} must list images, it is empty")
