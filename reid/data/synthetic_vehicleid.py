"""Drawn people in the layout of VehicleID."""

from pathlib import Path

from reid.data.synthetic import Plan
from reid.data.vehicleid import IMAGES, LISTS, TEST_SIZES


def draw_vehicleid(folder: Path, plan: Plan) -> None:
    """Draw ``plan``; the three test lists hold the same identities, all of them."""
    studio = plan.studio()
    lines: dict[str, list[str]] = {"train": [], "test": []}
    for split, shots in (("train", plan.train_shots()), ("test", plan.test_shots())):
        for shot in shots:
            number = f"{sum(map(len, lines.values())) + 1:07d}"
            studio.write(folder / IMAGES / f"{number}.jpg", shot)
            lines[split].append(f"{number} {shot.person}\n")
    (folder / LISTS).mkdir()
    (folder / LISTS / "train_list.txt").write_text("".join(lines["train"]), encoding="utf-8")
    for size in TEST_SIZES:
        (folder / LISTS / f"test_list_{size}.txt").write_text("".join(lines["test"]), encoding="utf-8")
