"""What was found of one data set: a table, sentences for people, and a dictionary for machines."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from reid.data.check.counts import SplitCount, count_splits
from reid.data.check.images import ImageFact, check_images
from reid.data.check.published import Count, Published, published_counts
from reid.data.check.search import FoundSet
from reid.data.check.twins import Twins, find_twins
from reid.data.records import UNKNOWN, ReIDDataset

HEADER = ("split", "images", "published", "identities", "published", "cameras", "published")
MOST_SHOWN = 20  # findings of one kind, in sentences
NO_TWINS = Twins([], [])


@dataclass(frozen=True)
class SetReport:
    """One data set on disk, beside its published counts.

    Args:
        name: The registry's name.
        title: What results call it, with its version.
        tree: Its folder.
        train_rule: What training uses.
        splits: What each split holds.
        cameras: Over all splits, unknown ones not counted.
        published: What it should hold; None where nothing is published.
        images_opened: Whether the images were opened; if not, the next two are empty.
        unreadable: One line for each image that cannot be read.
        twins: Images that are there twice.
        refusal: Why its parser refused it, and then all counts are empty; else empty.
    """

    name: str
    title: str
    tree: Path
    train_rule: str = ""
    splits: Sequence[SplitCount] = ()
    cameras: int = 0
    published: Published | None = None
    images_opened: bool = False
    unreadable: Sequence[str] = ()
    twins: Twins = NO_TWINS
    refusal: str = ""

    def headline(self) -> str:
        """Which version it is, where it lies, what training uses, and where the published counts are from."""
        if self.refusal:
            return f"{self.title} in {self.tree}"
        source = f"published by {self.published.source}" if self.published else "no published counts"
        opened = "" if self.images_opened else ", images not opened"
        return f"{self.title} in {self.tree}: trains on {self.train_rule}, {source}{opened}"

    def rows(self) -> list[list[str]]:
        """Cells under ``HEADER``, the last row for the cameras of all splits together."""
        known = self.published.splits if self.published else {}
        rows = []
        for split, images, identities, cameras in self.splits:
            wanted = known.get(split)
            beside = [f"{number:,}" for number in wanted] if wanted else ["", ""]
            rows.append([split, f"{images:,}", beside[0], f"{identities:,}", beside[1], f"{cameras}", ""])
        published = f"{self.published.cameras}" if self.published and self.published.cameras else ""
        total = sum(split.images for split in self.splits)
        return [*rows, ["all", f"{total:,}", "", "", "", f"{self.cameras}", published]]

    def deviations(self) -> list[str]:
        """One sentence for each count that is not the published one."""
        if self.published is None:
            return []
        held = {split.split: Count(split.images, split.identities) for split in self.splits}
        faults = []
        for split, wanted in self.published.splits.items():
            for kind, got, expected in zip(Count._fields, held.get(split, Count(0, 0)), wanted, strict=True):
                if got != expected:
                    faults.append(f"{split} has {got:,} {kind}, published are {expected:,}")
        if self.published.cameras and self.cameras != self.published.cameras:
            faults.append(f"there are {self.cameras} cameras, published are {self.published.cameras}")
        return faults

    def findings(self) -> list[str]:
        """Everything that is wrong, one sentence each; empty where all is well."""
        leaks = [f"in training and in test: {', '.join(group)}" for group in self.twins.leaks]
        contradictions = [f"of two identities: {', '.join(group)}" for group in self.twins.contradictions]
        kinds = ([self.refusal] if self.refusal else [], self.deviations(), self.unreadable)
        return [line for kind in (*kinds, leaks, contradictions) for line in _shortened(kind)]

    def as_dict(self) -> dict[str, Any]:
        """All of it, with nothing shortened."""
        published = None
        if self.published:
            splits = {split: count._asdict() for split, count in self.published.splits.items()}
            published = {"source": self.published.source, "cameras": self.published.cameras, "splits": splits}
        return {
            "name": self.name,
            "title": self.title,
            "tree": str(self.tree),
            "train_rule": self.train_rule,
            "splits": {split.split: _numbers(split) for split in self.splits},
            "cameras": self.cameras,
            "published": published,
            "deviations": self.deviations(),
            "images_opened": self.images_opened,
            "unreadable": list(self.unreadable),
            "in_train_and_test": self.twins.leaks,
            "of_two_identities": self.twins.contradictions,
            "refusal": self.refusal,
            "is_well": not self.findings(),
        }


def report_sets(sets: Sequence[FoundSet], *, open_images: bool) -> list[SetReport]:
    """Report data sets; an image that several of them list is opened once.

    Several sets share one layout, so a folder that is itself the data root can look like each of them: of
    those in one folder the best are reported, as published before parsed before refused.
    """
    parsed = [found.dataset for found in sets if found.dataset]
    paths = dict.fromkeys(path for dataset in parsed for path in _paths(dataset))
    facts = check_images(list(paths)) if open_images else None
    reports = [_report(found, facts) for found in sets]
    best = {
        tree: min(_rank(report) for report in reports if report.tree == tree)
        for tree in {r.tree for r in reports}
    }
    return [report for report in reports if _rank(report) == best[report.tree]]


def _rank(report: SetReport) -> int:
    return 2 if report.refusal else 1 if report.deviations() else 0


def _report(found: FoundSet, facts: Mapping[Path, ImageFact] | None) -> SetReport:
    dataset = found.dataset
    if dataset is None:
        return SetReport(found.name, found.name, found.tree, refusal=found.refusal)
    seen = facts or {}
    camids = np.concatenate([dataset.train.camids, dataset.test.camids])
    return SetReport(
        name=found.name,
        title=dataset.title,
        tree=found.tree,
        train_rule=dataset.train_rule,
        splits=count_splits(dataset),
        cameras=len(np.unique(camids[camids != UNKNOWN])),
        published=published_counts(dataset),
        images_opened=facts is not None,
        unreadable=[
            seen[path].fault for path in dict.fromkeys(_paths(dataset)) if path in seen and seen[path].fault
        ],
        twins=find_twins(dataset, seen),
    )


def _paths(dataset: ReIDDataset) -> list[Path]:
    return [records.path(row) for records in (dataset.train, dataset.test) for row in range(len(records))]


def _numbers(split: SplitCount) -> dict[str, int]:
    return {"images": split.images, "identities": split.identities, "cameras": split.cameras}


def _shortened(lines: Sequence[str]) -> list[str]:
    more = len(lines) - MOST_SHOWN
    return [*lines[:MOST_SHOWN], f"... and {more} more like this"] if more > 0 else list(lines)
