"""What a training may start from; every key accounted for, and nothing changed on refusal."""

import pytest
import torch
from peer_clip import clip_rn50_state, clip_vit_state
from peers import PATH, assert_every_key_is_accounted_for, prefixed, shapes_of

from reid.models import JigsawSpec, ModelSpec, ReIDModel, SideSpec
from reid.models.backbones.osnet import OSNet
from reid.models.formats import detect, start_from
from reid.models.formats.fill import fill
from reid.models.formats.translate import translate
from reid.models.position import PatchLayout
from reid.utils import InputError

SIZE = (64, 32)
JIGSAW = JigsawSpec(num_parts=2, shift=3)
SIDE = SideSpec((0, 1, 2))
NECK = {f"neck.{name}" for name in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")}


def make(name="vit_micro", classes=5, seed=1, size=SIZE, **options):
    torch.manual_seed(seed)
    return ReIDModel(ModelSpec(name, size, classes, **options)).eval()


def state_of(*args, **options):
    """The state dict of another model, its norms told apart from new ones."""
    model = make(*args, seed=2, **options)
    for parameter in model.parameters():
        parameter.data += torch.randn(parameter.shape)
    return model.state_dict()


def bare(state):
    """A pre-training: the backbone alone, under timm's own names."""
    own = {key: value for key, value in state.items() if key.startswith("backbone.")}
    return {key.removeprefix("backbone."): value for key, value in own.items()}


def start(model, state, ratio=2):
    """Start, and check that every key of the file and of the model is accounted for."""
    before = {key: value.clone() for key, value in model.state_dict().items()}
    report = start_from(model, state, PATH, ratio)
    assert_every_key_is_accounted_for(report, state)
    for key in report.missing:
        assert torch.equal(model.state_dict()[key], before[key]), key
    return report


def refusal(model, state):
    """The one line of a refusal, which leaves the model as it was."""
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(InputError) as caught:
        start_from(model, state, PATH)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("peer.pth ")
    return str(caught.value)


def test_a_plain_transformers_last_block_starts_both_jigsaw_branches():
    state, model = bare(state_of()), make(jigsaw=JIGSAW)
    report = start(model, state)
    for branch in (model.backbone.global_branch, model.backbone.local_branch):
        assert torch.equal(branch[0].mlp.fc1.weight, state["blocks.3.mlp.fc1.weight"])
        assert torch.equal(branch[1].bias, state["norm.bias"])
    assert torch.equal(model.backbone.blocks[2].mlp.fc1.weight, state["blocks.2.mlp.fc1.weight"])
    assert set(report.matched) == set(state)
    assert all(key.startswith(("neck.", "classifier.", "part_")) for key in report.missing)


def test_a_jigsaws_global_branch_is_the_last_block_of_a_plain_transformer():
    state, model = state_of(jigsaw=JIGSAW), make()
    report = start(model, state)
    own = model.backbone.state_dict()
    assert torch.equal(own["blocks.3.norm1.weight"], state["backbone.global_branch.0.norm1.weight"])
    assert torch.equal(own["norm.bias"], state["backbone.global_branch.1.bias"])
    left = ("backbone.local_branch.", "part_necks.", "part_classifiers.")
    assert set(report.dropped) == {key for key in state if key.startswith(left)}
    assert (report.missing, report.unexpected) == ([], [])


def test_a_jigsaw_starts_from_a_jigsaw_branch_by_branch():
    state, model = state_of(jigsaw=JIGSAW), make(jigsaw=JIGSAW)
    assert start(model, state).matched == list(state)
    assert torch.equal(model.backbone.local_branch[1].weight, state["backbone.local_branch.1.weight"])


def test_other_identities_and_other_cameras_start_anew_and_are_reported():
    state = state_of(classes=9, side=SideSpec((0, 1, 2, 3)), jigsaw=JIGSAW)
    report = start(make(side=SIDE, jigsaw=JIGSAW), state)
    tables = {"classifier.weight", "part_classifiers.0.weight", "part_classifiers.1.weight"}
    tables |= {"backbone.side.embed"}
    assert (set(report.dropped), set(report.missing)) == (tables, tables)


def test_as_many_cameras_are_taken_over():
    state, model = state_of(side=SIDE), make(side=SIDE)
    assert start(model, state).missing == []
    assert torch.equal(model.backbone.side.embed, state["backbone.side.embed"])


def test_a_start_may_lack_side_information_but_not_have_it_where_the_model_does_not():
    assert "backbone.side.embed" in start(make(side=SIDE), bare(state_of())).missing
    expected = "peer.pth has 1 keys that vit_micro has no place for here, such as backbone.side.embed"
    assert refusal(make(), state_of(side=SIDE)) == expected


def test_a_reduced_feature_starts_anew_with_all_that_follows_it():
    state, model = state_of(), make(feat_dim=16)
    report = start(model, state)
    assert {"reduction.weight", *NECK, "classifier.weight"} - set(report.missing) == {
        "neck.num_batches_tracked"
    }
    assert "neck.weight" in report.dropped
    assert "such as reduction.weight" in refusal(make(), state_of(feat_dim=16))


@pytest.mark.parametrize("options", [{"gem": True}, {"last_stride": 2}])
def test_a_resnet_starts_from_a_pre_training_without_its_pooling(options):
    state, model = bare(state_of("resnet10")), make("resnet10", **options)
    report = start(model, state)
    pooling = {"backbone.global_pool.p"} if options.get("gem") else set()
    assert set(report.missing) == pooling | NECK | {"classifier.weight"}
    assert torch.equal(model.backbone.layer1[0].conv1.weight, state["layer1.0.conv1.weight"])
    if pooling:
        assert model.backbone.global_pool.p.item() == 3


@pytest.mark.slow
@pytest.mark.parametrize("ibn", ["", "_ibn"])
def test_non_local_blocks_and_pooling_start_anew_on_imagenets_weights(ibn):
    state = bare(state_of(f"resnet50{ibn}", classes=0)) | {"fc.weight": torch.ones(1000, 2048)}
    model = make(f"resnet50{ibn}_nl_fastreid", gem=True)
    report = start(model, state)
    assert torch.equal(model.backbone.layer3[5][0].conv1.weight, state["layer3.5.conv1.weight"])
    assert report.dropped == ["fc.weight"]
    new = set(report.missing) - NECK - {"classifier.weight"}
    places = [(2, 2), (2, 3), (3, 3), (3, 4), (3, 5)]
    prefixes = tuple(f"backbone.layer{stage}.{block}.1." for stage, block in places)
    assert len(new) == 5 * (3 * 2 + 2 + 5) + 1
    assert all(key.startswith((*prefixes, "backbone.global_pool.p")) for key in new)


@pytest.mark.slow
def test_a_linear_layer_behind_the_pooling_starts_anew():
    state = bare(state_of("resnet50", classes=0)) | {"fc.weight": torch.ones(1000, 2048)}
    report = start(make("resnet50_fc512"), state)
    new = set(report.missing) - NECK - {"classifier.weight"}
    assert all(key.startswith(("backbone.fc.0.", "backbone.fc.1.")) for key in new)
    assert len(new) == 7


def openai(state):
    """A state dict of CLIP-ReID's as OpenAI's archive has it, in its half precision."""
    own = {key: value for key, value in state.items() if key.startswith("image_encoder.")}
    state = {key.replace("image_encoder.", "visual."): value for key, value in own.items()}
    text = {"positional_embedding": torch.ones(77, 64), "text_projection": torch.ones(64, 64)}
    text |= {"logit_scale": torch.tensor(1.0), "token_embedding.weight": torch.ones(5, 64)}
    text |= {"transformer.resblocks.0.ln_1.weight": torch.ones(64), "context_length": torch.tensor(77)}
    halves = {key: value.half() for key, value in (state | text).items() if value.is_floating_point()}
    return state | text | halves


@pytest.mark.parametrize("side", [None, SIDE])
def test_clips_transformer_starts_from_openais_archive(side):
    # 14 x 14 patches of another size in pixels than ours have, which the resize does not care for.
    state = openai(clip_vit_state(classes=1, tokens=17, width=128, depth=4, embed=64, text=False))
    state["visual.conv1.weight"] = torch.randn(128, 3, 8, 8).half()
    model = make("clip_vit_micro", side=side)
    report = start(model, state, 1)
    own = model.backbone.state_dict()
    assert report.interpolated == ["visual.positional_embedding"]
    assert torch.equal(own["projection.weight"], state["visual.proj"].T.float())
    qkv = state["visual.transformer.resblocks.3.attn.in_proj_weight"].float()
    assert torch.equal(own["blocks.3.attn.qkv.weight"], qkv)
    assert {key for key in report.dropped if key.startswith("visual.")} == set()
    heads = ("neck.", "classifier.", "part_", "backbone.side.")
    assert all(key.startswith(heads) for key in report.missing)


def test_clips_resnet_starts_from_openais_archive():
    blocks = {"blocks": (1, 1, 1, 1), "width": 16, "embed": 64}
    state = openai(clip_rn50_state(classes=1, tokens=50, text=False, **blocks))
    model = make("clip_resnet14")
    report = start(model, state)
    assert report.interpolated == ["visual.attnpool.positional_embedding"]
    query = state["visual.attnpool.q_proj.weight"].float()
    assert torch.equal(model.backbone.attnpool.qkv.weight[:512], query)
    assert torch.equal(
        model.backbone.attnpool.pos_embed[0], state["visual.attnpool.positional_embedding"][0].float()
    )


def test_our_own_clip_transformer_is_taken_over_whole():
    state, model = state_of("clip_vit_micro", side=SIDE), make("clip_vit_micro", side=SIDE)
    assert start(model, state).matched == list(state)


def test_denoisers_and_an_adaptation_are_no_loss():
    state = state_of(adapted=True)
    state |= {"backbone.blocks.0.mlp.fc1.denoiser.weight": torch.ones(2, 2)}
    report = start(make(), state)
    extra = {key for key in state if key.startswith("embedding_denoiser.") or ".denoiser." in key}
    assert set(report.dropped) == extra
    assert len(extra) > 1


def test_positions_of_an_image_lying_down_are_resized_although_there_are_as_many():
    state, model = bare(state_of()), make()
    file = translate(state, detect(shapes_of(state)), PATH)
    report = fill(model, file, PATH, PatchLayout((4, 8)), is_start=True)
    assert report.interpolated == ["pos_embed"]
    assert not torch.equal(model.backbone.pos_embed, state["pos_embed"])
    report = fill(model, file, PATH, PatchLayout((8, 4)), is_start=True)
    assert report.interpolated == []
    assert torch.equal(model.backbone.pos_embed, state["pos_embed"])


def osnet():
    return OSNet("osnet_x0_25").state_dict()


REFUSED = {
    "another network": (make, lambda: osnet(), "is no vit_micro: 54 keys of the backbone are missing"),
    "a transformer for a ResNet": (
        lambda: make("resnet10"),
        lambda: bare(state_of()),
        "is no resnet10: 70 keys of the backbone are missing, such as backbone.conv1.0.weight",
    ),
    "a key of the backbone is missing": (
        make,
        lambda: {k: v for k, v in state_of().items() if k != "backbone.blocks.2.mlp.fc1.weight"},
        "is no vit_micro: 1 keys of the backbone are missing, such as backbone.blocks.2.mlp.fc1.weight",
    ),
    "a stem that is not there": (
        lambda: make(conv_stem=True),
        lambda: bare(state_of()),
        "keys of the backbone are missing, such as backbone.patch_embed.conv.0.weight",
    ),
    "a wrong shape": (
        make,
        lambda: state_of() | {"backbone.norm.weight": torch.ones(64)},
        "backbone.norm.weight must have shape (128,), got (64,)",
    ),
    "positions of another width": (
        make,
        lambda: bare(state_of()) | {"pos_embed": torch.ones(1, 65, 64)},
        "backbone.pos_embed must have shape (1, 33, 128), got (1, 33, 64)",
    ),
    "positions that are no numbers": (
        make,
        lambda: bare(state_of()) | {"pos_embed": torch.full((1, 65, 128), torch.inf)},
        "backbone.pos_embed must be finite",
    ),
    "a foreign key of the backbone": (
        make,
        lambda: bare(state_of()) | {"blocks.0.ls1.gamma": torch.ones(128)},
        "has 1 keys that vit_micro has no place for here, such as blocks.0.ls1.gamma",
    ),
    "a head that nobody knows": (
        make,
        lambda: prefixed(bare(state_of()), "backbone.") | {"heads.extra": torch.ones(1)},
        "has 1 keys that vit_micro has no place for here, such as heads.extra",
    ),
    "a bottleneck that nobody knows": (
        make,
        lambda: prefixed(bare(state_of()), "base.") | {"bottleneck_x.weight": torch.ones(1)},
        "such as bottleneck_x.weight",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_another_network_is_refused_and_nothing_is_changed(case):
    model, state, expected = REFUSED[case]
    assert expected in refusal(model(), state())


@pytest.mark.filterwarnings("ignore::UserWarning")  # torch's own, on sparse tensors
def test_a_position_embedding_is_checked_before_it_is_resized():
    state = bare(state_of()) | {"pos_embed": torch.ones(1, 65, 128).to_sparse()}
    assert "backbone.pos_embed must be a dense tensor" in refusal(make(), state)


def test_keys_that_nobody_knows_beside_the_backbone_are_reported():
    state = prefixed(bare(state_of()), "base.") | {"center.weight": torch.ones(1)}
    assert start(make(), state).unexpected == ["center.weight"]


@pytest.mark.slow
def test_position_biases_of_no_square_window_are_refused_as_another_shape():
    model = make("swin_tiny", size=(64, 32))
    key = "layers.0.blocks.1.attn.relative_position_bias_table"
    state = bare(model.state_dict())
    for shape in ((), (1,), (5, 3), (100, 3), (170, 3), (169, 7), (13, 13, 3)):
        message = refusal(model, state | {key: torch.ones(shape)})
        assert f"backbone.{key} must have shape" in message
    assert start(model, state | {key: torch.ones(81, 3)}).interpolated == [key]
