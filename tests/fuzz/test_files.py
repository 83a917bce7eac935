"""Files of any content are read or refused: nothing but an InputError is raised, and nothing is left."""

import io

import numpy as np
import pytest
import torch
from fuzzing import FEW, TREES, features, gallery, read_or_refuse
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from reid.config import load_config
from reid.data import load_dataset, read_image
from reid.evaluation.feature_files import read_features
from reid.models import Header, ModelSpec, Preprocessing, ReIDModel, load_model, save_checkpoint
from reid.retrieval import Gallery

CHANGES = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=6)


def checkpoint(path):
    spec = ModelSpec("vit_micro", (32, 32), 3)
    prepared = Preprocessing((32, 32), (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    torch.manual_seed(0)
    save_checkpoint(path, ReIDModel(spec), Header(spec, prepared))


def image(form):
    def write(path):
        pixels = np.random.default_rng(0).integers(0, 256, (20, 10, 3), np.uint8)
        content = io.BytesIO()
        Image.fromarray(pixels).save(content, form)
        path.write_bytes(content.getvalue())

    return write


KINDS = {
    "a.pth": (checkpoint, load_model),
    "a.safetensors": (checkpoint, load_model),
    "f.npz": (features, read_features),
    "g.npz": (gallery, Gallery.load),
    "i.jpg": (image("JPEG"), read_image),
    "i.png": (image("PNG"), read_image),
    "i.webp": (image("WEBP"), read_image),
    "i.bmp": (image("BMP"), read_image),
    "i.gif": (image("GIF"), read_image),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    for name, (write, read) in KINDS.items():
        write(folder / name)
        read(folder / name)
    return {name: (folder / name).read_bytes() for name in KINDS}


@pytest.mark.parametrize("name", KINDS)
@given(size=st.floats(0, 1), changes=CHANGES)
@FEW
def test_cut_and_changed_files(whole, tmp_path, name, size, changes):
    content = bytearray(whole[name])
    for place, value in changes:
        content[int(place * len(content))] = value
    (tmp_path / name).write_bytes(content[: int(size * len(content)) + 1] if size < 0.7 else content)
    read_or_refuse(KINDS[name][1], tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", KINDS)
@given(content=st.binary(max_size=400))
@FEW
def test_files_of_chance(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    assert not read_or_refuse(KINDS[name][1], tmp_path / name)


CELLS = st.text(st.characters(exclude_characters="\n"), max_size=12)
ROWS = st.lists(st.lists(CELLS, max_size=5).map(",".join), max_size=6)


@given(head=st.sampled_from(["path", "path,pid", "path,pid,camid,split", "pid", "", "path,path"]), rows=ROWS)
@FEW
def test_lists_of_chance(tmp_path, head, rows):
    (tmp_path / "l.csv").write_text("\n".join([head, *rows]), encoding="utf-8", errors="surrogatepass")
    read_or_refuse(load_dataset, "l.csv", tmp_path)


@given(content=st.binary(max_size=300))
@FEW
def test_lists_of_bytes(tmp_path, content):
    (tmp_path / "l.csv").write_bytes(b"path,pid,camid\n" + content)
    read_or_refuse(load_dataset, "l.csv", tmp_path)


KEYS = ("MODEL", "SOLVER", "DENOISE", "DATASETS", "INPUT", "TEST", "ADAPT", "OUTPUT_DIR", "OTHER")


@given(tree=st.dictionaries(st.sampled_from(KEYS), TREES, max_size=3))
@FEW
def test_configurations_of_chance(tmp_path, tree):
    import yaml

    (tmp_path / "c.yml").write_text(yaml.safe_dump(tree), encoding="utf-8")
    read_or_refuse(load_config, str(tmp_path / "c.yml"), [])


@given(
    content=st.one_of(
        st.binary(max_size=200), st.text("{}[]:&*!|>-\n \t'\"a1,?%@", max_size=80).map(str.encode)
    )
)
@FEW
def test_configuration_files_of_bytes(tmp_path, content):
    (tmp_path / "c.yml").write_bytes(content)
    read_or_refuse(load_config, str(tmp_path / "c.yml"), [])


NAMES = st.sampled_from(
    ["SOLVER.BASE_LR", "SOLVER.MAX_EPOCHS", "DENOISE.TARGETS", "INPUT.SIZE_TRAIN", "MODEL.NAME"]
)


@given(words=st.lists(st.tuples(NAMES | CELLS, st.text(max_size=12)), max_size=3))
@FEW
def test_words_of_chance(words):
    read_or_refuse(load_config, None, [word for pair in words for word in pair])
