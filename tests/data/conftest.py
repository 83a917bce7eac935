import logging
from pathlib import Path

import pytest

from reid.data import Records, load_market1501, write_synthetic_market


@pytest.fixture
def make_files(tmp_path):
    """Write empty files (or text) under tmp_path and return it."""

    def write(*names, text=""):
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    return write


@pytest.fixture(scope="session")
def small_market(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("drawn") / "market1501"
    write_synthetic_market(
        root,
        num_train_ids=5,
        num_test_ids=3,
        num_cameras=2,
        images_per_camera=2,
        image_size=(48, 32),
        num_distractors=4,
        num_junk=3,
        seed=1,
    )
    return root


@pytest.fixture(scope="session")
def small_train(small_market) -> Records:
    return load_market1501(small_market, test=False).train


@pytest.fixture
def log_of_reid(monkeypatch, caplog):
    """Warnings of the library."""
    # setup_logging, where another test ran it, keeps the lines from the root logger.
    monkeypatch.setattr(logging.getLogger("reid"), "propagate", True)
    caplog.set_level(logging.WARNING, "reid")
    return caplog
