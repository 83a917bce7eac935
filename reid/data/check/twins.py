"""Files of one content in two places where they must not be."""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from reid.data.check.images import ImageFact
from reid.data.records import UNKNOWN, Records, ReIDDataset


class Twins(NamedTuple):
    """Groups of paths, relative to the set's folder, whose files are the same byte for byte.

    Args:
        leaks: Groups in both training and test.
        contradictions: Groups of one side under more than one identity, unknown ones not counted.
    """

    leaks: list[list[str]]
    contradictions: list[list[str]]


def find_twins(dataset: ReIDDataset, facts: Mapping[Path, ImageFact]) -> Twins:
    """Compare all images by the digests of ``facts``; images without one are left out."""
    train, test = (_rows_by_digest(records, facts) for records in (dataset.train, dataset.test))
    leaks = [
        _paths(dataset.train, train[digest]) + _paths(dataset.test, test[digest])
        for digest in train
        if digest in test
    ]
    contradictions = [
        _paths(records, rows)
        for records, groups in ((dataset.train, train), (dataset.test, test))
        for rows in groups.values()
        if len({int(records.pids[row]) for row in rows} - {UNKNOWN}) > 1
    ]
    return Twins(leaks, contradictions)


def _rows_by_digest(records: Records, facts: Mapping[Path, ImageFact]) -> dict[bytes, list[int]]:
    groups: dict[bytes, list[int]] = defaultdict(list)
    for row in range(len(records)):
        fact = facts.get(records.path(row))
        if fact and fact.digest:
            groups[fact.digest].append(row)
    return groups


def _paths(records: Records, rows: list[int]) -> list[str]:
    return [str(records.paths[row]) for row in rows]
