"""Files are whole or absent."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from reid.utils import (
    InputError,
    append_jsonl,
    as_path,
    check_output,
    check_writable,
    write_atomically,
    write_json,
)


def test_the_file_appears_when_the_block_ends_and_nothing_else_stays(tmp_path):
    path = tmp_path / "a" / "b" / "file.txt"
    with write_atomically(path) as temporary:
        temporary.write_text("new")
        assert not path.exists()
        assert temporary.parent == path.parent
        assert temporary.suffix == ".txt"
    assert path.read_text() == "new"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("old", [None, "old"])
def test_an_exception_leaves_no_temporary_file_and_the_old_content(error, old, tmp_path):
    path = tmp_path / "file.txt"
    if old is not None:
        path.write_text(old)

    def write_half():
        with write_atomically(path) as temporary:
            temporary.write_text("half")
            raise error("stop")

    with pytest.raises(error, match="stop"):
        write_half()
    assert [p.name for p in tmp_path.iterdir()] == ([] if old is None else ["file.txt"])
    assert old is None or path.read_text() == old


def test_a_written_file_is_as_readable_as_one_written_plainly(tmp_path):
    plain, path = tmp_path / "plain", tmp_path / "atomic"
    old = os.umask(0o027)
    try:
        plain.write_text("")
        with write_atomically(path) as temporary:
            temporary.write_text("")
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(old)
    assert oct(path.stat().st_mode) == oct(plain.stat().st_mode)
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_folder_that_is_a_file_is_an_os_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"), write_atomically(tmp_path / "file" / "x"):
        pass


def test_json_is_written_and_read_back(tmp_path):
    value = {"mAP": 66.3, "names": ["a", "ü"], "none": None}
    write_json(tmp_path / "x.json", value)
    text = (tmp_path / "x.json").read_text(encoding="utf-8")
    assert json.loads(text) == value
    assert text.endswith("}\n")


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_json_refuses_what_it_cannot_express_and_keeps_the_old_file(number, tmp_path):
    write_json(tmp_path / "x.json", [1])
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "x.json", {"a": [number]})
    assert json.loads((tmp_path / "x.json").read_text()) == [1]
    assert len(list(tmp_path.iterdir())) == 1


def test_rows_are_appended_one_a_line(tmp_path):
    path = tmp_path / "new" / "rows.jsonl"
    append_jsonl(path, {"epoch": 1, "note": "two\nlines"})
    append_jsonl(path, {"epoch": 2})
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert rows == [{"epoch": 1, "note": "two\nlines"}, {"epoch": 2}]


def test_a_row_with_nan_is_refused_and_leaves_the_rows_before(tmp_path):
    path = tmp_path / "rows.jsonl"
    append_jsonl(path, {"epoch": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        append_jsonl(path, {"loss": float("nan")})
    assert path.read_text() == '{"epoch": 1}\n'


def test_a_link_stays_a_link_and_its_target_is_replaced(tmp_path):
    (tmp_path / "runs").mkdir()
    link, target = tmp_path / "link.json", tmp_path / "runs" / "target.json"
    link.symlink_to(target)
    for value in ([1], [2]):
        check_writable(link)
        write_json(link, value)
        assert link.is_symlink()
        assert json.loads(target.read_text()) == value


def test_a_pipe_is_written_to(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    check_writable(path)
    write_json(path, [1])
    assert json.loads(os.read(reader, 100)) == [1]
    os.close(reader)
    assert path.is_fifo()


@pytest.mark.slow
@pytest.mark.parametrize("to_file", [True, False])
def test_standard_output_gets_json_after_what_was_printed(tmp_path, to_file):
    code = (
        "from pathlib import Path; from reid.utils import check_writable, write_json; print('table');"
        " path = Path('/dev/stdout'); check_writable(path); write_json(path, [1])"
    )
    out = tmp_path / "out.txt"
    with out.open("w") as file:
        result = subprocess.run(
            [sys.executable, "-c", code], stdout=file if to_file else subprocess.PIPE, text=True, check=True
        )
    printed = out.read_text() if to_file else result.stdout
    assert printed.split() == ["table", "[", "1", "]"]


def test_results_replace_no_pipe_or_device(tmp_path):
    pipe, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(pipe)
    link.symlink_to(os.devnull)
    for path in (pipe, link):
        with pytest.raises(InputError, match=f"must go to a regular file, {path} is a device, a pipe"):
            check_output(path)
        check_output(path, to_stream=True)
        with pytest.raises(InputError, match="only a regular file can be replaced"), write_atomically(path):
            pass
    assert pipe.is_fifo()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "pipe"]


@pytest.mark.parametrize("name", ["loop", "loop/x.pth"])
def test_links_in_a_circle_are_refused_as_such(name, tmp_path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for call in (check_writable, check_output, lambda path: write_atomically(path).__enter__()):
        with pytest.raises(InputError, match=r"loop.* leads nowhere: its symbolic links go in a circle"):
            call(tmp_path / name)
    check_output(tmp_path / "x.pth", tmp_path / name)


def test_an_output_is_none_of_the_inputs_however_it_is_spelled(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "in.pth")
    for path in (tmp_path / "in.pth", tmp_path / "link", tmp_path / "." / "in.pth"):
        with pytest.raises(InputError, match="is read or written already"):
            check_output(path, None, tmp_path / "in.pth")


def test_a_failed_write_that_another_error_hides_is_an_os_error_all_the_same(tmp_path):
    path = tmp_path / "x.pth"
    hiding = RuntimeError("the archive cannot be finished")
    hiding.__context__ = OSError(28, "No space left on device")
    with pytest.raises(OSError, match=r"No space left.*x\.pth"), write_atomically(path):
        raise hiding
    with pytest.raises(RuntimeError, match="ours"), write_atomically(path):
        raise RuntimeError("ours")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="there is no /proc")
def test_a_folder_that_takes_no_files_is_known_before():
    with pytest.raises(InputError, match="/proc cannot; name another file"):
        check_writable(Path("/proc/x.json"))


def test_where_nothing_can_be_written_is_known_before(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    for good in ("file", "new.json", "new/folder/x.json"):
        check_writable(tmp_path / good)
    with pytest.raises(InputError, match=r"must go to a file, .* is a folder"):
        check_writable(tmp_path)
    with pytest.raises(InputError, match=r"must go into a folder, .*file is a file"):
        check_writable(tmp_path / "file" / "x.json")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(InputError, match=f"{tmp_path} cannot; name another file"):
        check_writable(tmp_path / "new" / "x.json")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_files_under_one_another_are_refused(tmp_path):
    for one, other in (("a.npz", "a.npz/b.npz"), ("a.npz/b/c.json", "a.npz")):
        with pytest.raises(
            InputError, match="cannot both be files, one lies under the other; name"
        ) as caught:
            check_output(tmp_path / one, None, tmp_path / other)
        assert "\n" not in str(caught.value)
    check_output(tmp_path / "a.npz", tmp_path / "a.npz.json", tmp_path / "b" / "a.npz")
    check_output(tmp_path / "a.npz", tmp_path)  # a folder that is read


@pytest.mark.parametrize("given", ["", "a\0b", "a\ud800b", None, 5, b"a", ["a"]])
def test_what_is_no_path_is_refused(given):
    with pytest.raises(InputError, match="a path must be the text of one, got"):
        as_path(given)


def test_a_path_is_one():
    assert as_path("a/b") == as_path(Path("a/b")) == Path("a/b")
    assert os.fsencode(as_path("a\udcff")) == b"a\xff", "a name that is not UTF-8"
