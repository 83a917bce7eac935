import numpy as np
import pytest
import torch
from PIL import Image

from reid.data import Records
from reid.data.readable import Unreadable, readable_loader
from reid.utils import InputError


def to_tensor(image):
    return torch.from_numpy(np.asarray(image, np.float32)).permute(2, 0, 1)


@pytest.fixture
def records(tmp_path):
    """Seven images of which those at rows 1, 4 and 5 cannot be read; identity 10 + row."""
    for row in range(7):
        Image.new("RGB", (4, 6), (row, 0, 0)).save(tmp_path / f"{row}.png")
    (tmp_path / "1.png").write_bytes(b"")
    (tmp_path / "4.png").write_bytes((tmp_path / "0.png").read_bytes()[:40])
    (tmp_path / "5.png").unlink()
    return Records.from_rows(tmp_path, [(f"{row}.png", 10 + row, row % 3) for row in range(7)])


@pytest.mark.parametrize("workers", [0, 2])
def test_unreadable_images_are_named_and_move_no_other_to_another_batch(records, workers):
    found = list(readable_loader(records, to_tensor, 2, workers))
    kept = [[] if batch is None else batch.indices.tolist() for batch, _ in found]
    assert kept == [[0], [2, 3], [], [6]]
    lost = [[image.row for image in unreadable] for _, unreadable in found]
    assert lost == [[1], [], [4, 5], []]
    assert found[1].batch.images[:, 0, 0, 0].tolist() == [2, 3]
    assert found[1].batch.pids.tolist() == [12, 13]
    reasons = [image.reason for _, unreadable in found for image in unreadable]
    for row, words, reason in zip((1, 4, 5), ("empty", "", "does not exist"), reasons, strict=True):
        assert f"{row}.png is not: " in reason
        assert words in reason
        assert "\n" not in reason
    assert isinstance(found[0].unreadable[0], Unreadable)


def test_nothing_is_drawn_from_the_global_generator(records):
    before = torch.get_rng_state()
    list(readable_loader(records, to_tensor, 2, 0))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_batch_has_an_image(records):
    with pytest.raises(InputError, match="batch size must be at least 1, got 0"):
        readable_loader(records, to_tensor, 0, 0)


def test_what_is_no_fault_of_an_image_is_raised(records):
    def broken(image):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(readable_loader(records, broken, 2, 0))
