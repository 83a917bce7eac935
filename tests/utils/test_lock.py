"""A folder is one process's at a time, and free again however that process ends."""

import subprocess
import sys

import pytest

from reid.utils import InputError, hold_folder

pytest.importorskip("fcntl")
HOLD = """
import os, sys
from pathlib import Path
from reid.utils import hold_folder
with hold_folder(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
    os._exit(9)
"""


def test_another_process_is_refused_until_the_first_has_ended(tmp_path):
    folder = tmp_path / "new" / "results"
    command = [sys.executable, "-c", HOLD, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(InputError, match=f"another run is at work in {folder}"), hold_folder(folder):
            pass
        other.communicate("end\n")
    assert other.returncode == 9
    with hold_folder(folder):
        pass
    with hold_folder(folder):
        pass
    assert list(folder.iterdir()) == [], "nothing is left in it"


def test_a_block_that_fails_frees_it(tmp_path):
    with pytest.raises(ZeroDivisionError), hold_folder(tmp_path):
        1 / 0  # noqa: B018
    with hold_folder(tmp_path):
        pass
