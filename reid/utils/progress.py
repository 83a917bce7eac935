"""How often a progress bar is drawn anew."""

import sys


def refresh_interval() -> float:
    """Seconds between two refreshes; without a terminal each of them is a line in a log file."""
    return 0.5 if sys.stderr.isatty() else 10.0
