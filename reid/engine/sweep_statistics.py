"""Where the statistics of a sweep come from: one file, or one pass over training images that makes it."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from reid.denoise import Moments, load_statistics, save_statistics
from reid.utils import InputError

logger = logging.getLogger(__name__)

Statistics = Mapping[str, Moments]
SHOWN = 3  # layers that are named


@dataclass(frozen=True)
class StatisticsFiles:
    """Where they may be.

    Args:
        named: The file that was asked for; None looks for one.
        beside: That of the run that the weights are from.
        own: Where new ones are written; read too.
        key: Of the weights that they must be of.
    """

    named: Path | None
    beside: Path
    own: Path
    key: str

    def read_named(self) -> Statistics | None:
        """What the file that was asked for holds; None where none was.

        Raises:
            InputError: If it is no file, cannot be read, or is of other weights.
        """
        if self.named is None:
            return None
        if not self.named.is_file():
            raise InputError(
                f"{self.named}: no such file; name one, or leave --statistics out to have them gathered"
            )
        return _read(self.named, self.key)

    def find(
        self, layers: Sequence[str], gather: Callable[[list[str]], Statistics] | None = None
    ) -> tuple[Statistics, Path]:
        """Statistics of all ``layers``, and their file.

        Of the layers that no file holds they are gathered, and ``own`` then holds all of them. A file beside
        the weights that is not of them is passed over, and ``own`` is never written over by other weights'.

        Args:
            layers: Names; at least one.
            gather: Makes the statistics of the layers that it is given; None where a file must hold them.

        Raises:
            InputError: If a layer is lacking and not to be gathered, or as :meth:`read_named`; if ``own`` is
                there and no file, or not of these weights.
        """
        statistics = self.read_named()
        if self.named is not None and statistics is not None:
            if missing := _missing(layers, statistics):
                raise InputError(
                    f"{self.named} must hold statistics of every layer, it lacks {_words(missing)}; name"
                    " fewer targets, or leave it out to have them gathered"
                )
            return statistics, self.named
        found: dict[str, Moments] = {}
        for path in dict.fromkeys((self.own, self.beside)):
            statistics = self._read_if_there(path)
            if statistics and not _missing(layers, statistics):
                return statistics, path
            found |= statistics
        if gather is None:
            raise InputError(
                f"statistics of every layer must be in {self.beside} or {self.own}, they lack"
                f" {_words(_missing(layers, found))}; name their file, or sweep first, which makes it"
            )
        statistics = found | dict(gather(_missing(layers, found)))
        self.own.parent.mkdir(parents=True, exist_ok=True)
        save_statistics(statistics, self.own, of=self.key)
        return statistics, self.own

    def _read_if_there(self, path: Path) -> Statistics:
        if path == self.own and path.exists() and not path.is_file():
            raise InputError(
                f"{path} must be a file of statistics, it is another thing; name another OUTPUT_DIR, or"
                " remove it"
            )
        if not path.is_file():
            return {}
        try:
            return _read(path, self.key)
        except InputError as error:
            if path == self.own:
                raise InputError(f"{error}; name another OUTPUT_DIR, or delete the file") from error
            logger.info("passed over: %s", error)
            return {}


def _read(path: Path, key: str) -> Statistics:
    try:
        return load_statistics(path, of=key)
    except ValueError as error:
        raise InputError(str(error)) from error


def _missing(layers: Sequence[str], statistics: Statistics) -> list[str]:
    return [name for name in layers if name not in statistics]


def _words(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
