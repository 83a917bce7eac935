"""What became of every key of a file and of every key of the model."""

import re
from collections import Counter
from dataclasses import dataclass, field

KINDS = ("matched", "interpolated", "dropped", "missing", "unexpected")


@dataclass
class ImportReport:
    """Keys by what became of them.

    Every key of the file stands in exactly one of the lists, but for ``missing``, under the file's name.

    Args:
        matched: Taken over as they are, or reshaped or joined without a loss.
        interpolated: Positions brought to another grid, or of another window.
        dropped: Known and of no use here.
        missing: Of the model, not in the file, so left as they start.
        unexpected: Known to nobody.
    """

    matched: list[str] = field(default_factory=list)
    interpolated: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)

    def describe(self, separator: str = "\n") -> str:
        """A line each: how many keys, and their names.

        Names that differ only in numbers are written once, with ``*`` for the number and how many there are.

        Args:
            separator: Between the lines; ``, `` makes one of them, as a log wants.
        """
        return separator.join(self._line(kind) for kind in KINDS)

    def _line(self, kind: str) -> str:
        keys = getattr(self, kind)
        if not keys:
            return f"{kind}: 0"
        counts = Counter(re.sub(r"\.\d+(?=\.)", ".*", key) for key in keys)
        names = " ".join(name if count == 1 else f"{name} ({count})" for name, count in counts.items())
        return f"{kind}: {len(keys)}: {names}"
