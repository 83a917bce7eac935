"""Trees of empty files, as large as the real sets and named as they are, give the published counts.

Slow, because a hundred thousand files are made.
"""

import os
import tempfile
import time
from collections import defaultdict
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat
from trees import plant, write_list

from reid.data import (
    load_cuhk03,
    load_dukemtmc,
    load_market1501,
    load_msmt17,
    load_occ_duke,
    load_vehicleid,
    load_veri,
)
from reid.data.cuhk03_release import image_name

pytestmark = pytest.mark.slow
MEMORY = Path("/dev/shm")  # so many files take minutes on a slow disk
PAIRS = (843, 440, 77, 58, 49)  # identities in each of CUHK03's camera pairs


@pytest.fixture
def tree(tmp_path):
    """Removed at the end: pytest would keep three of each."""
    place = MEMORY if os.access(MEMORY, os.W_OK) else tmp_path
    with tempfile.TemporaryDirectory(dir=place) as temporary:
        yield Path(temporary) / "tree"


def named(form, pids, count, cameras):
    """``count`` names, every identity and every camera in turn."""
    rows = range(count)
    return [
        form.format(pid=pid, cam=row % cameras + 1, row=row)
        for pid, row in zip(cycle(pids), rows, strict=False)
    ]


def counts(dataset):
    """(identities, images) of train, query and gallery, distractors no identity."""
    (trial,) = dataset.trials
    parts = [dataset.train, dataset.test.select(trial.query), dataset.test.select(trial.gallery)]
    return [(len(np.unique(part.pids[part.pids > 0])), len(part)) for part in parts]


MARKET = "{pid:04d}_c{cam}s1_{row:06d}_00.jpg"
DUKE = "{pid:04d}_c{cam}_f{row:07d}.jpg"
VERI = "{pid:04d}_c{cam:03d}_{row:08d}_0.jpg"
CUHK03 = "{pid:04d}_c{cam}_{row}.png"
BOXES = ("bounding_box_train", "query", "bounding_box_test")


@pytest.mark.parametrize(
    ("load", "form", "cameras", "folders", "published"),
    [
        (load_market1501, MARKET, 6, BOXES, [(751, 12_936), (750, 3_368), (750, 13_115)]),
        (load_dukemtmc, DUKE, 8, BOXES, [(702, 16_522), (702, 2_228), (1_110, 17_661)]),
        (load_occ_duke, DUKE, 8, BOXES, [(702, 15_618), (519, 2_210), (1_110, 17_661)]),
        (
            load_veri,
            VERI,
            20,
            ("image_train", "image_query", "image_test"),
            [(576, 37_778), (200, 1_678), (200, 11_579)],
        ),
        (
            load_cuhk03,
            CUHK03,
            2,
            [f"labeled/{box}" for box in BOXES],
            [(767, 7_368), (700, 1_400), (700, 5_328)],
        ),
        (
            load_cuhk03,
            CUHK03,
            2,
            [f"detected/{box}" for box in BOXES],
            [(767, 7_365), (700, 1_400), (700, 5_332)],
        ),
    ],
    ids=["market1501", "dukemtmc", "occ_duke", "veri", "cuhk03-labeled", "cuhk03-detected"],
)
def test_folders(tree, load, form, cameras, folders, published):
    first = 2000  # test identities are numbered from here
    starts = (1, first, first)
    plant(
        tree,
        {
            folder: named(form, range(start, start + ids), count, cameras)
            for folder, start, (ids, count) in zip(folders, starts, published, strict=True)
        },
    )
    if load is load_market1501:
        extra = [
            *named(MARKET, [0], 2_798, 6),
            *(f"-1{name[4:]}" for name in named(MARKET, [1000], 3_819, 6)),
        ]
        plant(tree, {"bounding_box_test": extra})
        published = [*published[:2], (750, 15_913)]
    dataset = load(tree)
    assert counts(dataset) == published
    assert dataset.train.num_camids == dataset.test.num_camids == cameras


def test_msmt17_in_three_seconds(tree):
    lists = {
        "train": (1_041, 30_248),
        "val": (1_041, 2_373),
        "query": (3_060, 11_659),
        "gallery": (3_060, 82_161),
    }
    for split, (ids, count) in lists.items():
        folders, lines = defaultdict(list), []
        for row in range(count):
            pid = f"{row % ids:04d}"
            name = f"{pid}_{row // ids:03d}_{row % 15 + 1:02d}_0303{split}_{row:04d}_0.jpg"
            folders[f"{'train' if split in ('train', 'val') else 'test'}/{pid}"].append(name)
            lines.append(f"{pid}/{name} {int(pid)}")
        plant(tree, folders)
        write_list(tree / f"list_{split}.txt", lines)
    # The process's own time: what other processes take does not count.
    start = time.process_time()
    dataset = load_msmt17(tree)
    assert time.process_time() - start < 3
    (trial,) = dataset.trials
    assert (dataset.train.num_pids, len(dataset.train)) == (1_041, 32_621)
    assert (len(trial.query), len(trial.gallery)) == (11_659, 82_161)
    assert (dataset.test.num_pids, dataset.test.num_camids, dataset.train.num_camids) == (3_060, 15, 15)
    assert len(load_msmt17(tree, use_val=False).train) == 30_248


def test_vehicleid(tree):
    # The larger test lists begin with other identities: none holds another.
    sizes = {"train_list": (13_164, 113_346, 0)}
    sizes |= {"test_list_800": (800, 6_493, 13_164), "test_list_1600": (1_600, 13_377, 13_964)}
    sizes |= {"test_list_2400": (2_400, 19_777, 15_564)}
    number = 0
    for name, (ids, count, start) in sizes.items():
        images = [f"{number + row:07d}" for row in range(count)]
        number += count
        plant(tree, {"image": [f"{image}.jpg" for image in images]})
        pids = islice(cycle(range(start, start + ids)), count)
        lines = [f"{image} {pid}" for image, pid in zip(images, pids, strict=True)]
        write_list(tree / "train_test_split" / f"{name}.txt", lines, end="\r\n")
    for size, queries in ((800, 5_693), (1600, 11_777), (2400, 17_377)):
        dataset = load_vehicleid(tree, test_size=size)
        assert (dataset.train.num_pids, len(dataset.train)) == (13_164, 113_346)
        assert (dataset.test.num_pids, len(dataset.test)) == (size, sizes[f"test_list_{size}"][1])
        assert {(len(trial.query), len(trial.gallery)) for trial in dataset.trials} == {(queries, size)}


@pytest.mark.parametrize(
    ("boxes", "train", "test"),
    [("labeled", 7_368, 6_728), ("detected", 7_365, 6_732)],
    ids=["labeled", "detected"],
)
def test_the_release_of_cuhk03(tree, boxes, train, test):
    people = [(pair, person) for pair, ids in enumerate(PAIRS, 1) for person in range(1, ids + 1)]
    rows = []  # (name, label, role); an identity has up to five images a view
    for start, ids, total in ((0, 767, train), (767, 700, test)):
        images = [
            (label, place) for place in (1, 6, 2, 7, 3, 8, 4, 9, 5, 10) for label in range(start, start + ids)
        ]
        for label, place in images[:total]:
            role = "train" if start == 0 else "query" if place in (1, 6) else "gallery"
            rows.append((image_name(*people[label], place), label + 1, role))
    rows.sort()
    names, labels, roles = map(np.array, zip(*rows, strict=True))
    plant(tree, {f"images_{boxes}": names})
    config = {
        f"{role}_idx": np.flatnonzero(roles == role)[:, None] + 1.0 for role in ("train", "query", "gallery")
    }
    config |= {"filelist": names.astype(object)[:, None], "labels": labels[:, None].astype(float)}
    savemat(tree / f"cuhk03_new_protocol_config_{boxes}.mat", config)
    dataset = load_cuhk03(tree)
    assert counts(dataset) == [(767, train), (700, 1_400), (700, test - 1_400)]
    assert dataset.title == f"CUHK03 ({boxes}, new protocol)"
