import pytest
import torch
from small import draw_people, small_config
from torch.utils.data import DataLoader

from reid.data import load_dataset, write_synthetic
from reid.engine.build_data import build_evaluator
from reid.engine.evaluate import Evaluator
from reid.evaluation import FeatureSet, ReRanking, evaluate_trials
from reid.models import ModelSpec, Preprocessing, ReIDModel
from reid.utils import InputError

MODEL = ReIDModel(ModelSpec("vit_micro", (32, 32), 3)).eval()


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    return draw_people(tmp_path_factory.mktemp("people"))


def build(people, *words):
    cfg = small_config(people, people / "run", *words)
    dataset = load_dataset("market1501", people)
    preprocessing = Preprocessing((32, 32), (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    return build_evaluator(cfg, dataset, preprocessing, torch.device("cpu"), "nothing")


def drawn(dataset):
    feats = torch.randn(len(dataset.test), 4, generator=torch.Generator().manual_seed(0))
    return FeatureSet(feats, torch.as_tensor(dataset.test.pids), torch.as_tensor(dataset.test.camids))


NUMBERS = ("TEST.RERANK_K1", "3", "TEST.RERANK_K2", "2", "TEST.RERANK_LAMBDA", "0.1")


@pytest.mark.parametrize(
    ("words", "reranking"),
    [
        (("TEST.RE_RANKING", "True"), ReRanking(20, 6, 0.3)),
        (("TEST.RE_RANKING", "True", *NUMBERS), ReRanking(3, 2, 0.1)),
        (("TEST.RE_RANKING", "False", *NUMBERS), None),
    ],
)
def test_rankings_are_reranked_as_the_configuration_says(people, words, reranking):
    evaluator = build(people, *words)
    assert evaluator.protocol(MODEL).reranking == reranking
    features = drawn(evaluator.dataset)
    expected = evaluate_trials(features, evaluator.dataset.trials, reranking=reranking)
    assert evaluator.evaluate(features).as_dict() == expected.as_dict()
    for other in {None, ReRanking(), ReRanking(3, 2, 0.1)} - {reranking}:
        found = evaluate_trials(features, evaluator.dataset.trials, reranking=other)
        assert expected.mean_ap != found.mean_ap


def test_the_faiss_backend_is_asked_and_gives_the_same(people, monkeypatch):
    devices = []

    def record(*args, **options):
        devices.append((options["backend"], options["device"]))
        return evaluate_trials(*args, **options)

    monkeypatch.setattr("reid.engine.evaluate.evaluate_trials", record)
    by_torch, by_faiss = (build(people, "TEST.BACKEND", name) for name in ("torch", "faiss"))
    features = drawn(by_torch.dataset)
    assert by_torch.evaluate(features).as_dict() == by_faiss.evaluate(features).as_dict()
    assert devices == [("torch", None), ("faiss", torch.device("cpu"))]


def test_the_faiss_backend_does_not_rerank(people):
    with pytest.raises(InputError, match=r"only TEST\.BACKEND torch re-ranks, got faiss"):
        build(people, "TEST.BACKEND", "faiss", "TEST.RE_RANKING", "True")


def test_flipped_features_are_the_mean_over_image_and_mirror_image(people):
    plain, flipped = (build(people, "TEST.FLIP", word) for word in ("False", "True"))
    assert ", flip," in flipped.protocol(MODEL).describe()
    assert ", no flip," in plain.protocol(MODEL).describe()
    (images, *_), *_ = flipped.loader
    with torch.no_grad():
        expected = (MODEL.embed(images) + MODEL.embed(images.flip(-1))) / 2
    found = flipped.extract(MODEL).feats
    torch.testing.assert_close(found, expected)
    assert not torch.allclose(found, plain.extract(MODEL).feats)


def test_one_gallery_image_an_identity_makes_map_the_mean_reciprocal_rank(tmp_path):
    write_synthetic("vehicleid", tmp_path, num_train_ids=4, num_test_ids=6)
    dataset = load_dataset("vehicleid", tmp_path, train=False)
    evaluator = Evaluator(dataset, DataLoader([]), "cosine", torch.device("cpu"), "trained on nothing")
    words = evaluator.protocol(ReIDModel(ModelSpec("vit_micro", (32, 32), 3))).describe()
    assert words.endswith("mean of 10 trials, mAP is the mean reciprocal rank")
