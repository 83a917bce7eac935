"""Progress bars, and how often they are drawn anew."""

import sys

from tqdm import tqdm


def refresh_interval() -> float:
    """Seconds between two refreshes; without a terminal each of them is a line in a log file."""
    return 0.5 if sys.stderr.isatty() else 10.0


def progress_bar(total: int, what: str, unit: str, *, show: bool = True) -> tqdm:
    """A bar on stderr that its user moves by ``update``, and closes as a context.

    Args:
        total: Units in all.
        what: Stands before the bar.
        unit: What is counted.
        show: Whether it is drawn at all.
    """
    return tqdm(total=total, desc=what, unit=unit, mininterval=refresh_interval(), disable=not show)
