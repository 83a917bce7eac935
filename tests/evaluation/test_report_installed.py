"""The page's template, style and script are installed with the package."""

import shutil
import subprocess
import sys
from zipfile import ZipFile

import pytest

RENDER = """
from pathlib import Path
from reports import hand_made_report
from reid.evaluation import report
assert Path(report.__file__).is_relative_to(Path.cwd() / "installed"), report.__file__
assert "</html>" in report.render(hand_made_report(Path.cwd()))
"""


@pytest.mark.slow
def test_an_installed_package_renders_a_page(tmp_path, pytestconfig):
    root = pytestconfig.rootpath
    # A copy: building leaves folders beside setup.py.
    shutil.copytree(root / "reid", tmp_path / "source" / "reid", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.py", "pyproject.toml", "README.md"):
        shutil.copy(root / name, tmp_path / "source")
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--wheel-dir", str(tmp_path), str(tmp_path / "source")], check=True)
    (wheel,) = tmp_path.glob("denoisereid-*.whl")
    with ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    paths = [tmp_path / "installed", root / "tests" / "support"]
    code = f"import sys; sys.path[:0] = {list(map(str, paths))}\n{RENDER}"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
