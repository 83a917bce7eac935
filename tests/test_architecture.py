"""What CONTRIBUTING.md says of the house: imports go down, cfg stays in builders, only reid is installed."""

import ast
from pathlib import Path

import pytest
from setuptools import find_packages

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "reid").rglob("*.py"))
BELOW = {"utils", "config"}
ALLOWED = {
    "utils": set(),
    "config": {"utils"},
    "denoise": set(),
    "data": {"utils", "config"},
    "losses": {"utils", "config"},
    "models": {"denoise", "data", *BELOW},
    "adaptation": {*BELOW},
    "evaluation": {"data", *BELOW},
    "retrieval": {"models", "evaluation", "data", *BELOW},
    "export": {"models", "denoise", *BELOW},
    "engine": {"models", "losses", "data", "evaluation", "adaptation", "denoise", *BELOW},
    "leaderboard": {"engine", "models", "data", "evaluation", *BELOW},
}
MAY_SEE_CFG = {"build.py", "build_comparison.py", "build_data.py", "build_cells.py"}


def name(path):
    return path.relative_to(ROOT).as_posix()


def imported_modules(path):
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} uses a relative import"
            found.add(node.module)
        elif isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
    return found


def test_every_package_has_a_place_in_the_order():
    packages = {path.name for path in (ROOT / "reid").iterdir() if (path / "__init__.py").exists()}
    assert packages == set(ALLOWED)
    assert len(SOURCES) > 60


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_imports_point_downwards(path):
    package = path.relative_to(ROOT / "reid").parts[0]
    if package in ALLOWED:
        used = {module.split(".")[1] for module in imported_modules(path) if module.startswith("reid.")}
        assert used <= ALLOWED[package] | {package}


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_only_the_backbones_know_timms_models(path):
    """Beside them, random erasing and the version of the package are used."""
    known = {"reid/models/header.py", "reid/data/transforms.py"}
    if any(module.split(".")[0] == "timm" for module in imported_modules(path)):
        assert name(path) in known or path.parent.name == "backbones"


def test_evaluation_knows_records_and_nothing_else_of_data():
    used = {m for path in SOURCES if "evaluation" in path.parts for m in imported_modules(path)}
    assert {module for module in used if module.startswith("reid.data")} == {"reid.data.records"}


def test_models_know_how_one_image_is_read_and_prepared_and_nothing_else_of_data():
    lines = [line for path in SOURCES if "models" in path.parts for line in path.read_text().splitlines()]
    imports = [line for line in lines if "reid.data" in line and "import" in line]
    assert imports == ["from reid.data import read_image, test_transform, to_rgb"]


def test_faiss_is_imported_only_inside_the_search():
    for path in SOURCES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        top = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
        names = [alias.name for node in top for alias in node.names]
        assert "faiss" not in names, path


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_only_builders_know_cfg(path):
    if path.name in MAY_SEE_CFG or path.parent.name == "config" or name(path) == "reid/engine/load.py":
        return
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert "cfg" not in {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_files_are_small(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 300


@pytest.mark.parametrize("path", sorted((ROOT / "tools").glob("*.py")), ids=name)
def test_tools_are_thin(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 70


def test_only_reid_is_installed():
    packages = find_packages(str(ROOT), include=["reid", "reid.*"])
    assert {package.split(".")[0] for package in packages} == {"reid"}
    assert not list((ROOT / "datasets").glob("*.py"))
