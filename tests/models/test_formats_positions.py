"""Where the positions in a file lie: by the header of our own files, whose numbers of patches tell little."""

import pytest
import torch
from peers import PATH

from reid.models import Header, ModelSpec, Preprocessing, ReIDModel, load_pretrained, save_checkpoint
from reid.models.formats import start_from
from reid.models.position import PatchLayout, resize_position_embedding
from reid.utils import InputError


def make(name, size, seed=1, **options):
    torch.manual_seed(seed)
    return ReIDModel(ModelSpec(name, size, 3, **options), Preprocessing(size, (0.5,) * 3, (0.5,) * 3))


def saved(path, name, size, **options):
    model = make(name, size, 2, **options)
    save_checkpoint(path, model, Header(model.spec, model.preprocessing))
    return model


@pytest.mark.parametrize(
    ("name", "size", "options"),
    [
        ("vit_micro", (128, 32), {}),
        ("vit_micro", (64, 40), {"patch_stride": (6, 4)}),
        ("vit_micro", (64, 32), {"conv_stem": True}),
        ("clip_vit_micro", (32, 128), {}),
        ("clip_resnet14", (128, 64), {"last_stride": 2}),
    ],
)
def test_a_checkpoint_of_the_models_own_size_keeps_its_positions(name, size, options, tmp_path):
    model = make(name, size, **options)
    source = saved(tmp_path / "ours.pth", name, size, **options)
    report = load_pretrained(model, tmp_path / "ours.pth")
    assert report.interpolated == []
    assert all(torch.equal(value, source.state_dict()[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize("ratio", [1, 2])
def test_a_checkpoint_of_another_size_is_resized_from_its_own_grid(ratio, tmp_path):
    # 16 x 4 patches, as many as 8 x 8.
    model = make("vit_micro", (64, 32))
    source = saved(tmp_path / "ours.pth", "vit_micro", (128, 32))
    assert load_pretrained(model, tmp_path / "ours.pth", ratio).interpolated == ["backbone.pos_embed"]
    wanted = resize_position_embedding(source.backbone.pos_embed, (8, 4), 1, PatchLayout((16, 4)))
    assert torch.equal(model.backbone.pos_embed, wanted)


@pytest.mark.parametrize("bare", [False, True])
def test_positions_of_ours_stay_without_a_header(bare):
    # 16 x 12 patches of 16 pixels, which are 24 x 8 for other code bases.
    source, model = make("vit_small", (256, 192), 2), make("vit_small", (256, 192))
    state = {k: v for k, v in source.state_dict().items() if k.startswith("backbone.") or not bare}
    assert start_from(model, state, PATH).interpolated == []
    assert torch.equal(model.backbone.pos_embed, source.backbone.pos_embed)


def test_a_header_that_describes_no_model_is_refused(tmp_path):
    model = make("vit_micro", (64, 32))
    spec = ModelSpec("vit_micro", (60, 32), 3)
    save_checkpoint(tmp_path / "ours.pth", model, Header(spec, model.preprocessing))
    with pytest.raises(InputError, match=r"ours\.pth has a header that describes no model: vit_micro cannot"):
        load_pretrained(model, tmp_path / "ours.pth")


def test_a_header_of_another_grid_than_the_positions_is_refused(tmp_path):
    model = make("vit_micro", (64, 32))
    spec = ModelSpec("vit_micro", (64, 64), 3)
    save_checkpoint(tmp_path / "ours.pth", model, Header(spec, model.preprocessing))
    with pytest.raises(InputError, match="32 position embeddings do not fill a grid of 8 x 8 patches"):
        load_pretrained(model, tmp_path / "ours.pth")
