"""Reading weights: two formats told by their content, and one line for everything else."""

import io
import os
import pickle
import zipfile

import pytest
import safetensors.torch
import torch

from reid.models import ModelSpec, ReIDModel, load_checkpoint, load_pretrained
from reid.models.read import has_header, read_file
from reid.utils import InputError

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit:FutureWarning")

TENSORS = {
    "a": torch.arange(6.0).view(2, 3),
    "b.half": torch.tensor([1.5], dtype=torch.float16),
    "count": torch.tensor(3),
    "empty": torch.empty(0, 4),
}


def refusal(path):
    """What all readers alike refuse a file with."""
    model = ReIDModel(ModelSpec("vit_micro", (64, 32), 5))
    messages = set()
    for call in (read_file, load_checkpoint, lambda path: load_pretrained(model, path)):
        with pytest.raises(InputError) as caught:
            call(path)
        messages.add(str(caught.value))
    (message,) = messages
    assert "\n" not in message
    assert str(path) in message
    return message


def file_of(content, folder, name="weights.pth"):
    (folder / name).write_bytes(content)
    return folder / name


def saved(zipped=True):
    buffer = io.BytesIO()
    torch.save(TENSORS, buffer, _use_new_zipfile_serialization=zipped)
    return buffer.getvalue()


def zip_of(**files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name.replace("__", "/"), content)
    return buffer.getvalue()


WHOLE = {
    "zip": saved(),
    "legacy": saved(zipped=False),
    "safetensors": safetensors.torch.save(TENSORS),
    "safetensors of timm": safetensors.torch.save(TENSORS, {"format": "pt", "architecture": "vit"}),
}


@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors", "weights"])
@pytest.mark.parametrize("form", WHOLE)
def test_a_file_is_told_by_its_content_and_read_to_the_same_bits(form, name, tmp_path):
    found = read_file(file_of(WHOLE[form], tmp_path, name))
    assert set(found) == set(TENSORS)
    for key, value in TENSORS.items():
        assert torch.equal(found[key], value)
        assert found[key].dtype == value.dtype


def test_a_header_in_safetensors_is_found_beside_the_tensors(tmp_path):
    path = file_of(safetensors.torch.save(TENSORS, {"header": "{}"}), tmp_path)
    found = read_file(path)
    assert has_header(found)
    assert found["header"] == "{}"
    assert set(found["state_dict"]) == set(TENSORS)


@pytest.mark.parametrize("share", [0.04, 0.3, 0.6, 0.9, 0.99])
@pytest.mark.parametrize("form", ["zip", "legacy", "safetensors"])
def test_a_file_cut_short_is_refused_in_one_line(form, share, tmp_path):
    whole = WHOLE[form]
    path = file_of(whole[: int(share * len(whole))], tmp_path)
    assert "is no readable file of weights: " in refusal(path)


UNREADABLE = "{path} is no readable file of weights: "
OTHER_KIND = "it is cut short or of another kind; fetch it again"
CONVERT = "could run code; convert it with tools/import_weights.py --allow-unsafe if you trust its source"
OTHER_KINDS = {
    "empty": (b"", UNREADABLE + "it is empty; fetch it again"),
    "text": (b"hello, I am no checkpoint\n", UNREADABLE + OTHER_KIND),
    "yaml": (b"MODEL:\n  NAME: vit_small\n", UNREADABLE + OTHER_KIND),
    "another pickle": (pickle.dumps({"a": 1}, protocol=2) + b"junk", UNREADABLE + OTHER_KIND),
    "a pickle of more than there is": (
        b"\x80\x04\x8e" + (2**62).to_bytes(8, "little"),
        UNREADABLE + OTHER_KIND,
    ),
    "a pickle of nothing": (b".", UNREADABLE),
    "a pickle cut in a number": (b"G123", UNREADABLE),
    "json": (b'{"message": "Not Found"}', UNREADABLE + OTHER_KIND),
    "png": (b"\x89PNG\r\n\x1a\n" + bytes(64), UNREADABLE),
    "zeros": (bytes(4096), UNREADABLE),
    "web page": (b"\n <!DOCTYPE html><html>", "{path} is a web page, not weights; download the file itself"),
    "web page after a mark": (b"\xef\xbb\xbf<html>", "{path} is a web page, not weights; download"),
    "lfs pointer": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 3\n",
        "{path} is a Git LFS pointer, not weights; fetch the file itself with git lfs pull",
    ),
    "zip of a file": (
        zip_of(**{"model.pth": b"12", "b": b""}),
        "{path} is a zip archive, not weights: it holds 'model.pth' and 1 more; unpack it, name a file in it",
    ),
    "zip of nothing": (zip_of(), "{path} is a zip archive, not weights: it holds nothing; unpack it"),
    "zip that only looks like a checkpoint": (zip_of(a__data_pkl=b""), "is a zip archive, not weights"),
    "damaged zip": (
        b"PK\x03\x04" + bytes(60),
        UNREADABLE + "an archive that is cut short or damaged; fetch it",
    ),
    "zip of a later version": (
        saved().replace(b"PK\x01\x02\x00\x00\x00", b"PK\x01\x02\x00\x00\xff"),
        UNREADABLE + "an archive that is cut short or damaged; fetch it",
    ),
    "json with a length": (b"\x10" + bytes(7) + b'{"a": 1}' + bytes(30), UNREADABLE),
}


@pytest.mark.parametrize("kind", OTHER_KINDS)
def test_a_file_of_another_kind_is_refused_in_one_line(kind, tmp_path):
    content, expected = OTHER_KINDS[kind]
    path = file_of(content, tmp_path)
    assert expected.format(path=path) in refusal(path)


def test_a_missing_file_is_refused_with_its_path(tmp_path):
    assert refusal(tmp_path / "x.pth") == f"weights not found: {tmp_path / 'x.pth'} does not exist"


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to(os.devnull)])
def test_a_pipe_or_a_device_is_refused_as_one(make, tmp_path):
    make(tmp_path / "x.pth")
    assert "weights must be a regular file" in refusal(tmp_path / "x.pth")


def test_a_link_to_itself_does_not_exist(tmp_path):
    (tmp_path / "x.pth").symlink_to(tmp_path / "x.pth")
    assert "x.pth does not exist" in refusal(tmp_path / "x.pth")


@pytest.mark.filterwarnings("ignore::UserWarning")  # torch's own, on making them
def test_sparse_and_quantized_tensors_are_read_without_a_warning(tmp_path, recwarn):
    sparse = torch.eye(3).to_sparse()
    quantized = torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8)
    torch.save({"a": sparse, "b": quantized}, tmp_path / "x.pth")
    recwarn.clear()
    assert set(read_file(tmp_path / "x.pth")) == {"a", "b"}
    assert [str(warning.message) for warning in recwarn] == []


def test_a_folder_is_refused_as_one(tmp_path):
    assert refusal(tmp_path) == f"weights must be a file, {tmp_path} is a folder; name a file in it"


def test_a_file_that_cannot_be_opened_is_refused(tmp_path, monkeypatch):
    def deny(*args, **options):
        raise PermissionError(13, "Permission denied")

    path = file_of(WHOLE["zip"], tmp_path)
    monkeypatch.setattr("pathlib.Path.open", deny)
    assert refusal(path) == f"{path} is no readable file of weights: Permission denied"


def test_a_torchscript_archive_is_named_as_one_with_a_way_to_convert_it(tmp_path):
    path = tmp_path / "ViT-B-16.pt"
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 3)), path)
    assert refusal(path) == f"{path} is refused: it is a TorchScript archive, and loading it {CONVERT}"


class RunsCode:
    """Unpickling this makes a file."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return open, (str(self.marker), "w")


def save_with_code(path, marker, how):
    content = {"a": torch.ones(1), "b": RunsCode(marker)}
    if how.startswith("pickle"):
        path.write_bytes(pickle.dumps({"b": RunsCode(marker)}, protocol=int(how[-1])))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=how == "zip")


@pytest.mark.parametrize("how", ["zip", "legacy", "pickle 0", "pickle 2", "pickle 5"])
def test_a_file_with_code_is_refused_and_the_code_does_not_run(how, tmp_path):
    path, marker = tmp_path / "evil.pth", tmp_path / "marker"
    save_with_code(path, marker, how)
    message = refusal(path)
    assert "is refused: it is no plain file of tensors, and loading it could run code; save its" in message
    assert "state_dict alone, or convert it with tools/import_weights.py --allow-unsafe if you" in message
    assert not marker.exists()


@pytest.mark.parametrize("how", ["zip", "legacy"])
def test_that_file_would_have_run_its_code(how, tmp_path):
    path, marker = tmp_path / "evil.pth", tmp_path / "marker"
    save_with_code(path, marker, how)
    torch.load(path, weights_only=False)["b"].close()
    assert marker.exists()
