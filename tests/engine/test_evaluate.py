import pytest
import torch
from small import draw_people, small_config
from torch.utils.data import DataLoader

from reid.data import load_dataset, write_synthetic
from reid.engine.build_data import build_evaluator
from reid.engine.evaluate import Evaluator
from reid.evaluation import FeatureSet, ReRanking, evaluate_trials
from reid.models import ModelSpec, Preprocessing, ReIDModel


@pytest.mark.parametrize(("word", "reranking"), [("True", ReRanking(20, 6, 0.3)), ("False", None)])
def test_rankings_are_reranked_where_the_configuration_says_so(tmp_path, word, reranking):
    draw_people(tmp_path)
    cfg = small_config(tmp_path, tmp_path / "run", "TEST.RE_RANKING", word)
    dataset = load_dataset("market1501", tmp_path)
    preprocessing = Preprocessing((32, 32), (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    evaluator = build_evaluator(cfg, dataset, preprocessing, torch.device("cpu"), "nothing")

    protocol = evaluator.protocol(ReIDModel(ModelSpec("vit_micro", (32, 32), 3)))
    assert protocol.reranking == (reranking is not None)
    feats = torch.randn(len(dataset.test), 4, generator=torch.Generator().manual_seed(0))
    features = FeatureSet(feats, torch.as_tensor(dataset.test.pids), torch.as_tensor(dataset.test.camids))
    expected = evaluate_trials(features, dataset.trials, reranking=reranking)
    assert evaluator.evaluate(features).as_dict() == expected.as_dict()
    other = evaluate_trials(features, dataset.trials, reranking=None if reranking else ReRanking())
    assert expected.mean_ap != other.mean_ap


def test_one_gallery_image_an_identity_makes_map_the_mean_reciprocal_rank(tmp_path):
    write_synthetic("vehicleid", tmp_path, num_train_ids=4, num_test_ids=6)
    dataset = load_dataset("vehicleid", tmp_path, train=False)
    evaluator = Evaluator(dataset, DataLoader([]), "cosine", torch.device("cpu"), "trained on nothing")
    words = evaluator.protocol(ReIDModel(ModelSpec("vit_micro", (32, 32), 3))).describe()
    assert words.endswith("mean of 10 trials, mAP is the mean reciprocal rank")
