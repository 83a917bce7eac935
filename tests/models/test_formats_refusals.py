"""What would be taken for another network, or computed as another one: refused, not reported."""

import pytest
import torch
from peer_clip import clip_rn50_state
from peer_resnet import fastreid_resnet_state
from peer_vit import vit_state
from peers import PATH, imported, prefixed, shapes_of

from reid.models import JigsawSpec, ModelSpec, ReIDModel, SideSpec
from reid.models.backbones.osnet import OSNet
from reid.models.formats import ImportOptions, detect, import_content, plan_model, start_from
from reid.models.formats.fill import fill
from reid.models.formats.translate import Translation, translate
from reid.models.position import PatchLayout
from reid.utils import InputError

JIGSAW = JigsawSpec(num_parts=4, shift=3)


def make(name="vit_micro", **options):
    torch.manual_seed(1)
    return ReIDModel(ModelSpec(name, (64, 32), 3, **options)).eval()


def refusal(call, *args):
    with pytest.raises(InputError) as caught:
        call(*args)
    message = str(caught.value)
    assert "\n" not in message
    return message


def take(model, state, *, is_start=False):
    """Fill a model with a file that has our names."""
    file = Translation(dict(state), {key: (key,) for key in state})
    return fill(model, file, PATH, PatchLayout(), is_start=is_start)


def without(state, *keys):
    return {key: value for key, value in state.items() if not key.startswith(keys)}


@pytest.mark.parametrize("is_start", [False, True])
@pytest.mark.parametrize("key", ["weight", "bias", "running_mean", "running_var"])
def test_a_neck_in_parts_is_refused(key, is_start):
    model = make(jigsaw=JIGSAW)
    for neck in ("neck", "part_necks.2"):
        state = without(model.state_dict(), f"{neck}.{key}")
        message = refusal(lambda state=state: take(model, state, is_start=is_start))
        assert message == (
            "peer.pth must have a whole neck for vit_micro, 1 of its 4 keys are missing, such as"
            f" {neck}.{key}"
        )


@pytest.mark.parametrize("key", ["neck.num_batches_tracked", "neck."])
def test_a_neck_may_lack_its_counter_or_be_absent_where_nothing_is_ranked_behind_it(key):
    model = make()
    assert take(model, without(model.state_dict(), key)).missing
    behind = make(neck_feat="after")
    if key == "neck.":
        message = refusal(take, behind, without(behind.state_dict(), key))
        assert "4 of its 4 keys are missing, such as neck.weight" in message
    assert take(behind, without(behind.state_dict(), key), is_start=True).missing


PARTS = {
    "a fifth neck": {"part_necks.4.weight": torch.ones(128)},
    "a fifth classifier": {"part_classifiers.4.weight": torch.ones(3, 128)},
    "a neck before the first": {"part_necks.-1.weight": torch.ones(128)},
}


@pytest.mark.parametrize("case", PARTS)
def test_another_number_of_parts_is_another_network(case):
    model = make(jigsaw=JIGSAW)
    assert "must have 4 part heads as its network has here, got 5" in refusal(
        take, model, model.state_dict() | PARTS[case]
    )


@pytest.mark.parametrize("kind", ["part_necks", "part_classifiers"])
def test_fewer_parts_are_another_network_but_none_at_all_may_be(kind):
    model = make(jigsaw=JIGSAW)
    assert "got 3" in refusal(take, model, without(model.state_dict(), f"{kind}.3."))
    assert take(model, without(model.state_dict(), kind)).missing


@pytest.mark.parametrize("key", ["b3.0.norm1.weight", "b2_head.weight", "b11_head.bnneck.weight"])
def test_branches_that_nobody_knows_are_refused(key):
    state = vit_state(width=128, depth=4, tokens=33, classes=3, imagenet_head=False)
    file = Translation({}, {}, unexpected=[key])
    whole = make().state_dict()
    file.state, file.origin = dict(whole), {name: (name,) for name in whole}
    assert f"such as {key}" in refusal(lambda: fill(make(), file, PATH, PatchLayout(), is_start=False))
    assert key in translate(state | {key: torch.ones(1)}, detect(shapes_of(state)), PATH).unexpected


@pytest.mark.parametrize("second", ["base.", "backbone.", "image_encoder.", ""])
def test_a_second_network_in_a_file_is_refused(second):
    own = make().backbone.state_dict()
    first = "backbone." if second == "base." else "base."
    message = refusal(start_from, make(), prefixed(own, first) | prefixed(own, second), PATH)
    assert " keys that vit_micro has no place for here, such as " in message


@pytest.mark.parametrize("value", [-3.0, 0.0, 1e30])
def test_an_exponent_of_a_pooling_that_is_none_is_refused(value):
    model = make("resnet10", gem=True)
    state = model.state_dict() | {"backbone.global_pool.p": torch.tensor([value])}
    assert f"must have an exponent of its pooling in 0.1..20, got {value:g}" in refusal(take, model, state)


def test_keys_that_only_look_like_a_denoiser_make_no_denoising_network():
    keys = shapes_of(vit_state(width=64, depth=2, tokens=129, classes=3))
    assert detect(keys | {"foo.dm.weight": (4, 4)}).family.name == "transreid"
    assert detect(keys | {"base.blocks.0.mlp.fc1.dm.weight": (4, 4)}).family.name == "denoiserep"


def legacy():
    options = {"mlp_ratio": 3, "qkv_bias": False, "imagenet_head": False}
    return vit_state(width=96, depth=8, tokens=129, classes=3, **options)


def clip_resnet():
    return clip_rn50_state(classes=3, tokens=129, blocks=(1, 1, 1, 1), width=8, embed=16, text=False)


POOL, QKV = "image_encoder.attnpool.q_proj", "base.blocks.3.attn.qkv.weight"
ODD = {
    "whole numbers": lambda t: (t * 10).int(),
    "truth": lambda t: t > 0,
    "sparse": lambda t: t.to_sparse(),
    "no values": lambda t: t.to("meta"),
    "quantized": lambda t: torch.quantize_per_tensor(t, 0.1, 0, torch.qint8),
    "complex": lambda t: t.to(torch.complex64),
}


@pytest.mark.filterwarnings("ignore::UserWarning")  # torch's own, on sparse and quantized tensors
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("case", ODD)
def test_what_is_joined_or_scaled_must_hold_dense_numbers(case):
    for state, key in ((clip_resnet(), f"{POOL}.weight"), (clip_resnet(), f"{POOL}.bias"), (legacy(), QKV)):
        odd = state | {key: ODD[case](state[key])}
        message = refusal(translate, odd, detect(shapes_of(odd)), PATH)
        assert message.startswith("peer.pth does not fit the model: backbone.")
        assert " must hold floating-point numbers" in message or " must be a dense tensor" in message


def test_a_backbone_of_ours_alone_is_not_scaled_again():
    state = {key.replace("base.", "backbone."): value for key, value in legacy().items()}
    state = {key: value for key, value in state.items() if key.startswith("backbone.")}
    found = translate(state, detect(shapes_of(state), guess=True), PATH).state
    assert torch.equal(found["backbone.blocks.3.attn.qkv.weight"], state["backbone.blocks.3.attn.qkv.weight"])


def test_a_reduction_is_a_convolution_of_one_cell():
    state = fastreid_resnet_state(classes=3, blocks=(1, 1, 1, 1), width=8, reduction=32)
    state["heads.bottleneck.0.weight"] = torch.ones(32, 128, 2, 1)
    found = translate(state, detect(shapes_of(state)), PATH).state["reduction.weight"]
    assert found.shape == (32, 128, 2, 1)  # which no model has


def swin(windows, network="swin"):
    """The keys of a Swin transformer that a plan reads, stage by stage."""
    shapes = {"norm.weight": (768,)}
    for stage, (window, depth) in enumerate(zip(windows, (2, 2, 6, 2), strict=True)):
        for block in range(depth):
            name = f"layers.{stage}.blocks.{block}.attn"
            shapes[f"{name}.qkv.weight"] = (1, 1)
            if network == "swin":
                shapes[f"{name}.relative_position_bias_table"] = ((2 * window - 1) ** 2, 3)
            else:
                shapes[f"{name}.logit_scale"] = (3, 1, 1)
                shapes[f"{name}.relative_coords_table"] = (1, 2 * window - 1, 2 * window - 1, 2)
                shapes[f"{name}.relative_position_index"] = (window**2, window**2)
    return shapes


@pytest.mark.parametrize(
    ("network", "own", "others"),
    [("swin", 7, (12, 12, 12, 12)), ("swin", 7, (7, 7, 14, 7)), ("swinv2", 8, (16, 16, 16, 8))],
)
def test_other_windows_are_another_network_unless_a_size_is_given(network, own, others):
    assert plan_model(detect(swin((own,) * 4, network))).name == f"{network}_tiny"
    form = detect(swin(others, network))
    expected = f"its windows must be of {own} cells, got {max(others)}: this network cannot be built here"
    assert refusal(plan_model, form).startswith(expected)
    assert plan_model(form, ImportOptions(image_size=(256, 128))).name == f"{network}_tiny"


def test_windows_are_read_of_the_authors_index_alone():
    shapes = {k: v for k, v in swin((16,) * 4, "swinv2").items() if not k.endswith("relative_coords_table")}
    assert detect(shapes).windows == (16,)


@pytest.mark.parametrize("tokens", [0, 1])
def test_positions_that_leave_none_for_patches_are_refused(tokens):
    shapes = shapes_of(vit_state(width=64, depth=2, tokens=129, classes=3))
    expected = f"but no network can be read off them: {tokens} position embeddings leave none for patches"
    assert expected in refusal(detect, shapes | {"base.pos_embed": (1, tokens, 64)})


FILES = {
    "vit": lambda: vit_state(width=64, depth=2, tokens=129, classes=3, sie_rows=6, fcneck=32),
    "clip resnet": clip_resnet,
    "fast-reid": lambda: fastreid_resnet_state(classes=3, blocks=(1, 1, 1, 1), width=8, reduction=32),
    "osnet": lambda: OSNet("osnet_x0_25").state_dict() | {"classifier.weight": torch.ones(3, 512)},
    "swin": lambda: {key: torch.zeros(()).expand(shape) for key, shape in swin((8,) * 4, "swinv2").items()},
}


def fault(shapes):
    """What planning these keys is refused with; empty if it is not."""
    try:
        plan_model(detect(shapes))
    except InputError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("name", FILES)
def test_a_tensor_of_any_shape_is_told_of_by_its_key(name):
    shapes = shapes_of(FILES[name]())
    # Of the inside of an OSNet's blocks nothing is read.
    keys = [key for key in shapes if name != "osnet" or not key.startswith(("conv2.1", "conv3", "conv4"))]
    for key in keys[::4] if name == "osnet" else keys:
        for changed in (*(shapes | {key: s} for s in ((), (1,), (1,) * 6)), without(shapes, key)):
            message = fault(changed)
            assert not any(raw in message for raw in ("out of range", "unpack", ".-1.")), (key, message)


def test_a_file_whose_model_cannot_be_built_is_named():
    state = OSNet("osnet_x0_25").state_dict()
    message = refusal(lambda: imported(state, gem=True))
    assert message.startswith("peer.pth: osnet_x0_25 has no place for generalised-mean pooling")


def test_a_file_of_several_families_says_with_which_tool_to_name_one():
    message = refusal(import_content, prefixed(make().backbone.state_dict(), "backbone."), PATH)
    assert message.endswith("say which is meant with --family of tools/import_weights.py")


def test_a_key_with_a_line_break_stays_on_its_line():
    assert refusal(detect, {"a\nb": (1,)}).startswith(r"the keys fit no known family: a\nb of 1")
    model = make()
    state = model.state_dict() | {"heads.a\nb": torch.ones(1)}
    assert r"such as heads.a\nb" in refusal(take, model, state)


def test_a_start_may_have_other_parts_and_cameras():
    state = make(jigsaw=JigsawSpec(num_parts=2, shift=3), side=SideSpec((0, 1))).state_dict()
    assert start_from(make(jigsaw=JIGSAW, side=SideSpec((0, 1, 2))), state, PATH).missing
