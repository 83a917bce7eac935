"""What became of every key of a file and of every key of the model."""

from dataclasses import dataclass, field

from reid.denoise.names import group_names
from reid.models.formats.keys import printable

KINDS = ("matched", "interpolated", "dropped", "missing", "unexpected")
MEANINGS = {
    "matched": "taken over as they are",
    "interpolated": "brought to another grid",
    "dropped": "known, and of no use here",
    "missing": "not in the file, left as they start",
    "unexpected": "known to nobody, and not of the network",
}


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

    def describe(self) -> str:
        """A line each: how many keys, what became of them, and their names, the uneventful ones last.

        Names that differ only in numbers are written once.
        """
        return "\n".join(self._line(kind) for kind in reversed(KINDS))

    def summarise(self) -> str:
        """The counts, and the names of what was not simply taken over, on one line for a log."""
        named = [self._line(kind) for kind in KINDS[1:] if getattr(self, kind)]
        return "; ".join([f"matched: {len(self.matched)}", *named])

    def _line(self, kind: str) -> str:
        keys = [printable(key) for key in getattr(self, kind)]
        return f"{kind}: {len(keys)}" + (
            f" ({MEANINGS[kind]}): {' '.join(group_names(keys))}" if keys else ""
        )
