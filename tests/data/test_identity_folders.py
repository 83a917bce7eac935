import pytest
import torch

from reid.data.identity_folders import load_identity_folders
from reid.evaluation import FeatureSet, evaluate_trials
from reid.utils import InputError


def rows(records, indices=None):
    part = records if indices is None else records.select(indices)
    return list(zip(part.paths.tolist(), part.pids.tolist(), part.camids.tolist(), strict=True))


def test_query_and_gallery_folders_are_the_protocol(make_files):
    root = make_files(
        "train/bert/1.jpg",
        "query/anna/x_c2_1.jpg",
        "gallery/anna/x_c12s3_2.png",
        "gallery/zoe/a_c0_b.jpg",
        "gallery/zoe/note.txt",
        "gallery/-1/3_c1.jpg",
        "gallery/.cache/1.jpg",
    )
    dataset = load_identity_folders(root)
    assert (dataset.name, dataset.title, dataset.train_rule) == (root.name, root.name, "train")
    assert rows(dataset.train) == [("train/bert/1.jpg", 2, -1)]
    (trial,) = dataset.trials
    assert rows(dataset.test, trial.query) == [("query/anna/x_c2_1.jpg", 1, 1)]
    assert rows(dataset.test, trial.gallery) == [
        ("gallery/-1/3_c1.jpg", -1, 0),
        ("gallery/anna/x_c12s3_2.png", 1, 11),
        ("gallery/zoe/a_c0_b.jpg", 3, -1),
    ]
    assert dataset.train.path(0) == root / "train/bert/1.jpg"


def test_only_the_parts_asked_for_are_read_and_numbers_stay(make_files):
    root = make_files("train/anna/1.jpg", "test/bert/1.jpg", "test/bert/2.jpg")
    assert rows(load_identity_folders(root, test=False).train) == [("train/anna/1.jpg", 0, -1)]
    assert load_identity_folders(root, test=False).trials == ()
    testing = load_identity_folders(root, train=False)
    assert len(testing.train) == 0
    assert testing.test.pids.tolist() == [1, 1]


@pytest.mark.parametrize("folder", ["", "test/"])
def test_one_query_an_identity_is_drawn_among_images_with_a_match(make_files, folder):
    names = [f"anna/{n}.jpg" for n in range(9)] + ["single/1.jpg", "-1/1.jpg", "-1/2.jpg"]
    # Only zoe's second camera gives her a match; max is seen by one camera.
    names += ["zoe/1_c1.jpg", "zoe/2_c2.jpg", "max/1_c1.jpg", "max/2_c1.jpg"]
    root = make_files(*(folder + name for name in names))
    dataset = load_identity_folders(root, seed=3)
    assert dataset.title == f"{root.name} (one query an identity, seed 3)"
    (trial,) = dataset.trials
    drawn = [path.removeprefix(folder).split("/")[0] for path in dataset.test.paths[trial.query]]
    assert drawn == ["anna", "zoe"]
    assert sorted([*trial.query, *trial.gallery]) == list(range(len(names)))
    again = load_identity_folders(root, seed=3).trials[0]
    assert again.query.tolist() == trial.query.tolist()
    seeds = {tuple(load_identity_folders(root, seed=seed).trials[0].query) for seed in range(8)}
    assert len(seeds) > 2


def test_with_unknown_cameras_every_other_image_of_the_identity_counts(make_files):
    """Anna's query ranks her two other images first and third: AP (1/1 + 2/3) / 2."""
    root = make_files("anna/1.jpg", "anna/2.jpg", "anna/3.jpg", "bert/1.jpg")
    dataset = load_identity_folders(root)
    (trial,) = dataset.trials
    features = torch.zeros(4, 2)
    features[trial.query] = torch.tensor([1.0, 0])
    features[trial.gallery] = torch.tensor([[1.0, 0.1], [1.0, 0.3], [1.0, 0.2]])
    pids, camids = torch.from_numpy(dataset.test.pids), torch.from_numpy(dataset.test.camids)
    result = evaluate_trials(FeatureSet(features, pids, camids), dataset.trials)
    assert result.mean_ap == pytest.approx(5 / 6)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a.jpg"], "holds no images in identity folders; expected <identity>/<images>"),
        (["train/a.jpg", "test/x/1.jpg"], "train holds no images in identity folders"),
        (["query/x/1.jpg"], "query/ and gallery/ together, or with test/ alone; ROOT holds query"),
        (["query/x/1.jpg", "gallery/x/2.jpg", "test/y/1.jpg"], "ROOT holds test, query, gallery"),
        (
            ["train/x/1.jpg", "query/x/1.jpg", "gallery/x/2.jpg"],
            "identity 'x' is both in train and in test under ROOT (1 such in all); move all its images",
        ),
        (["x/1.jpg", "y/1.jpg"], "no identity under ROOT has one"),
        (["x/1_c1.jpg", "x/2_c1.jpg"], "no identity under ROOT has one"),
    ],
)
def test_what_cannot_be_a_protocol_is_refused(make_files, names, expected):
    root = make_files(*names)
    with pytest.raises(InputError) as caught:
        load_identity_folders(root)
    assert expected in str(caught.value).replace(str(root), "ROOT")


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="the data root must be a folder"):
        load_identity_folders(tmp_path / "no")
