"""Images in every form give the features of the model's own way, from several threads too."""

import copy
import doctest
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

import reid
import reid.retrieval.images
from reid import Gallery, embed, embed_boxes, load_model, search
from reid.models import ModelSpec, Preprocessing, ReIDModel
from reid.utils import InputError


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    prepared = Preprocessing((64, 32), (0.5, 0.4, 0.5), (0.5, 0.2, 0.3))
    return ReIDModel(ModelSpec("vit_micro", (64, 32), 3), prepared).eval()


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (5, 40, 20, 3), np.uint8)


@pytest.fixture
def folder(tmp_path, pixels):
    (tmp_path / "crops" / "b").mkdir(parents=True)
    for name, image in zip(("a.png", "b/c.png", "z.png"), pixels, strict=False):
        Image.fromarray(image).save(tmp_path / "crops" / name)
    return tmp_path / "crops"


def own_way(model, images):
    return model.embed(torch.stack([model.preprocess(Image.fromarray(image)) for image in images]))


def test_files_folders_arrays_and_pictures_are_alike(model, pixels, folder):
    expected = own_way(model, pixels[:3])
    ways = [
        folder,
        str(folder),
        [folder / "a.png", str(folder / "b/c.png"), folder / "z.png"],
        pixels[:3],
        list(pixels[:3]),
        [Image.fromarray(image) for image in pixels[:3]],
    ]
    for images in ways:
        torch.testing.assert_close(embed(model, images), expected)
    torch.testing.assert_close(embed(model, folder / "a.png"), expected[:1])
    torch.testing.assert_close(embed(model, pixels[0]), expected[:1])


def test_batches_change_nothing_but_rounding(model, pixels):
    torch.testing.assert_close(embed(model, pixels, batch_size=2), own_way(model, pixels))


def test_colours_in_opencvs_order(model, pixels):
    torch.testing.assert_close(embed(model, pixels[..., ::-1], is_bgr=True), own_way(model, pixels))
    assert not torch.allclose(embed(model, pixels[..., ::-1]), own_way(model, pixels), atol=1e-3)


def test_normalised_features_have_length_1(model, pixels):
    torch.testing.assert_close(embed(model, pixels, normalize=True).norm(dim=1), torch.ones(5))


def test_threads_get_what_one_gets(model, pixels):
    alone = [embed(model, image) for image in pixels]
    with ThreadPoolExecutor(4) as pool:
        for found, expected in zip(
            pool.map(lambda n: embed(model, pixels[n % 5]), range(40)), alone * 8, strict=True
        ):
            torch.testing.assert_close(found, expected)
    assert not model.training


def test_boxes_are_the_crops_that_they_hold(model):
    frame = np.random.default_rng(1).integers(0, 256, (90, 120, 3), np.uint8)
    boxes = [[10.4, 5.0, 40.2, 80.0], [-20.0, 50.0, 30.0, 200.0]]
    expected = own_way(model, [frame[5:80, 10:41], frame[50:90, 0:30]])
    exact = torch.tensor([[10.5, 5, 40.25, 80], [-20, 50, 30, 200]])  # to the bit in bfloat16 too
    tensors = (exact.to(torch.bfloat16), exact.requires_grad_())
    for given in (boxes, np.array(boxes), *tensors, SimpleNamespace(xyxy=np.array(boxes))):
        torch.testing.assert_close(embed_boxes(model, frame, given), expected)
    torch.testing.assert_close(embed_boxes(model, Image.fromarray(frame), boxes, is_bgr=True), expected)
    torch.testing.assert_close(embed_boxes(model, frame[..., ::-1], boxes, is_bgr=True), expected)


@pytest.mark.parametrize("none", [[], np.empty((0, 4)), SimpleNamespace(xyxy=np.empty((0, 4), np.float32))])
def test_no_boxes_are_no_features(model, none):
    assert embed_boxes(model, np.zeros((9, 9, 3), np.uint8), none).shape == (0, model.dim)


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        ([[0, 0, 5, 5], [0, 0, np.nan, 5]], "box 1 must be finite"),
        ([[0, 0, 5, 5], [5, 5, 5, 9]], "box 1 must hold a pixel"),
        ([[20, 0, 30, 5]], "box 0 must hold a pixel of the frame of 9x9"),
        ([[0, 0, 5]], r"boxes must be \(N, 4\)"),
        ([[0, 0, 5, 5j]], "a table"),
        (torch.ones(1, 4, dtype=torch.complex64), "a table"),
        (torch.ones(1, 4, device="meta"), "a table"),
        ([torch.ones(4, requires_grad=True)], "a table"),
        (np.zeros((3, 0)), r"boxes must be \(N, 4\)"),
        (np.zeros((0, 5)), r"boxes must be \(N, 4\)"),
        ("text", "table"),
    ],
)
def test_boxes_that_are_none(model, boxes, message):
    with pytest.raises(InputError, match=message):
        embed_boxes(model, np.zeros((9, 9, 3), np.uint8), boxes)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([], "at least one image"),
        (np.zeros((4, 4, 3), np.float32), "image 0 must be an array"),
        (np.zeros((4, 4), np.uint8), "image 0 must be an array"),
        ([np.zeros((4, 4, 3), np.uint8), None], "image 1 must be a path"),
        ("missing.jpg", "missing.jpg"),
        ("", "a path must be the text of one"),
        (["a\0b"], "a path must be the text of one"),
        (None, "got NoneType"),
        (3, "got int"),
        (np.array(3), "image 0 must be an array"),
        (torch.zeros(1, 3, 64, 32), "not tensors"),
    ],
)
def test_what_is_no_image(model, images, message):
    with pytest.raises(InputError, match=message):
        embed(model, images)


def test_a_damaged_file_is_named(model, folder):
    (folder / "m.png").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"m\.png"):
        embed(model, folder)


def test_the_images_of_a_folder_are_those_that_are_embedded_row_by_row(model, folder, pixels):
    for name in ("y.BMP", "x.webp", "w.tif"):
        Image.fromarray(pixels[3]).save(folder / name, lossless=True)
    (folder / "notes.txt").write_text("none")
    (folder / ".hidden.png").write_bytes(b"none")
    found = reid.find_images(str(folder))
    assert [path.relative_to(folder).as_posix() for path in found] == [
        *("a.png", "b/c.png", "w.tif", "x.webp", "y.BMP", "z.png")
    ]
    torch.testing.assert_close(embed(model, folder), embed(model, found))
    for other in (folder / "a.png", folder / "none"):
        with pytest.raises(InputError, match="in a folder"):
            reid.find_images(other)


@pytest.mark.parametrize(
    "camids",
    [
        3,
        [1.5] * 5,
        ["x"] * 5,
        [float("nan")] * 5,
        [[0]] * 5,
        [-2] * 5,
        [True] * 5,
        [2**63] * 5,
        [[1], [2, 3]],
    ],
)
def test_cameras_that_are_none(model, pixels, camids):
    with pytest.raises(InputError, match="camids must be"):
        embed(model, pixels, camids=camids)


@pytest.mark.parametrize("size", [1.5, "3", float("nan"), None, True, -1])
def test_batch_sizes_that_are_none(model, pixels, size):
    with pytest.raises(InputError, match="batch_size must be a whole number of at least 1"):
        embed(model, pixels, batch_size=size)


def test_features_that_are_not_finite_are_refused(model, pixels):
    broken = ReIDModel(model.spec, model.preprocessing).eval()
    next(broken.parameters()).data.fill_(float("nan"))
    with pytest.raises(InputError, match="check its weights"):
        embed(broken, pixels)


@pytest.mark.parametrize("frame", ["frame.jpg", None, torch.zeros(3, 4, 4)])
def test_frames_that_are_none(model, frame):
    with pytest.raises(InputError, match=f"a frame must be .* got {type(frame).__name__}"):
        embed_boxes(model, frame, [[0, 0, 1, 1]])


def test_pictures_of_16_bits_are_read_as_their_files_are(model, tmp_path):
    grey = np.linspace(0, 65535, 40 * 20).astype(np.uint16).reshape(40, 20)
    Image.fromarray(grey).save(tmp_path / "a.png")
    expected = embed(model, tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as opened:
        for picture in (opened, Image.fromarray(grey)):
            torch.testing.assert_close(embed(model, picture), expected)
            torch.testing.assert_close(embed_boxes(model, picture, [[0, 0, 20, 40]]), expected)
    with pytest.raises(InputError, match="nobody knows its white"):
        embed(model, Image.fromarray(grey.astype(np.float32)))


def test_the_package_tells_its_names():
    assert set(reid.__all__) <= set(dir(reid))
    assert all(getattr(reid, name) is not None for name in reid.__all__)
    assert reid.InputError is InputError


def test_other_refusals(model, pixels):
    with pytest.raises(InputError, match=r"one for each of 5 images, got \[0, 1\]"):
        embed(model, pixels, camids=[0, 1])
    with pytest.raises(InputError, match="batch_size"):
        embed(model, pixels, batch_size=0)
    training = ReIDModel(model.spec, model.preprocessing).train()
    with pytest.raises(InputError, match="training mode"):
        embed(training, pixels)


def test_examples_and_names():
    assert doctest.testmod(reid.retrieval.images).failed == 0
    assert {"embed", "embed_boxes", "Gallery", "load_model"} <= set(reid.__all__)
    with pytest.raises(AttributeError, match="no attribute 'embedd'"):
        reid.embedd  # noqa: B018


def test_images_are_found_in_a_gallery_at_hand_and_in_a_saved_one(model, pixels, folder, tmp_path):
    pytest.importorskip("faiss")
    gallery = Gallery(model.dim)
    gallery.add(embed(model, pixels), [10, 11, 12, 13, 14])
    gallery.save(tmp_path / "gallery.npz")
    expected = gallery.search(embed(model, pixels[:3]), 2)
    assert expected[0][:, 0].tolist() == [10, 11, 12]
    for place in (gallery, tmp_path / "gallery.npz", str(tmp_path / "gallery.npz")):
        for images in (folder, pixels[:3]):
            for found, wanted in zip(search(model, images, place, 2), expected, strict=True):
                torch.testing.assert_close(found, wanted)
    bgr = search(model, np.ascontiguousarray(pixels[:3, ..., ::-1]), gallery, 2, is_bgr=True, batch_size=1)
    assert torch.equal(bgr[0], expected[0])
    assert search(model, pixels[0], gallery)[0].shape == (1, 5)


def other_than(model):
    other = copy.deepcopy(model)
    torch.manual_seed(5)
    torch.nn.init.normal_(other.backbone.blocks[0].mlp.fc1.weight, std=0.5)
    return other


def test_a_gallery_knows_its_model_again(model, pixels, tmp_path):
    pytest.importorskip("faiss")
    gallery = Gallery.of(model)
    gallery.add(embed(model, pixels), [10, 11, 12, 13, 14])
    gallery.save(tmp_path / "g.npz")
    half = copy.deepcopy(model).bfloat16().float()
    for place in (gallery, tmp_path / "g.npz"):
        assert search(model, pixels[0], place, 1)[0].tolist() == [[10]]
        assert search(half, pixels[0], place, 1)[0].tolist() == [[10]], "rounded weights are the same model"
        with pytest.raises(InputError, match="another model's features"):
            search(other_than(model), pixels[0], place, 1)
    assert len(Gallery.of(model, "euclidean")) == 0
    # Without a mark nothing is known of the model.
    plain = Gallery(model.dim)
    plain.add(embed(model, pixels), range(5))
    assert search(other_than(model), pixels[0], plain, 1)[0].shape == (1, 1)


def test_the_bar_is_shown_when_asked_for(model, pixels, capsys):
    silent = embed(model, pixels, batch_size=2)
    assert capsys.readouterr().err == ""
    assert torch.equal(embed(model, pixels, batch_size=2, progress=True), silent)
    assert "images: 100%" in capsys.readouterr().err


def test_pictures_of_odd_kinds_are_told_by_their_place(model, pixels, folder, tmp_path):
    whole = sorted(folder.rglob("*.png"))[0].read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    closed = Image.new("RGB", (4, 4))
    closed.close()
    odd = {
        "must have pixels": Image.new("RGB", (0, 4)),
        "must be readable": Image.open(tmp_path / "cut.png"),
        "losed image": closed,
        "La": Image.new("La", (4, 4)),
    }
    for message, picture in odd.items():
        with pytest.raises(InputError, match=f"^image 1: an image must .*{message}|^image 1: .*{message}"):
            embed(model, [pixels[0], picture])
    with pytest.raises(InputError, match="an image must be readable"):
        embed_boxes(model, Image.open(tmp_path / "cut.png"), [[0, 0, 2, 2]])
    for path in ("a\ud800.png", "a\0.png"):
        with pytest.raises(InputError, match="a path must be the text of one"):
            embed(model, path)
        with pytest.raises(InputError, match="a path must be the text of one"):
            load_model(path)
    with pytest.raises(InputError, match="a path must be the text of one"):
        load_model(None)


def test_a_gallery_of_another_width_is_refused(model, pixels):
    pytest.importorskip("faiss")
    other = Gallery(model.dim + 1)
    other.add(np.ones((1, model.dim + 1)), [0])
    with pytest.raises(InputError, match=f"width of {model.dim + 1}, got {model.dim}"):
        search(model, pixels, other)
    with pytest.raises(InputError, match="gallery not found"):
        search(model, pixels, "none.npz")
