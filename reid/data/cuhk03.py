"""CUHK03 in its three forms: the release under two protocols, and the pre-split CUHK03-NP folders."""

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from reid.data.cuhk03_release import extract_images, read_new_protocol, read_test_sets
from reid.data.folders import find_trees, first_missing, image_names, not_found, title_of, warn_of_choice
from reid.data.market_layout import MarketLayout
from reid.data.records import Records, ReIDDataset, Trial
from reid.data.splits import check_disjoint, draw_one_each, query_and_gallery
from reid.utils import InputError, unknown_choice

TITLE = "CUHK03"
BOXES = ("labeled", "detected")
PROTOCOLS = ("new", "classic")
NUM_SPLITS = 20
SEEDS = tuple(range(100))  # one single-shot gallery each, the same in every run
PRESPLIT = MarketLayout(
    name="cuhk03",
    title="CUHK03-NP",
    pattern=re.compile(r"(\d{1,18})_c([12])_\d+\.\w+"),
    example="0001_c1_1.png",
)
PRESPLIT_SPELLINGS = ("cuhk03-np", "CUHK03-NP", "cuhk03", "CUHK-03", "CUHK03", ".")
RELEASE_SPELLINGS = ("cuhk03", "CUHK-03", "CUHK03", ".")
MATS = ("cuhk03_release/cuhk-03.mat", "cuhk-03.mat")
NAME = re.compile(r"([1-5])_(\d{3,4})_([12])_(\d\d)\.png")
PAIR_STEP = 10_000  # identities restart in each camera pair


class Source(NamedTuple):
    """One kind of boxes in one form on disk."""

    boxes: str
    tree: Path
    is_presplit: bool


def load_cuhk03(
    root: Path,
    *,
    train: bool = True,
    test: bool = True,
    boxes: str = "",
    protocol: str = "new",
    split: int = 1,
) -> ReIDDataset:
    """Parse CUHK03 from CUHK03-NP's folders or from the release's MATLAB files.

    New protocol (Zhong et al., CVPR 2017): 767 identities to train on, 700 to test. Classic protocol (Li et
    al., CVPR 2014): one of 20 splits with 100 test identities; all their images of the first camera are
    queries, and each of 100 galleries holds one drawn image of each identity by the second. The release's
    images become files in ``images_labeled`` or ``images_detected`` when they are first needed.

    Args:
        root: The data root, or the data set's own folder.
        train: Whether the training images are wanted.
        test: The same for query and gallery.
        boxes: ``labeled`` or ``detected``; empty takes what is there, labeled with a warning where both are.
        protocol: ``new`` or ``classic``; the folders have the new one only.
        split: Of the classic protocol, 1 to 20.

    Raises:
        InputError: If an option is unknown, a file or folder is missing or damaged, a name has another form,
            or an identity is both in train and in test.
        OSError: If the release's images cannot be written.
    """
    if boxes and boxes not in BOXES:
        raise InputError(unknown_choice("kind of boxes in CUHK03", boxes, BOXES))
    if protocol not in PROTOCOLS:
        raise InputError(unknown_choice("protocol of CUHK03", protocol, PROTOCOLS))
    source = _choose_source(root, boxes, protocol)
    rule = f"{source.boxes}, {protocol} protocol"
    if protocol == "classic":
        rule += f" split {split}, mean of {len(SEEDS)} single-shot galleries"
    title = f"{title_of(source.tree, TITLE)} ({rule})"
    if source.is_presplit:
        return PRESPLIT.load(source.tree, title, train=train, test=test, below=f"{source.boxes}/")
    none = Records.empty(source.tree)
    if not train and not test:
        # Whoever only asks where the set is does not want its images extracted.
        return ReIDDataset("cuhk03", title, "train", none, none, ())
    extracted = source.tree / f"images_{source.boxes}"
    if not extracted.is_dir():
        extract_images(_find_mat(source.tree), source.boxes, extracted)
    if protocol == "new":
        training, testing, trials = _read_new(source)
    else:
        training, testing, trials = _read_classic(source, split)
    return ReIDDataset(
        "cuhk03", title, "train", training if train else none, testing if test else none, trials * test
    )


def _choose_source(root: Path, boxes: str, protocol: str) -> Source:
    """The first source there is: labeled before detected, folders before the release."""
    marks = {kind: [f"{kind}/{folder}" for folder in PRESPLIT.folders] for kind in BOXES}
    sources = []
    for kind in BOXES if not boxes else (boxes,):
        if protocol == "new":
            trees = find_trees(root, PRESPLIT_SPELLINGS, marks[kind])
            sources += [Source(kind, tree, is_presplit=True) for tree in trees]
        trees = find_trees(root, RELEASE_SPELLINGS, (*MATS, f"images_{kind}"))
        sources += [Source(kind, tree, is_presplit=False) for tree in trees]
    if not sources:
        raise InputError(not_found(f"{TITLE} {boxes}".strip(), root / RELEASE_SPELLINGS[0] / MATS[0]))
    warn_of_choice(TITLE, [f"{source.boxes} in {source.tree}" for source in sources])
    return sources[0]


def _find_mat(tree: Path) -> Path:
    return next((tree / mat for mat in MATS if (tree / mat).is_file()), tree / MATS[0])


def _read_new(source: Source) -> tuple[Records, Records, tuple[Trial, ...]]:
    config = source.tree / f"cuhk03_new_protocol_config_{source.boxes}.mat"
    protocol = read_new_protocol(config)
    rows = [
        (f"images_{source.boxes}/{name}", int(pid), _parse(source, name)[2])
        for name, pid in zip(protocol.names, protocol.pids, strict=True)
    ]
    records = Records.from_rows(source.tree, rows)
    missing = first_missing(source.tree, records.paths)
    if missing is not None:
        path = records.path(missing)
        raise InputError(
            f"{config} names an image that does not exist: {path}; remove {path.parent} to extract it again"
        )
    training = records.select(protocol.train)
    testing, trials = query_and_gallery(records.select(protocol.query), records.select(protocol.gallery))
    check_disjoint(TITLE, training, testing)
    return training, testing, trials


def _read_classic(source: Source, split: int) -> tuple[Records, Records, tuple[Trial, ...]]:
    if not 1 <= split <= NUM_SPLITS:
        raise InputError(f"the split of {TITLE}'s classic protocol must be in 1..{NUM_SPLITS}, got {split}")
    test_sets = read_test_sets(_find_mat(source.tree))
    if len(test_sets) < split:
        raise InputError(f"{_find_mat(source.tree)} must hold {NUM_SPLITS} test sets, got {len(test_sets)}")
    names = image_names(source.tree / f"images_{source.boxes}", TITLE)
    records = Records.from_rows(source.tree, [_parse(source, name) for name in names])
    test_pids = [PAIR_STEP * pair + person for pair, person in test_sets[split - 1]]
    is_test = np.isin(records.pids, test_pids)
    testing = records.select(is_test)
    query, second = (np.flatnonzero(testing.camids == camera) for camera in (0, 1))
    trials = tuple(Trial(query, draw_one_each(testing.pids, second, seed)) for seed in SEEDS)
    return records.select(~is_test), testing, trials


def _parse(source: Source, name: str) -> tuple[str, int, int]:
    match = NAME.fullmatch(name)
    if match is None:
        raise InputError(
            f"an extracted {TITLE} image is named like 1_001_1_01.png, got {name} for "
            f"{source.tree / f'images_{source.boxes}'}; remove that folder to extract it again"
        )
    return f"images_{source.boxes}/{name}", PAIR_STEP * int(match[1]) + int(match[2]), int(match[3]) - 1
