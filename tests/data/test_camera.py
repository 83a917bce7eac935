import numpy as np

from reid.data.camera import draw_camera, take_picture
from reid.data.person import draw_look

SIZE = (64, 32)


def rng(*numbers):
    return np.random.default_rng(numbers)


def test_a_picture_is_rgb_of_the_size_asked_for():
    image = take_picture(draw_camera(rng(0), SIZE), draw_look(rng(1)), SIZE, rng(2))
    assert image.shape == (64, 32, 3)
    assert image.dtype == np.uint8


def test_the_same_numbers_give_the_same_picture():
    first, second = (
        take_picture(draw_camera(rng(0), SIZE), draw_look(rng(1)), SIZE, rng(2)) for _ in range(2)
    )
    assert (first == second).all()


def test_cameras_see_one_person_differently():
    look = draw_look(rng(1))
    first, second = (
        np.mean([take_picture(draw_camera(rng(number), SIZE), look, SIZE, rng(k)) for k in range(8)], axis=0)
        for number in (0, 1)
    )
    assert np.abs(first - second).mean() > 10


def test_a_person_changes_the_picture_of_nobody():
    camera = draw_camera(rng(0), SIZE)
    with_person = take_picture(camera, draw_look(rng(1)), SIZE, rng(2)).astype(int)
    assert np.abs(with_person - take_picture(camera, None, SIZE, rng(2))).mean() > 5


def test_cameras_differ_in_their_colour_cast():
    first, second = (draw_camera(rng(number), SIZE).gain for number in (0, 1))
    assert np.abs(first / first.mean() - second / second.mean()).max() > 0.02
