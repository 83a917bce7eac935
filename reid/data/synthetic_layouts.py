"""The layouts that drawn people come in, by name."""

from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from reid.data import cuhk03, dukemtmc, veri
from reid.data.synthetic import Plan, Shot, write_once
from reid.data.synthetic_cuhk03 import draw_cuhk03
from reid.data.synthetic_market import draw_market_layout, write_synthetic_market
from reid.data.synthetic_msmt import write_synthetic_msmt
from reid.data.synthetic_vehicleid import draw_vehicleid
from reid.utils import InputError, unknown_choice


class Layout(NamedTuple):
    """One layout: the data set that reads it, and what writes it."""

    dataset: str
    write: Callable[[Path, Plan], None]
    most_cameras: int = 0  # where the layout holds fewer than a drawn set may have
    num_cameras: int = 4  # where none are asked for


def write_synthetic(
    layout: str,
    root: Path,
    *,
    num_train_ids: int = 32,
    num_test_ids: int = 16,
    num_cameras: int | None = None,
    images_per_camera: int = 4,
    image_size: tuple[int, int] = (128, 64),
    seed: int = 0,
) -> None:
    """Write drawn people in the layout of any data set that has a parser of its own.

    As ``write_synthetic_market``. Vehicle sets show people, too: a layout is what is tried here.

    Args:
        layout: A key of ``LAYOUTS``.
        root: The folder to become the tree; absent, empty, or written by the same arguments.
        num_train_ids: Training identities.
        num_test_ids: Test identities.
        num_cameras: Cameras, as many as the layout has at most; None takes 4, of CUHK03 its 2.
        images_per_camera: Images of an identity by a camera, a query not counted.
        image_size: (H, W) in pixels.
        seed: Of all that is random.

    Raises:
        InputError: If the layout is unknown, an argument is out of range, or the folder holds anything else.
    """
    if layout not in LAYOUTS:
        raise InputError(unknown_choice("layout", layout, LAYOUTS))
    chosen = LAYOUTS[layout]
    cameras = chosen.num_cameras if num_cameras is None else num_cameras
    most = chosen.most_cameras
    if most and cameras > most:
        raise InputError(f"num_cameras of a synthetic {layout} must be at most {most}, got {cameras}")
    chosen.write(root, Plan(num_train_ids, num_test_ids, cameras, images_per_camera, image_size, seed))


def _write_market(root: Path, plan: Plan) -> None:
    write_synthetic_market(root, **asdict(plan))


def _write_msmt(root: Path, plan: Plan) -> None:
    write_synthetic_msmt(root, **asdict(plan))


def _write(layout: str, draw: Callable[[Path, Plan], None], root: Path, plan: Plan) -> None:
    write_once(root, {"layout": layout, **asdict(plan)}, lambda folder: draw(folder, plan))


def _draw_duke(folder: Path, plan: Plan) -> None:
    def name_of(shot: Shot) -> str:
        return f"{shot.person + 1:04d}_c{shot.camera + 1}_f{shot.number:07d}.jpg"

    draw_market_layout(folder, plan, dukemtmc.DUKE, name_of)


def _draw_veri(folder: Path, plan: Plan) -> None:
    def name_of(shot: Shot) -> str:
        return f"{shot.person + 1:04d}_c{shot.camera + 1:03d}_{shot.number:08d}_0.jpg"

    draw_market_layout(folder, plan, veri.LAYOUT, name_of)


def _draw_cuhk03_np(folder: Path, plan: Plan) -> None:
    def name_of(shot: Shot) -> str:
        place = 1 + shot.camera * (plan.images_per_camera + 1) + shot.number
        return f"{shot.person + 1:04d}_c{shot.camera + 1}_{place}.png"

    # The second kind of boxes shows other pixels: those of the next seed.
    for kind, boxes in enumerate(cuhk03.BOXES):
        seeded = replace(plan, seed=plan.seed + kind)
        draw_market_layout(folder, seeded, cuhk03.PRESPLIT, name_of, below=f"{boxes}/")


LAYOUTS = {
    "market1501": Layout("market1501", _write_market),
    "dukemtmc": Layout("dukemtmc", partial(_write, "DukeMTMC-reID", _draw_duke), most_cameras=8),
    "occ_duke": Layout("occ_duke", partial(_write, "Occluded-Duke", _draw_duke), most_cameras=8),
    "msmt17": Layout("msmt17", _write_msmt, most_cameras=15),
    "cuhk03": Layout("cuhk03", partial(_write, "CUHK03", draw_cuhk03), most_cameras=2, num_cameras=2),
    "cuhk03_np": Layout(
        "cuhk03", partial(_write, "CUHK03-NP", _draw_cuhk03_np), most_cameras=2, num_cameras=2
    ),
    "veri": Layout("veri", partial(_write, "VeRi-776", _draw_veri), most_cameras=20),
    "vehicleid": Layout("vehicleid", partial(_write, "VehicleID", draw_vehicleid)),
}
