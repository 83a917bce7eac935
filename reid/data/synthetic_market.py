"""Drawn people in the layout of Market-1501, and of the sets that share it."""

from collections.abc import Callable
from pathlib import Path

from reid.data.market_layout import MarketLayout
from reid.data.synthetic import Plan, Shot, Studio, shots, write_once


def write_synthetic_market(
    root: Path,
    *,
    num_train_ids: int = 32,
    num_test_ids: int = 16,
    num_cameras: int = 4,
    images_per_camera: int = 4,
    image_size: tuple[int, int] = (128, 64),
    num_distractors: int = 16,
    num_junk: int = 8,
    seed: int = 0,
) -> None:
    """Write drawn people as a Market-1501 tree, which ``load_market1501(root)`` reads.

    Every identity is seen by every camera: ``images_per_camera`` times in train or in the gallery, and once
    more as a query. The gallery also holds distractors (0000) and junk without a person (-1). The same
    arguments draw the same images; a tree that they wrote before is kept as it is.

    Args:
        root: The folder to become the tree; absent, empty, or written by the same arguments.
        num_train_ids: Training identities, numbered from 1; these and all other numbers within ``LIMITS``.
        num_test_ids: Test identities, numbered after them.
        num_cameras: Cameras, at least 2.
        images_per_camera: Images of an identity by a camera, a query not counted.
        image_size: (H, W) in pixels, each in 32..1024.
        num_distractors: Gallery images of people who are nobody's match.
        num_junk: Gallery images of nobody, numbered -1.
        seed: Of all that is random.

    Raises:
        InputError: If an argument is out of range, more than ``MOST_IMAGES`` would be drawn, or the folder
            holds anything else.
    """
    arguments = {key: value for key, value in locals().items() if key != "root"}
    num_ids = num_train_ids + num_test_ids

    def draw(folder: Path) -> None:
        studio = Studio(seed, num_cameras, image_size)
        for shot in shots(range(num_train_ids), num_cameras, images_per_camera):
            studio.write(folder / "bounding_box_train" / _market_name(shot.person + 1, shot), shot)
        for shot in shots(range(num_train_ids, num_ids), num_cameras, images_per_camera + 1):
            split = "bounding_box_test" if shot.number < images_per_camera else "query"
            studio.write(folder / split / _market_name(shot.person + 1, shot), shot)
        for extra in range(num_distractors):
            shot = Shot(num_ids + extra, extra % num_cameras, extra)
            studio.write(folder / "bounding_box_test" / _market_name(0, shot), shot)
        for extra in range(num_junk):
            shot = Shot(-1, extra % num_cameras, extra)
            studio.write(folder / "bounding_box_test" / _market_name(-1, shot), shot)

    write_once(root, {"layout": "Market-1501", **arguments}, draw)


def draw_market_layout(
    folder: Path, plan: Plan, layout: MarketLayout, name_of: Callable[[Shot], str], below: str = ""
) -> None:
    """Draw ``plan`` in another set's spelling of the layout; as ``write_synthetic_market`` without extras.

    Args:
        folder: Where to write.
        plan: How much.
        layout: The three folders.
        name_of: From a shot to its file's base name.
        below: A folder for the three, ending in a slash.
    """
    studio = plan.studio()
    train, query, gallery = (folder / f"{below}{part}" for part in layout.folders)
    for shot in plan.train_shots():
        studio.write(train / name_of(shot), shot)
    for shot in plan.test_shots():
        split = gallery if shot.number < plan.images_per_camera else query
        studio.write(split / name_of(shot), shot)


def _market_name(pid: int, shot: Shot) -> str:
    number = f"{pid:04d}" if pid >= 0 else str(pid)
    return f"{number}_c{shot.camera + 1}s1_{shot.number + 1:06d}_00.jpg"
