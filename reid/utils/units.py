"""Times and sizes in words."""

MINUTE, HOUR, DAY = 60, 3600, 86400
SIZES = ("B", "kB", "MB", "GB", "TB")


def time_in_words(seconds: float) -> str:
    """A time in the two units that matter.

    Example:
        >>> [time_in_words(s) for s in (7.42, 65, 7500, 100_000)]
        ['7.4 s', '1 min 05 s', '2 h 05 min', '1 d 04 h']
    """
    if round(seconds, 1) < MINUTE:
        return f"{seconds:.1f} s"
    whole, minutes, hours = round(seconds), round(seconds / MINUTE), round(seconds / HOUR)
    if whole < HOUR:
        return f"{whole // 60} min {whole % 60:02d} s"
    if minutes * MINUTE < DAY:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{hours // 24} d {hours % 24:02d} h"


def size_in_words(count: int) -> str:
    """A number of bytes in units of 1,000.

    Example:
        >>> [size_in_words(n) for n in (999, 1000, 3_260_000, 61_000_000_000)]
        ['999 B', '1.0 kB', '3.3 MB', '61.0 GB']
    """
    if count < 1000:
        return f"{count} B"
    value, power = count / 1000, 1
    while round(value, 1) >= 1000 and power < len(SIZES) - 1:
        value, power = value / 1000, power + 1
    return f"{value:.1f} {SIZES[power]}"
