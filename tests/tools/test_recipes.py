"""The recipes that reproduce tables, run for an epoch of each kind on drawn people in the right layout."""

import subprocess
import sys
from pathlib import Path

import pytest

from reid.data import write_synthetic_msmt

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.parametrize("version", ["V1", "V2"])
def test_the_msmt17_recipe_runs_on_a_tree_of_its_layout(tmp_path, version):
    tree = tmp_path / f"MSMT17_{version}"
    write_synthetic_msmt(tree, version=version, num_train_ids=16, num_test_ids=4, num_cameras=2)
    words = [
        "DATASETS.ROOT_DIR",
        str(tmp_path),
        "OUTPUT_DIR",
        str(tmp_path / "run"),
        "SOLVER.MAX_EPOCHS",
        "1",
    ]
    words += ["DENOISE.MAX_EPOCHS", "2", "DENOISE.PERIOD", "1", "MODEL.DEVICE", "cpu"]
    command = [sys.executable, str(ROOT / "tools/train.py"), "--config", "vit_small_msmt.yml", *words]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "train+val" in result.stdout
    assert version in result.stdout
    assert (tmp_path / "run" / "fused.pth").exists()
