from dataclasses import replace

import torch

from reid.models import Header, ModelSpec, Preprocessing, ReIDModel, load_checkpoint, save_checkpoint
from reid.models.embedding import EmbeddingDenoiser

SPEC = ModelSpec("vit_micro", (64, 32), 3)
HALF = (0.5, 0.5, 0.5)


def test_a_feature_by_hand():
    layer = EmbeddingDenoiser(2)
    layer.set(torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([0.1, 0.2]))
    torch.testing.assert_close(
        layer(torch.tensor([[3.0, 4.0]])), torch.tensor([[2 * (0.6 - 0.1), 0.8 - 0.2]])
    )
    torch.testing.assert_close(layer(torch.tensor([[30.0, 40.0]])), layer(torch.tensor([[3.0, 4.0]])))


def test_an_adapted_model_embeds_through_it_and_comes_back_from_a_checkpoint(tmp_path):
    torch.manual_seed(0)
    model = ReIDModel(replace(SPEC, adapted=True)).eval()
    plain = ReIDModel(SPEC).eval()
    plain.load_state_dict(model.state_dict(), strict=False)
    images = torch.randn(2, 3, 64, 32)
    torch.testing.assert_close(model.embed(images), model.embedding_denoiser(plain.embed(images)))
    path = tmp_path / "adapted.pth"
    save_checkpoint(path, model, Header(model.spec, Preprocessing((64, 32), HALF, HALF)))
    loaded, header = load_checkpoint(path)
    assert header.model.adapted
    assert torch.equal(loaded.embed(images), model.embed(images))


def test_a_checkpoint_needs_no_suffix(tmp_path):
    model = ReIDModel(SPEC).eval()
    save_checkpoint(tmp_path / "name", model, Header(SPEC, Preprocessing((64, 32), HALF, HALF)))
    assert load_checkpoint(tmp_path / "name")[1].model == SPEC
