from dataclasses import replace

import numpy as np
import pytest

from reid.data.person import BAGS, CLOTHES, LOWERS, PATTERNS, Pose, draw_look, draw_person, draw_pose

POSE = Pose(back=False, mirrored=False, stride=0.02, swing=0.0, lean=0.0)


def look_of(number):
    return draw_look(np.random.default_rng(number))


def drawn(look, pose=POSE):
    canvas = np.zeros((128, 64, 4), np.uint8)
    draw_person(canvas, look, pose, top=16.0, left=32.0, size=100.0)
    return canvas


def test_a_person_stands_upright_in_the_middle():
    rows, columns = np.nonzero(drawn(look_of(0))[..., 3])
    assert 5 < rows.min() < 30
    assert 108 < rows.max() < 120
    assert 8 < columns.min() < 28
    assert 36 < columns.max() < 56


def test_looks_share_one_small_palette():
    looks = [look_of(number) for number in range(40)]
    assert {look.top for look in looks} <= set(CLOTHES)
    assert len({(look.top, look.lower) for look in looks}) < 40


@pytest.mark.parametrize("pattern", [p for p in sorted(set(PATTERNS)) if p != "plain"])
def test_a_pattern_shows(pattern):
    plain = replace(look_of(1), pattern="plain", top=CLOTHES[0], accent=CLOTHES[2])
    assert (drawn(plain) != drawn(replace(plain, pattern=pattern))).any()


@pytest.mark.parametrize("bag", [bag for bag in BAGS if bag])
@pytest.mark.parametrize("back", [True, False])
def test_a_bag_shows_from_both_sides(bag, back):
    pose = replace(POSE, back=back)
    without = replace(look_of(1), bag="", top=CLOTHES[0], bag_color=CLOTHES[2])
    assert (drawn(without, pose) != drawn(replace(without, bag=bag), pose)).any()


@pytest.mark.parametrize("kind", ["shorts", "skirt"])
def test_short_clothes_differ_from_trousers(kind):
    assert set(LOWERS) == {"trousers", "shorts", "skirt"}
    look = replace(look_of(1), lower_kind="trousers", lower=CLOTHES[0])
    assert (drawn(look) != drawn(replace(look, lower_kind=kind))).any()


@pytest.mark.parametrize("part", ["hat", "long_hair", "long_sleeves"])
def test_a_part_shows_from_behind(part):
    look = replace(
        look_of(2), hat=False, long_hair=False, long_sleeves=False, top=CLOTHES[2], accent=CLOTHES[5]
    )
    pose = replace(POSE, back=True)
    assert (drawn(look, pose) != drawn(replace(look, **{part: True}), pose)).any()


def test_back_share_decides_who_is_seen_from_behind():
    rng = np.random.default_rng(0)
    assert all(draw_pose(rng, 1.0).back for _ in range(10))
    assert not any(draw_pose(rng, 0.0).back for _ in range(10))
