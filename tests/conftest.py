"""What every test starts from."""

import logging

import pytest
import torch

# The tensors here are small: threads would spend their time waiting for each other.
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _same_logger_for_every_test():
    """Undo ``setup_logging``: a handler or a stopped propagation must not reach the next test."""
    logger = logging.getLogger("reid")
    before = (logger.level, logger.propagate, list(logger.handlers))
    yield
    for handler in set(logger.handlers) - set(before[2]):
        handler.close()
    logger.level, logger.propagate, logger.handlers = before
