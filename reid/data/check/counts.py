"""What each split of a parsed data set holds."""

from typing import NamedTuple

from reid.data.records import Records, ReIDDataset


class SplitCount(NamedTuple):
    """Images, identities and cameras of one split; unknown identities and cameras are not counted."""

    split: str
    images: int
    identities: int
    cameras: int


def count_splits(dataset: ReIDDataset) -> list[SplitCount]:
    """Count train, then query and gallery; test as a whole where query and gallery are drawn more than once.

    A split without images is left out.
    """
    parts = {"train": dataset.train, "test": dataset.test}
    if len(dataset.trials) == 1:
        (trial,) = dataset.trials
        del parts["test"]
        parts |= {"query": dataset.test.select(trial.query), "gallery": dataset.test.select(trial.gallery)}
    return [_count(split, records) for split, records in parts.items() if len(records)]


def _count(split: str, records: Records) -> SplitCount:
    return SplitCount(split, len(records), records.num_pids, records.num_camids)
