import json

import numpy as np
import pytest

from reid.data.readable import Unreadable
from reid.engine.parts import Part, Parts
from reid.utils import InputError

JOB = {"weights": "ab", "flip": False}


def part(first=0):
    feats = np.arange(6, dtype=np.float32).reshape(2, 3) + first
    return Part(feats, np.array([first, first + 2]), [Unreadable(first + 1, "ü.jpg is not")])


def begun(tmp_path, job=JOB, resume=False):
    parts = Parts(tmp_path / "f.npz")
    return parts, parts.begin(job, resume=resume)


def test_parts_come_back_as_they_were(tmp_path):
    parts, count = begun(tmp_path)
    assert count == 0
    assert not list(tmp_path.iterdir())  # nothing is written before there is a part
    empty = Part(np.empty((0, 0), np.float32), np.array([], np.int64), [Unreadable(3, "x")])
    for number, one in enumerate((part(), part(3), empty)):
        parts.write(number, one)
    again, count = begun(tmp_path, resume=True)
    assert count == 3
    for number, one in enumerate((part(), part(3), empty)):
        found = again.read(number)
        assert found.feats.tobytes() == one.feats.tobytes()
        assert found.feats.shape == one.feats.shape
        assert found.rows.tolist() == one.rows.tolist()
        assert found.unreadable == one.unreadable


def test_only_its_own_files_are_removed(tmp_path):
    parts, _ = begun(tmp_path)
    parts.write(0, part())
    (parts.folder / ".part_00001-x1y2.npz").touch()  # what a kill in the middle of a write leaves
    parts.remove()
    assert not parts.folder.exists()
    parts.write(0, part())
    (parts.folder / "mine.txt").touch()
    parts.remove()
    assert [path.name for path in parts.folder.iterdir()] == ["mine.txt"]
    assert begun(tmp_path, resume=True)[1] == 0


def test_a_mix_up_is_refused(tmp_path):
    parts, _ = begun(tmp_path)
    parts.write(0, part())
    with pytest.raises(InputError, match="go on with --resume, or delete it"):
        begun(tmp_path)
    with pytest.raises(InputError, match=r"parts of an extraction with other flip, weights; repeat"):
        begun(tmp_path, {"weights": "cd", "flip": True}, resume=True)
    with pytest.raises(InputError, match="with other size"):
        begun(tmp_path, JOB | {"size": 1}, resume=True)
    for text in ("{", "[]", "\xff"):
        (parts.folder / "job.json").write_text(text, encoding="latin-1")
        with pytest.raises(InputError, match=r"job\.json must say .* delete the folder"):
            begun(tmp_path, resume=True)
    (parts.folder / "job.json").unlink()
    with pytest.raises(InputError, match=r"job\.json must say"):
        begun(tmp_path, resume=True)
    (parts.folder / "job.json").write_text(json.dumps(JOB))
    assert begun(tmp_path, resume=True)[1] == 1


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "f.npz.parts").touch()
    with pytest.raises(InputError, match="is no folder; remove it"):
        begun(tmp_path)


def test_a_damaged_part_is_refused_by_name(tmp_path):
    parts, _ = begun(tmp_path)
    parts.write(0, part())
    path = parts.folder / "part_00000.npz"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match=r"part_00000\.npz is no readable feature file"):
        parts.read(0)
