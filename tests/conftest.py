"""What every test starts from."""

import gc
import logging
import os

# The tensors here are small: threads would spend their time waiting for each other, also in the processes
# that tests start. Read when numpy and torch are imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import pytest
import torch

torch.set_num_threads(1)


def pytest_collection_finish():
    """Keep what was imported and collected out of every search for garbage; it stays until the end."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _same_logger_for_every_test():
    """Undo ``setup_logging``: a handler or a stopped propagation must not reach the next test."""
    logger = logging.getLogger("reid")
    before = (logger.level, logger.propagate, list(logger.handlers))
    yield
    for handler in set(logger.handlers) - set(before[2]):
        handler.close()
    logger.level, logger.propagate, logger.handlers = before
