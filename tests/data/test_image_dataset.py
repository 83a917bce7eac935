import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import default_collate

from reid.data import Batch, ImageDataset, ImageError, Records


def pixels(height=40, width=30, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def to_tensor(image):
    return torch.from_numpy(np.asarray(image, np.float32)).permute(2, 0, 1)


def test_a_sample_and_a_batch_have_the_same_fields(tmp_path):
    for seed in range(2):
        Image.fromarray(pixels(seed=seed)).save(tmp_path / f"{seed}.png")
    records = Records.from_rows(tmp_path, [("0.png", 8, 3, -1), ("1.png", 9, -1, 6)])
    dataset = ImageDataset(records, to_tensor)
    assert len(dataset) == 2
    sample = dataset[1]
    assert isinstance(sample, Batch)
    assert (sample.images.shape, sample.images.dtype) == ((3, 40, 30), torch.float32)
    assert [field.item() for field in sample[1:]] == [9, -1, 1, 6]
    batch = default_collate([dataset[0], dataset[1]])
    assert isinstance(batch, Batch)
    assert batch.images.shape == (2, 3, 40, 30)
    assert (batch.pids.tolist(), batch.camids.tolist(), batch.indices.tolist()) == ([8, 9], [3, -1], [0, 1])
    assert batch.viewids.tolist() == [-1, 6]
    assert {field.dtype for field in batch[1:]} == {torch.int64}
    np.testing.assert_array_equal(batch.images[1].permute(1, 2, 0).numpy(), pixels(seed=1))


def test_a_damaged_image_of_a_data_set_is_refused_with_its_path(tmp_path):
    (tmp_path / "empty.jpg").touch()
    dataset = ImageDataset(Records.from_rows(tmp_path, [("empty.jpg", 0, 0)]), to_tensor)
    with pytest.raises(ImageError, match=r"empty\.jpg is not"):
        dataset[0]
