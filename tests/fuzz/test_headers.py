"""Checkpoints that are whole but for their header: read or refused, whatever a field holds."""

import copy
import json

import pytest
import torch
from fuzzing import FEW, TREES, read_or_refuse
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save

from reid.models import DenoiseSpec, Header, ModelSpec, Preprocessing, ReIDModel, load_model

SPEC = ModelSpec("vit_micro", (32, 32), 3)
PREPARED = Preprocessing((32, 32), (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


@pytest.fixture(scope="module")
def parts():
    torch.manual_seed(0)
    model = DenoiseSpec(("mlp",)).attach(ReIDModel(SPEC))
    header = Header(SPEC, PREPARED, denoise=DenoiseSpec(("mlp",)), state="attached")
    return json.loads(header.as_json()), model.state_dict()


def places(tree, path=()):
    """Where something stands in a tree, the inner places too."""
    branches = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in branches:
        yield (*path, key)
        yield from places(value, (*path, key))


def write(path, text, tensors):
    if path.suffix == ".safetensors":
        copies = {key: value.clone() for key, value in tensors.items()}
        path.write_bytes(save(copies, {"format": "pt", "header": text}))
    else:
        torch.save({"header": text, "state_dict": tensors}, path)


@pytest.mark.parametrize("name", ["a.pth", "a.safetensors"])
def test_the_parts_make_a_checkpoint(parts, tmp_path, name):
    header, tensors = parts
    write(tmp_path / name, json.dumps(header), tensors)
    assert load_model(tmp_path / name).dim == 128
    assert len(list(places(header))) > 20


@pytest.mark.parametrize("name", ["a.pth", "a.safetensors"])
@given(draw=st.data())
@FEW
def test_a_field_of_any_kind(parts, tmp_path, name, draw):
    header, tensors = copy.deepcopy(parts[0]), parts[1]
    *path, last = draw.draw(st.sampled_from(list(places(header))))
    inner = header
    for key in path:
        inner = inner[key]
    if draw.draw(st.booleans()):
        inner[last] = draw.draw(TREES)
    else:
        del inner[last]
    write(tmp_path / name, json.dumps(header), tensors)
    read_or_refuse(load_model, tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["a.pth", "a.safetensors"])
@pytest.mark.parametrize("text", ["[" * 50_000, "{}", "null", "", "NaN", '"text"', '{"model": ' * 2000])
def test_headers_that_are_no_header(parts, tmp_path, name, text):
    write(tmp_path / name, text, parts[1])
    assert not read_or_refuse(load_model, tmp_path / name)


@pytest.mark.parametrize("header", [None, 3, ["a"], {"a": 1}, b"{}"])
def test_headers_that_are_no_text(parts, tmp_path, header):
    torch.save({"header": header, "state_dict": parts[1]}, tmp_path / "a.pth")
    assert not read_or_refuse(load_model, tmp_path / "a.pth")


@given(draw=st.data())
@FEW
def test_tensors_of_other_shapes_and_kinds(parts, tmp_path, draw):
    header, tensors = parts[0], dict(parts[1])
    key = draw.draw(st.sampled_from(sorted(tensors)))
    kinds = [
        torch.zeros(()),
        torch.zeros(0),
        torch.zeros(3, dtype=torch.int64),
        torch.zeros(2, 2, 2),
        "text",
        None,
    ]
    kinds += [tensors[key].to(torch.complex64), tensors[key].to_sparse(), tensors[key].to("meta")]
    tensors[key] = draw.draw(st.sampled_from(kinds))
    torch.save({"header": json.dumps(header), "state_dict": tensors}, tmp_path / "a.pth")
    read_or_refuse(load_model, tmp_path / "a.pth")
