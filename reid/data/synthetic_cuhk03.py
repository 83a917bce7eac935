"""Drawn people in the layout of CUHK03's release: its MATLAB files."""

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from reid.data.cuhk03 import BOXES, MATS, NUM_SPLITS
from reid.data.cuhk03_release import IMAGES_PER_VIEW, image_name
from reid.data.synthetic import Plan, Shot, Studio
from reid.utils import InputError

if TYPE_CHECKING:
    import h5py

NUM_PAIRS = 5
NUM_PLACES = 2 * IMAGES_PER_VIEW


class Member(NamedTuple):
    """A person's place in the release: which camera pair, and the how manieth in it, from 0."""

    pair: int
    row: int


def draw_cuhk03(folder: Path, plan: Plan) -> None:
    """Draw ``plan``: labeled and detected boxes, 20 test sets, and the new protocol of each kind of boxes.

    Raises:
        InputError: If an identity's images do not fit into the five places of a view.
    """
    if plan.images_per_camera >= IMAGES_PER_VIEW:
        raise InputError(
            f"images_per_camera of a synthetic CUHK03 must be at most {IMAGES_PER_VIEW - 1}, "
            f"got {plan.images_per_camera}"
        )
    import h5py  # slow to import, and only this set needs it

    studio = Studio(plan.seed, 2 * NUM_PAIRS, plan.image_size)
    mat = folder / MATS[0]
    mat.parent.mkdir(parents=True)
    with h5py.File(mat, "w") as release:
        for kind, boxes in enumerate(BOXES):
            taken = [*plan.train_shots(), *plan.test_shots()]
            _write_boxes(release, boxes, studio, taken, kind)
            _write_new_protocol(folder / f"cuhk03_new_protocol_config_{boxes}.mat", plan, taken)
        _write_test_sets(release, plan)


def _member(person: int) -> Member:
    return Member(person % NUM_PAIRS, person // NUM_PAIRS)


def _place(shot: Shot) -> int:
    return shot.camera * IMAGES_PER_VIEW + shot.number


def _write_boxes(release: "h5py.File", boxes: str, studio: Studio, taken: list[Shot], kind: int) -> None:
    """A cell array of five camera pairs, each one of identities by ten places."""
    num_ids = taken[-1].person + 1
    cells = [
        np.empty((NUM_PLACES, len(range(pair, num_ids, NUM_PAIRS))), object) for pair in range(NUM_PAIRS)
    ]
    for shot in taken:
        pair, row = _member(shot.person)
        # The second kind of boxes shows other pixels: other numbers of the same camera.
        seen = Shot(shot.person, 2 * pair + shot.camera, shot.number + kind * IMAGES_PER_VIEW)
        cells[pair][_place(shot), row] = studio.take(seen)
    references = [_write_cells(release, f"#refs#/{boxes}{pair}", each) for pair, each in enumerate(cells)]
    _write_references(release, boxes, np.array([references], object))


def _write_cells(release: "h5py.File", name: str, cells: NDArray[np.object_]) -> "h5py.Reference":
    """One pair's cell array; MATLAB marks an empty cell by its attribute."""
    references = np.empty_like(cells)
    for (place, row), pixels in np.ndenumerate(cells):
        path = f"{name}_{row}_{place}"
        if pixels is None:
            release[path] = np.zeros(2, np.uint64)
            release[path].attrs["MATLAB_empty"] = np.uint8(1)
        else:
            release[path] = pixels.T  # (3, W, H): HDF5 counts MATLAB's axes from the other end
        references[place, row] = release[path].ref
    return _write_references(release, name, references)


def _write_references(release: "h5py.File", name: str, references: NDArray[np.object_]) -> "h5py.Reference":
    import h5py

    return release.create_dataset(name, data=references, dtype=h5py.ref_dtype).ref


def _write_test_sets(release: "h5py.File", plan: Plan) -> None:
    """Twenty sets of ``num_test_ids`` people, each beginning further on."""
    num_ids = plan.num_train_ids + plan.num_test_ids
    references = np.empty((1, NUM_SPLITS), object)
    for split in range(NUM_SPLITS):
        people = [(split * plan.num_test_ids + number) % num_ids for number in range(plan.num_test_ids)]
        name = f"#refs#/testset{split}"
        release[name] = np.array([_member(person) for person in people], float).T + 1
        references[0, split] = release[name].ref
    _write_references(release, "testsets", references)


def _write_new_protocol(path: Path, plan: Plan, taken: list[Shot]) -> None:
    from scipy.io import savemat

    names = np.empty((len(taken), 1), object)
    for row, shot in enumerate(taken):
        pair, person = _member(shot.person)
        names[row, 0] = image_name(pair + 1, person + 1, _place(shot) + 1)
    is_train = np.array([shot.person < plan.num_train_ids for shot in taken])
    is_query = ~is_train & np.array([shot.number == plan.images_per_camera for shot in taken])
    rows = {"train": is_train, "query": is_query, "gallery": ~is_train & ~is_query}
    savemat(
        path,
        {
            "filelist": names,
            "labels": np.array([[shot.person + 1] for shot in taken], float),
            "camId": np.array([[shot.camera + 1] for shot in taken], float),
            **{f"{part}_idx": np.flatnonzero(mask)[:, None] + 1.0 for part, mask in rows.items()},
        },
    )
