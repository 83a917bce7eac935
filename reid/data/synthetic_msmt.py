"""Drawn people in the layout of MSMT17, either version."""

from pathlib import Path

from reid.data.msmt17 import FOLDERS
from reid.data.synthetic import Shot, Studio, shots, write_once
from reid.utils import InputError, unknown_choice


def write_synthetic_msmt(
    root: Path,
    *,
    version: str = "V1",
    num_train_ids: int = 32,
    num_test_ids: int = 16,
    num_cameras: int = 4,
    images_per_camera: int = 4,
    image_size: tuple[int, int] = (128, 64),
    seed: int = 0,
) -> None:
    """Write drawn people as an MSMT17 tree of ``version``, which ``load_msmt17(root)`` reads.

    As ``write_synthetic_market``, without distractors and junk. Train and test identities are both numbered
    from 0; each training identity's last image by the first camera is listed in ``list_val.txt``.

    Args:
        root: The folder to write, made with its parents.
        version: ``V1`` or ``V2``, whose folders are named otherwise.
        num_train_ids: Identities in the training folder.
        num_test_ids: Identities in query and gallery.
        num_cameras: Cameras, each of which sees every identity.
        images_per_camera: Images of an identity by each camera.
        image_size: (height, width) in pixels.
        seed: The same seed writes the same bytes.

    Raises:
        InputError: If an argument is out of range, or the folder holds anything else.
    """
    arguments = {key: value for key, value in locals().items() if key != "root"}
    if version not in FOLDERS:
        raise InputError(unknown_choice("MSMT17 version", version, FOLDERS))
    train_folder, test_folder = FOLDERS[version]

    def draw(folder: Path) -> None:
        studio = Studio(seed, num_cameras, image_size)
        lists: dict[str, list[str]] = {name: [] for name in ("train", "val", "query", "gallery")}
        for shot in shots(range(num_train_ids), num_cameras, images_per_camera):
            split = "val" if (shot.camera, shot.number) == (0, images_per_camera - 1) else "train"
            name = _msmt_name(shot.person, shot)
            studio.write(folder / train_folder / name, shot)
            lists[split].append(f"{name} {shot.person}")
        for shot in shots(
            range(num_train_ids, num_train_ids + num_test_ids), num_cameras, images_per_camera + 1
        ):
            split = "gallery" if shot.number < images_per_camera else "query"
            pid = shot.person - num_train_ids
            name = _msmt_name(pid, shot)
            studio.write(folder / test_folder / name, shot)
            lists[split].append(f"{name} {pid}")
        for split, lines in lists.items():
            (folder / f"list_{split}.txt").write_text(
                "".join(f"{line}\n" for line in lines), encoding="utf-8"
            )

    write_once(root, {"layout": "MSMT17", **arguments}, draw)


def _msmt_name(pid: int, shot: Shot) -> str:
    frame = f"{shot.camera + 1:02d}_0303morning_{shot.number:04d}_0.jpg"
    return f"{pid:04d}/{pid:04d}_{shot.number:03d}_{frame}"
