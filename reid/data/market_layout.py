"""The layout that Market-1501 made common: three folders, and an identity and a camera in each file name.

Which sets have it, and how they spell it, is their own parsers' business.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from reid.data.folders import image_names
from reid.data.records import UNKNOWN, Records, ReIDDataset, Trial
from reid.data.splits import check_disjoint, query_and_gallery
from reid.utils import InputError

DISTRACTOR = 0


@dataclass(frozen=True)
class MarketLayout:
    """One data set's spelling of the layout.

    Args:
        name: The registry's name.
        title: What refusals call it.
        pattern: Of a base name; the first group is the identity, the second the camera, from 1.
        example: A name that fits.
        folders: Of train, query and gallery.
        has_junk: Whether identity -1 is junk, to be dropped, and 0 a distractor.
    """

    name: str
    title: str
    pattern: re.Pattern[str]
    example: str
    folders: tuple[str, str, str] = ("bounding_box_train", "query", "bounding_box_test")
    has_junk: bool = False

    def load(self, tree: Path, title: str, *, train: bool, test: bool, below: str = "") -> ReIDDataset:
        """Parse the tree.

        Args:
            tree: The folder that paths are relative to.
            title: What results call it.
            train: Whether the training images are wanted; if not, their folder need not exist.
            test: The same for query and gallery.
            below: The folder of ``tree`` that holds the three, ending in a slash; empty for ``tree``.

        Raises:
            InputError: If a folder is missing or holds no identity, an image's name has another form, or an
                identity is both in train and in test.
        """
        folders = [f"{below}{folder}" for folder in self.folders]
        training = testing = Records.empty(tree)
        trials: tuple[Trial, ...] = ()
        if train:
            training = self._read_split(tree, folders[0])
        if test:
            testing, trials = query_and_gallery(*(self._read_split(tree, folder) for folder in folders[1:]))
        check_disjoint(self.title, training, testing, [DISTRACTOR] if self.has_junk else [])
        return ReIDDataset(self.name, title, "train", training, testing, trials)

    def _read_split(self, tree: Path, folder: str) -> Records:
        rows = [self._parse(tree, folder, name) for name in image_names(tree / folder, self.title)]
        kept = [row for row in rows if row[1] != UNKNOWN]
        if not kept:
            raise InputError(f"{self.title} needs images with an identity in {tree / folder}, found none")
        return Records.from_rows(tree, kept)

    def _parse(self, tree: Path, folder: str, name: str) -> tuple[str, int, int]:
        # The base name alone: a folder called exp_01_c3 must not pass for identity 1, camera 3.
        match = self.pattern.fullmatch(name)
        if match is None:
            raise InputError(
                f"a {self.title} image is named like {self.example}, got {tree / folder / name}; "
                f"rename or remove it"
            )
        return f"{folder}/{name}", int(match[1]), int(match[2]) - 1
