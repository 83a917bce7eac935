"""Checkpoints whose header asks for more than there is, and disks that hold less than a checkpoint."""

import json
import resource

import pytest
import torch

from reid.models import (
    DenoiseSpec,
    Header,
    ModelSpec,
    Preprocessing,
    ReIDModel,
    checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from reid.utils import InputError


def make(state):
    spec, denoise = (
        ModelSpec("vit_micro", (64, 32), 5),
        DenoiseSpec(("mlp",)) if state == "attached" else None,
    )
    model = ReIDModel(spec) if denoise is None else denoise.attach(ReIDModel(spec))
    return model, Header(spec, Preprocessing((64, 32), (0.5, 0.5, 0.5), (1, 1, 1)), denoise, state)


def tampered(folder, change, state):
    """A good checkpoint whose header went through ``change``."""
    model, header = make(state)
    tree = json.loads(header.as_json())
    change(tree)
    torch.save({"header": json.dumps(tree), "state_dict": model.state_dict()}, folder / "model.pth")
    return folder / "model.pth"


def refusal(path):
    with pytest.raises(InputError) as caught:
        load_checkpoint(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


WHAT_MEMORY_LACKS = {
    "classes": {"num_classes": 10**6, "jigsaw": {"num_parts": 32}},
    "feature": {"feat_dim": 10**5, "adapted": True},
    "patches": {"image_size": [4096, 4096], "patch_stride": [1, 1]},
    "cameras": {"side": {"cameras": list(range(1000)), "views": list(range(1000))}},
}


@pytest.mark.parametrize("state", ["none", "attached"])
@pytest.mark.parametrize("fields", WHAT_MEMORY_LACKS)
def test_a_header_that_asks_for_more_than_its_file_holds_takes_no_memory(
    fields, state, tmp_path, monkeypatch
):
    def change(tree):
        tree["model"].update(WHAT_MEMORY_LACKS[fields])
        tree["preprocessing"]["size"] = tree["model"]["image_size"]

    path, built = tampered(tmp_path, change, state), []
    build = checkpoint.ReIDModel

    def watched(*words):
        model = build(*words)
        built.append(all(value.is_meta for value in model.state_dict().values()))
        return model

    monkeypatch.setattr(checkpoint, "ReIDModel", watched)
    assert "does not fit the model: " in refusal(path)
    assert built == [True]


@pytest.mark.parametrize(
    ("side", "match"),
    [
        ({"cameras": [0, 1, 2**63]}, "model.side.cameras must be at most 2**63 - 1, got 9223372036854775808"),
        (
            {"cameras": list(range(40_000)), "views": list(range(40_000))},
            "model.side.cameras times views must be at most 1000000 rows, got 1600000000",
        ),
        ({}, "model.side.cameras must be listed: side information needs cameras or views, got neither"),
    ],
    ids=["overflow", "rows", "neither"],
)
def test_side_information_that_no_table_has_is_named(side, match, tmp_path):
    assert f"{match}" in refusal(tampered(tmp_path, lambda t: t["model"].update(side=side), "none"))


@pytest.mark.parametrize("ending", ["pth", "safetensors"])
def test_a_full_disk_is_an_os_error(ending, tmp_path):
    path, limits = tmp_path / f"model.{ending}", resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            save_checkpoint(path, *make("none"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []
