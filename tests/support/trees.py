"""Trees of empty files in a data set's naming, and the one-line refusal of a loader."""

import os

import pytest

from reid.utils import InputError


def plant(tree, folders):
    """Touch every name of {folder: names}; as fast as a hundred thousand files need it."""
    for folder, names in folders.items():
        (tree / folder).mkdir(parents=True, exist_ok=True)
        start = f"{tree / folder}{os.sep}"
        for name in names:
            os.close(os.open(start + name, os.O_CREAT | os.O_WRONLY))
    return tree


def write_list(path, lines, end="\n"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join(f"{line}{end}" for line in lines).encode())


def refusal(load, root, **options):
    """The message with which ``load`` refuses ``root``; one line."""
    with pytest.raises(InputError) as caught:
        load(root, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


def rows_of(records):
    return list(zip(records.paths.tolist(), records.pids.tolist(), records.camids.tolist(), strict=True))
