"""Reading foreign weights: safely, and with what --allow-unsafe adds."""

import argparse

import pytest
import safetensors.torch
import torch

from reid.models.formats import read_weights
from reid.utils import InputError

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit:FutureWarning")


def refusal(*words):
    with pytest.raises(InputError) as caught:
        read_weights(*words)
    return str(caught.value)


@pytest.fixture
def archive(tmp_path):
    """A TorchScript archive in float16, as OpenAI's CLIP files are."""
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3)).half()
    torch.jit.save(torch.jit.script(network), tmp_path / "ViT-B-16.pt")
    return tmp_path / "ViT-B-16.pt", network.state_dict()


def test_a_torchscript_archive_is_read_where_that_is_allowed_in_its_own_dtypes(archive):
    path, state = archive
    found = read_weights(path, allow_unsafe=True)
    assert list(found) == list(state)
    for key, value in state.items():
        assert torch.equal(found[key], value)
        assert found[key].dtype == value.dtype
        assert not found[key].requires_grad
    assert found["0.weight"].dtype == torch.float16


def test_a_torchscript_archive_is_refused_otherwise(archive):
    assert "it is a TorchScript archive" in refusal(archive[0])


def test_a_damaged_torchscript_archive_is_one_line(archive):
    path = archive[0]
    path.write_bytes(path.read_bytes().replace(b"torch.nn.modules.linear", b"torch.nn.modules.nothin"))
    message = refusal(path, True)
    assert message.startswith(f"{path} is no readable file of weights: ")
    assert "\n" not in message


@pytest.mark.parametrize("allow_unsafe", [False, True])
def test_safetensors_need_no_permission(allow_unsafe, tmp_path):
    path = tmp_path / "model.bin"
    safetensors.torch.save_file({"module.a": torch.ones(2)}, path)
    assert torch.equal(read_weights(path, allow_unsafe)["a"], torch.ones(2))


def test_old_pickles_are_read_where_that_is_allowed(tmp_path):
    path = tmp_path / "old.pth"
    torch.save({"state_dict": {"a": torch.ones(1)}, "args": argparse.Namespace()}, path)
    assert "could run code" in refusal(path)
    assert list(read_weights(path, allow_unsafe=True)) == ["a"]


class Raises:
    """Unpickling this raises an error."""

    def __init__(self, code):
        self.code = code

    def __reduce__(self):
        return exec, (self.code,)


@pytest.mark.parametrize("code", ["1 / 0", "raise Exception('own')", "raise MemoryError", "next(iter(()))"])
def test_whatever_the_code_of_a_file_raises_is_one_line(code, tmp_path):
    path = tmp_path / "old.pth"
    torch.save({"a.b": Raises(code)}, path)
    message = refusal(path, True)
    assert message.startswith(f"{path} is no readable file of weights: ")
    assert message.split(": ")[1]
    assert "\n" not in message


@pytest.mark.parametrize("allow_unsafe", [False, True])
@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"<html>", "is a web page"),
        (b"", "it is empty"),
        (b"PK\3\4", "cut short"),
        (b"\1\2", "is no readable"),
    ],
)
def test_what_cannot_be_weights_is_refused_alike(content, match, allow_unsafe, tmp_path):
    (tmp_path / "x.pth").write_bytes(content)
    assert match in refusal(tmp_path / "x.pth", allow_unsafe)


@pytest.mark.parametrize("allow_unsafe", [False, True])
@pytest.mark.parametrize("name", ["ours.pth", "ours.safetensors"])
def test_our_own_checkpoint_is_refused(name, allow_unsafe, tmp_path):
    tensors, path = {"a": torch.ones(1)}, tmp_path / name
    if name.endswith("pth"):
        torch.save({"header": "{}", "state_dict": tensors}, path)
    else:
        safetensors.torch.save_file(tensors, path, {"header": "{}"})
    assert "is a checkpoint of this toolkit already; use it as it is" in refusal(path, allow_unsafe)
