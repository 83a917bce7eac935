"""A disk without room, as far as this process can tell."""

import resource
from contextlib import contextmanager


@contextmanager
def full_disk(kilobytes=1):
    """No file may grow beyond that; nothing is printed meanwhile, for that may go to a file too."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024 * kilobytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
