import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import default_collate

from reid.data import Batch, ImageDataset, ImageError, Records, read_image
from reid.utils import InputError


def pixels(height=40, width=30, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def encoded(kind, **options):
    stream = io.BytesIO()
    Image.fromarray(pixels()).save(stream, kind, **options)
    return stream.getvalue()


def to_tensor(image):
    return torch.from_numpy(np.asarray(image, np.float32)).permute(2, 0, 1)


def test_an_image_is_read_as_rgb(tmp_path):
    Image.fromarray(pixels()).save(tmp_path / "a.png")
    image = read_image(tmp_path / "a.png")
    assert image.mode == "RGB"
    np.testing.assert_array_equal(np.asarray(image), pixels())


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "1", "CMYK"])
def test_other_colour_modes_become_rgb(tmp_path, mode):
    path = tmp_path / ("a.jpg" if mode == "CMYK" else "a.png")
    Image.fromarray(pixels()).convert(mode).save(path)
    image = read_image(path)
    assert (image.mode, image.size) == ("RGB", (30, 40))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no image",
        encoded("JPEG")[:400],
        encoded("PNG")[:400],
        encoded("JPEG")[:20],
        encoded("PNG")[:20],
    ],
    ids=["zero_bytes", "text", "cut_jpeg", "cut_png", "jpeg_head", "png_head"],
)
def test_a_damaged_image_is_refused_with_its_path(tmp_path, data):
    path = tmp_path / "broken.jpg"
    path.write_bytes(data)
    with pytest.raises(ImageError) as caught:
        read_image(path)
    message = str(caught.value)
    assert message.startswith(f"an image must be readable, {path} is not: ")
    assert message.endswith("; restore or remove it")
    assert "\n" not in message


def test_a_missing_image_and_a_folder_are_refused(tmp_path):
    with pytest.raises(ImageError, match=r"gone\.jpg is not: it does not exist; restore"):
        read_image(tmp_path / "gone.jpg")
    with pytest.raises(ImageError, match="an image must be readable"):
        read_image(tmp_path)
    assert issubclass(ImageError, InputError)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "GIF"])
def test_damage_anywhere_gives_an_image_or_an_image_error(tmp_path, kind):
    data, rng, path = encoded(kind), np.random.default_rng(0), tmp_path / "image"
    refused = 0
    for _ in range(60):
        damaged = bytearray(data[: rng.integers(1, len(data) + 1)])
        for place in rng.integers(0, min(len(damaged), 200), 3):
            damaged[place] = rng.integers(256)
        path.write_bytes(bytes(damaged))
        try:
            read_image(path)
        except ImageError:
            refused += 1
    assert refused > 20


def test_a_sample_and_a_batch_have_the_same_fields(tmp_path):
    for seed in range(2):
        Image.fromarray(pixels(seed=seed)).save(tmp_path / f"{seed}.png")
    records = Records.from_rows(tmp_path, [("0.png", 8, 3), ("1.png", 9, -1)])
    dataset = ImageDataset(records, to_tensor)
    assert len(dataset) == 2
    sample = dataset[1]
    assert isinstance(sample, Batch)
    assert (sample.images.shape, sample.images.dtype) == ((3, 40, 30), torch.float32)
    assert (sample.pids.item(), sample.camids.item(), sample.indices.item()) == (9, -1, 1)
    batch = default_collate([dataset[0], dataset[1]])
    assert isinstance(batch, Batch)
    assert batch.images.shape == (2, 3, 40, 30)
    assert (batch.pids.tolist(), batch.camids.tolist(), batch.indices.tolist()) == ([8, 9], [3, -1], [0, 1])
    assert {batch.pids.dtype, batch.camids.dtype, batch.indices.dtype} == {torch.int64}
    np.testing.assert_array_equal(batch.images[1].permute(1, 2, 0).numpy(), pixels(seed=1))


def test_a_damaged_image_of_a_data_set_is_refused_with_its_path(tmp_path):
    (tmp_path / "empty.jpg").touch()
    dataset = ImageDataset(Records.from_rows(tmp_path, [("empty.jpg", 0, 0)]), to_tensor)
    with pytest.raises(ImageError, match=r"empty\.jpg is not"):
        dataset[0]
