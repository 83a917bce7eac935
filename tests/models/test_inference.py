"""Inference: the model's own bits by default, narrow formats near them, no attention matrix anywhere."""

import copy

import pytest
import torch
from denoisers import randomise_denoisers, relative_difference
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from reid.denoise import attach_denoisers
from reid.models import ModelSpec, Preprocessing, ReIDModel
from reid.models.inference import InferenceOptions, prepare_for_inference
from reid.utils import InputError

IMAGES = torch.randn(3, 3, 64, 32, generator=torch.Generator().manual_seed(0))
PREPROCESSING = Preprocessing((64, 32), (0.5, 0.4, 0.3), (0.2, 0.2, 0.1))
NAMES = ("vit_micro", "resnet10", "osnet_x0_25")
# Measured 0.005 to 0.006 and 0.0005 to 0.0009 on these networks; a number is rounded by 0.004 and 0.0005.
NARROW = {"bfloat16": 0.03, "float16": 0.004}


def make(name="vit_micro", denoised=False, **options):
    torch.manual_seed(3)
    model = ReIDModel(ModelSpec(name, (64, 32), 5, **options), PREPROCESSING)
    torch.nn.init.normal_(model.neck.running_mean)
    return randomise_denoisers(attach_denoisers(model, "mlp")).eval() if denoised else model.eval()


@pytest.fixture(scope="module")
def models():
    return {name: make(name) for name in NAMES}


def embed(model, **options):
    return prepare_for_inference(model, InferenceOptions(**options)).embed(IMAGES)


@pytest.mark.parametrize("name", NAMES)
def test_the_default_gives_the_models_own_bits(name, models):
    assert torch.equal(embed(models[name]), models[name].embed(IMAGES))


@pytest.mark.parametrize("dtype", NARROW)
@pytest.mark.parametrize("name", NAMES)
def test_narrow_formats_give_float32_features_near_the_models(name, dtype, models):
    plain, narrow = models[name].embed(IMAGES), embed(models[name], dtype=dtype)
    assert narrow.dtype == torch.float32
    assert 0 < relative_difference(narrow, plain) < NARROW[dtype]


@pytest.mark.parametrize("dtype", NARROW)
@pytest.mark.parametrize("denoised", [False, True])
def test_narrow_weights_give_the_bits_that_autocast_gives(denoised, dtype):
    model = make(denoised=denoised, neck_feat="after")
    with torch.autocast("cpu", dtype=getattr(torch, dtype)):
        expected = model.embed(IMAGES).float()
    assert torch.equal(embed(model, dtype=dtype), expected)


def test_norms_embeddings_and_statistics_stay_float32(models):
    network = prepare_for_inference(models["vit_micro"], InferenceOptions("bfloat16")).network
    narrow = {name for name, value in network.state_dict().items() if value.dtype == torch.bfloat16}
    layers = {name.split(".")[-2] for name in narrow}
    assert layers == {"qkv", "proj", "fc1", "fc2", "classifier"}  # proj cuts the patches too
    assert len(narrow) == 2 * (1 + 4 * 4) + 1  # the classifier has no bias


def test_large_activations_do_not_overflow_float16():
    """A residual stream of 1e5 is beyond float16's 65,504; LayerNorm brings it back."""
    model = make()
    with torch.no_grad():
        model.backbone.pos_embed.add_(1e5 * torch.randn(model.backbone.pos_embed.shape))
    assert torch.isfinite(embed(model, dtype="float16")).all()


@pytest.mark.parametrize("name", NAMES)
def test_channels_last_changes_the_layout_and_only_rounding(name, models):
    prepared = prepare_for_inference(models[name], InferenceOptions(channels_last=True))
    weights = [p for p in prepared.parameters() if p.ndim == 4 and min(p.shape[1:]) > 1]
    assert all(p.is_contiguous(memory_format=torch.channels_last) for p in weights)
    assert relative_difference(prepared.embed(IMAGES), models[name].embed(IMAGES)) < 1e-5


@pytest.mark.parametrize("options", [{}, {"dtype": "bfloat16"}, {"channels_last": True}])
def test_the_original_stays_as_it_was(options):
    model = make("resnet10").train()
    before = copy.deepcopy(model.state_dict())
    prepared = prepare_for_inference(model, InferenceOptions(**options))
    prepared.embed(IMAGES)
    assert model.training
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key])
        assert (value.dtype, value.stride()) == (before[key].dtype, before[key].stride())
    with torch.no_grad():
        prepared.network.neck.running_mean.add_(1)
    assert torch.equal(model.neck.running_mean, before["neck.running_mean"])


def test_it_stands_in_for_its_model():
    model = make().train()
    prepared = prepare_for_inference(model, InferenceOptions())
    assert (prepared.spec, prepared.preprocessing) == (model.spec, model.preprocessing)
    assert isinstance(prepared, torch.nn.Module)
    assert not any(module.training for module in prepared.network.modules())


def test_features_have_no_gradient_and_can_be_copied_out_of_inference_mode(models):
    feats = embed(models["vit_micro"])
    assert feats.is_inference()
    clone = feats.clone().requires_grad_()
    (clone * 2).sum().backward()


@pytest.mark.parametrize("compiled", [False, True])
def test_cameras_and_views_are_passed_on(compiled, models, monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda call: call)
    prepared = prepare_for_inference(models["vit_micro"], InferenceOptions(compile=compiled))
    seen = []

    def record(images, camids, viewids):
        seen.append((camids, viewids))
        return images.mean((1, 2))

    monkeypatch.setattr(prepared, "_embed", record)
    prepared.embed(IMAGES)
    prepared.embed(IMAGES, viewids=2)
    prepared.embed(IMAGES, camids=1)
    assert seen == [(None, None), (None, 2), (1, None)]


def test_an_unknown_number_format_is_refused():
    with pytest.raises(InputError, match="unknown number format 'float61': did you mean 'float16'"):
        InferenceOptions("float61")


def test_flags_are_told_one_by_one():
    options = InferenceOptions("bfloat16", compile=True)
    assert options.one_by_one() == {
        "dtype": InferenceOptions("bfloat16"),
        "compile": InferenceOptions(compile=True),
    }
    assert InferenceOptions().one_by_one() == {}
    assert (options.describe(), InferenceOptions().describe()) == ("bfloat16, compiled", "")
    assert InferenceOptions(channels_last=True).describe() == "channels last"


def test_what_compilation_fails_with_is_one_line(models, monkeypatch):
    from torch._dynamo.exc import BackendCompilerFailed

    def fail(*inputs):
        raise BackendCompilerFailed(lambda: None, RuntimeError("no C++\ncompiler"), None)

    monkeypatch.setattr(torch, "compile", lambda call: fail)
    with pytest.raises(InputError) as caught:
        embed(models["vit_micro"], compile=True)
    assert "torch.compile must work here, it failed:" in str(caught.value)
    assert "no C++ compiler" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_python_that_torch_cannot_compile_under_is_one_line(models, monkeypatch):
    def refuse(call):
        raise RuntimeError("torch.compile is not supported on Python 4")

    monkeypatch.setattr(torch, "compile", refuse)
    with pytest.raises(InputError, match=r"it failed: torch\.compile is not supported on Python 4; leave"):
        prepare_for_inference(models["vit_micro"], InferenceOptions(compile=True))


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_compiled_model_embeds_batches_of_all_sizes_up_to_rounding(dtype, models):
    model = models["vit_micro"]
    prepared = prepare_for_inference(model, InferenceOptions(dtype, compile=True))
    tolerance = 1e-5 if dtype == "float32" else NARROW[dtype]
    for size in (3, 2, 1):
        expected = model.embed(IMAGES[:size])
        assert relative_difference(prepared.embed(IMAGES[:size]), expected) < tolerance


class Recorder(TorchDispatchMode):
    """The names and the output shapes of all operations."""

    def __init__(self):
        super().__init__()
        self.names, self.shapes = [], []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        self.names.append(str(func))
        outputs = result if isinstance(result, tuple | list) else [result]
        self.shapes += [tuple(x.shape) for x in outputs if isinstance(x, torch.Tensor)]
        return result


def matrices_and_calls(model, monkeypatch):
    """How many attention matrices (.., N, N) and softmaxes are computed, and calls of fused attention."""
    calls, fused = [], F.scaled_dot_product_attention
    monkeypatch.setattr(F, "scaled_dot_product_attention", lambda *a, **k: calls.append(1) or fused(*a, **k))
    with Recorder() as recorder:
        model.embed(IMAGES)
    (patches,) = (module for name, module in model.named_modules() if name.endswith("patch_embed"))
    tokens = patches.num_patches + 1
    matrices = [shape for shape in recorder.shapes if shape[-2:] == (tokens, tokens)]
    return len(matrices) + sum("softmax" in name for name in recorder.names), len(calls)


@pytest.mark.parametrize("options", [{}, {"dtype": "bfloat16"}])
@pytest.mark.parametrize("name", ["vit_micro", "clip_vit_micro"])
def test_attention_is_fused_and_materialises_no_matrix(name, options, monkeypatch):
    prepared = prepare_for_inference(make(name), InferenceOptions(**options))
    fused = [block.attn.fused_attn for block in prepared.network.backbone.blocks]
    assert matrices_and_calls(prepared, monkeypatch) == (0, len(fused))
    assert all(fused)


def test_attention_written_out_is_seen_by_that_count(monkeypatch):
    model = make()
    for block in model.backbone.blocks:
        block.attn.fused_attn = False
    matrices, calls = matrices_and_calls(model, monkeypatch)
    assert matrices >= 4
    assert calls == 0


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU")
@pytest.mark.parametrize("dtype", ["float32", *NARROW])
@pytest.mark.parametrize("name", NAMES)
def test_on_a_gpu_too(name, dtype, models):
    model = copy.deepcopy(models[name]).cuda()
    feats = prepare_for_inference(model, InferenceOptions(dtype, channels_last=True)).embed(IMAGES.cuda())
    tolerance = 5e-3 if dtype == "float32" else NARROW[dtype]  # float32 convolutions may be TF32
    assert relative_difference(feats, model.embed(IMAGES.cuda())) < tolerance
