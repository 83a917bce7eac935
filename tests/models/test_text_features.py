"""Text features on disk: what is written is read, and nothing else."""

import pytest
import torch

from reid.models.text_features import load_text_features, save_text_features
from reid.utils import InputError

TEXTS = torch.arange(6.0).reshape(3, 2)


def test_what_is_written_is_read_without_code(tmp_path):
    path = tmp_path / "new" / "texts.pth"
    save_text_features(
        path, TEXTS.clone().requires_grad_(), torch.ones(3, 4, 5), "A photo of a X X X X person."
    )
    assert torch.equal(load_text_features(path, 3, 2), TEXTS)
    content = torch.load(path, weights_only=True)
    assert content["cls_ctx"].shape == (3, 4, 5)
    assert content["num_classes"] == 3
    assert content["prompt"] == "A photo of a X X X X person."


@pytest.mark.parametrize(
    ("num_classes", "dim", "message"),
    [(4, 2, "texts of 3 identities, the training images show 4"), (3, 5, "texts of width 2, .* has 5")],
)
def test_texts_of_other_identities_or_another_model_are_refused(tmp_path, num_classes, dim, message):
    save_text_features(tmp_path / "texts.pth", TEXTS, torch.ones(3, 4, 5), "")
    with pytest.raises(InputError, match=f"texts.pth has {message}"):
        load_text_features(tmp_path / "texts.pth", num_classes, dim)


@pytest.mark.parametrize(
    "content",
    [
        [TEXTS],
        {"state_dict": {}},
        {"text_features": [1.0]},
        {"text_features": TEXTS[0]},
    ],
    ids=["no dictionary", "another file", "no tensor", "flat"],
)
def test_other_files_are_refused(tmp_path, content):
    torch.save(content, tmp_path / "texts.pth")
    with pytest.raises(InputError, match=r"texts.pth must hold text_features \(K, D\); write it with tools/"):
        load_text_features(tmp_path / "texts.pth", 3, 2)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (TEXTS.index_fill(0, torch.tensor(1), torch.nan), "must be finite in torch.float32, 2 of 6"),
        (TEXTS.double().index_fill(1, torch.tensor(1), 1e300), "must be finite in torch.float32, 3 of 6"),
        (TEXTS.long(), "must hold floating-point numbers, got torch.int64"),
        (TEXTS.to_sparse(), "must be a dense tensor"),
        (TEXTS.to("meta"), "must be a dense tensor"),
    ],
    ids=["nan", "too large", "whole", "sparse", "meta"],
)
def test_numbers_that_cannot_be_used_are_refused(tmp_path, texts, message):
    torch.save({"text_features": texts}, tmp_path / "texts.pth")
    with pytest.raises(InputError, match=f"text_features {message}"):
        load_text_features(tmp_path / "texts.pth", 3, 2)
