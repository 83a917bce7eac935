"""The MATLAB files of CUHK03's release: images out of ``cuhk-03.mat``, test sets, the new protocol."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from reid.data.folders import not_found
from reid.utils import InputError

if TYPE_CHECKING:
    import h5py

TITLE = "CUHK03"
IMAGES_PER_VIEW = 5  # an identity's first five places are the first camera's, the next five the second's


class NewProtocol(NamedTuple):
    """The 767/700 protocol of Zhong et al., CVPR 2017: rows are counted from 0.

    Args:
        names: (N,) names of all images.
        pids: (N,) identities.
        train: Rows of the training images.
        query: Rows of the queries.
        gallery: Rows of the gallery.
    """

    names: list[str]
    pids: NDArray[np.int64]
    train: NDArray[np.int64]
    query: NDArray[np.int64]
    gallery: NDArray[np.int64]


def image_name(pair: int, person: int, place: int) -> str:
    """The name that the field gives to an image: camera pair, identity in it, view, place, all from 1."""
    view = 1 if place <= IMAGES_PER_VIEW else 2
    return f"{pair}_{person:03d}_{view}_{place:02d}.png"


def extract_images(mat: Path, boxes: str, folder: Path) -> None:
    """Write the images of ``cuhk-03.mat`` as PNG files; ``folder`` appears when it is complete.

    Args:
        mat: The file of the release.
        boxes: ``labeled`` or ``detected``.
        folder: To be made, beside which a temporary folder is filled.

    Raises:
        InputError: If the file is missing or is not the release's.
        OSError: If the images cannot be written.
    """
    with (
        _open(mat) as release,
        tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as temporary,
    ):
        # A folder of its own inside: mkdtemp's is readable by its owner only, and is removed at the end.
        filling = Path(temporary) / folder.name
        filling.mkdir()
        pairs = [release[pair][()] for pair in release[boxes][0]]  # (10, identities) references each
        with tqdm(total=sum(cells.shape[1] for cells in pairs), desc=f"{TITLE} {boxes}", unit="id") as bar:
            for pair, cells in enumerate(pairs, 1):
                for person, places in enumerate(cells.T, 1):
                    for place, cell in enumerate(places, 1):
                        _write_image(filling / image_name(pair, person, place), release[cell][()])
                    bar.update()
        try:
            filling.rename(folder)
        except OSError:
            # Another process may have finished the same work.
            if not folder.is_dir():
                raise


def read_test_sets(mat: Path) -> list[set[tuple[int, int]]]:
    """The 20 test sets of the classic protocol: (camera pair, identity in it), from 1.

    Raises:
        InputError: If the file is missing or is not the release's.
    """
    with _open(mat) as release:
        columns = [release[cell][()].astype(int) for cell in release["testsets"][0]]  # (2, identities) each
    return [set(map(tuple, each.T.tolist())) for each in columns]


def read_new_protocol(path: Path) -> NewProtocol:
    """Read ``cuhk03_new_protocol_config_{labeled,detected}.mat``.

    Raises:
        InputError: If the file is missing or is not such a file.
    """
    from scipy.io import loadmat  # slow to import, and only this set needs it
    from scipy.io.matlab import MatReadError

    if not path.is_file():
        raise InputError(not_found(TITLE, path))
    try:
        config = loadmat(path)
        names = [str(cell.item()) for cell in config["filelist"].ravel()]
        rows = [config[f"{part}_idx"].ravel().astype(np.int64) - 1 for part in ("train", "query", "gallery")]
        pids = config["labels"].ravel().astype(np.int64)
    except (MatReadError, KeyError, ValueError, TypeError, AttributeError, NotImplementedError) as error:
        raise InputError(
            f"{path} must be the new protocol's configuration, it cannot be read: {error}; download it again"
        ) from error
    if len(names) != len(pids) or not all(((row >= 0) & (row < len(names))).all() for row in rows):
        raise InputError(f"{path} must list every image it refers to, it does not; download it again")
    return NewProtocol(names, pids, *rows)


@contextmanager
def _open(mat: Path) -> "Iterator[h5py.File]":
    import h5py  # slow to import, and only this set needs it

    if not mat.is_file():
        raise InputError(not_found(TITLE, mat))
    try:
        file = h5py.File(mat, "r")
    except OSError as error:
        raise InputError(
            f"{mat} must be the release's file (MATLAB v7.3), it cannot be read: {error}; unpack it again"
        ) from error
    with file:
        try:
            yield file
        except (KeyError, ValueError, TypeError, IndexError) as error:
            raise InputError(f"{mat} must be the release's file, it has another content: {error}") from error


def _write_image(path: Path, pixels: NDArray[Any]) -> None:
    """Write (3, W, H) RGB, as HDF5 shows MATLAB's (H, W, 3); an empty place holds no image."""
    if pixels.ndim < 3:
        return
    _, data = cv2.imencode(os.path.splitext(path)[1], pixels.T[..., ::-1])
    path.write_bytes(data.tobytes())
