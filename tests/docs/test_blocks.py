"""The README and every page of docs/: their programs run as they stand, or why not is checked."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from documents import PAGES, ROOT, blocks
from PIL import Image

ALL = [block for page in PAGES for block in blocks(page)]
SHARED = ROOT.parent / "shared"
PARTS = ("reid", "tools", "configs", "datasets", "benchmarks", "examples", "docs")
# The README's own three commands: what every page goes on from.
FIRST = next(block for block in ALL if "make_synthetic" in block.code)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A copy of the project in which the README's commands were run, with a few files that a reader has."""
    place = tmp_path_factory.mktemp("reader") / "project"
    place.mkdir()
    kept_out = shutil.ignore_patterns("__pycache__", "synthetic", "vehicles2cam")
    for part in PARTS:
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, place / part, ignore=kept_out)
    for command in FIRST.commands:
        result = run(place, command)
        assert result.returncode == 0, f"{command}\n{result.stderr[-3000:]}"
    crops = sorted((place / "datasets/synthetic/bounding_box_test").glob("0*.jpg"))
    for name, crop in zip(("query", "first", "second"), crops, strict=False):
        shutil.copy(crop, place / f"{name}.jpg")
    frame = np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)
    Image.fromarray(frame).save(place / "frame.jpg")
    rows = ["path,camid", *(f"{crop},{re.search('_c(.)', crop.name)[1]}" for crop in crops[:200])]
    (place / "site.csv").write_text("\n".join(rows) + "\n")
    for file, name in (
        ("weights/osnet_x0_25_market1501.pth", "osnet_x0_25_market1501.pth"),
        ("data/vehicles2cam", "datasets/vehicles2cam"),
    ):
        if (SHARED / file).exists():
            (place / name).symlink_to(SHARED / file)
    return place


def run(place, command):
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(place)}
    return subprocess.run(
        ["bash", "-c", command], cwd=place, env=environment, capture_output=True, text=True, check=False
    )


def is_there(place, name):
    return any((folder / name).exists() for folder in (place, place / "datasets"))


def test_there_is_something_to_run():
    assert len(ALL) > 20
    assert {block.language for block in ALL} == {"sh", "python"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files(page):
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("block", [b for b in ALL if b.run_by], ids=lambda block: block.place)
def test_what_runs_elsewhere_does(block):
    """Each command, or the benchmark or tool that it calls, stands in the file that is named."""
    text = (ROOT / block.run_by).read_text(encoding="utf-8")
    for command in block.commands:
        named = re.search(r"(?:benchmarks|tools)/(\w+)\.py", command)
        assert command in text or (named and named[1] in text), f"{block.run_by} does not run {command!r}"


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_programs_run(page, place):
    for block in blocks(page):
        if block.run_by or block.place == FIRST.place:
            continue
        commands = block.commands
        if block.language == "python":
            (place / "block.py").write_text(block.code, encoding="utf-8")
            commands = ["python block.py"]
        for command in commands:
            result = run(place, f"{command} {block.words}".strip())
            missing = [name for name in block.missing if not is_there(place, name)]
            if missing:
                assert_names_what_is_missing(block, command, result, missing)
            else:
                assert result.returncode == 0, f"{block.place}: {command}\n{result.stderr[-3000:]}"


def assert_names_what_is_missing(block, command, result, missing):
    last = result.stderr.strip().splitlines()[-1]
    assert result.returncode == (1 if block.language == "python" else 2), f"{block.place}: {command}\n{last}"
    assert any(name in last for name in missing), f"{block.place}: {last!r} names none of {missing}"
    if block.language == "sh":
        assert "Traceback" not in result.stderr
