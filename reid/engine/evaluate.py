"""Evaluate a model on a data set's test images, and say under which protocol."""

import logging
from dataclasses import dataclass
from statistics import mean

import torch
from torch.utils.data import DataLoader

from reid.data import ReIDDataset, iterate
from reid.data.matches import count_matches
from reid.engine.side import knows_cameras_of, log_unknown
from reid.evaluation import (
    EvaluationResult,
    FeatureSet,
    Protocol,
    ReRanking,
    evaluate_trials,
    extract_features,
    log_lines,
)
from reid.models import ReIDModel

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Evaluator:
    """Everything about an evaluation but the model.

    Args:
        dataset: With test images and at least one trial.
        loader: The test images, in order.
        metric: ``cosine`` or ``euclidean``.
        device: Where features are computed.
        training: What the model was trained on, in the words of a protocol.
        reranking: How the rankings are re-ranked; None leaves them.
    """

    dataset: ReIDDataset
    loader: DataLoader
    metric: str
    device: torch.device
    training: str
    reranking: ReRanking | None = None

    def extract(self, model: ReIDModel) -> FeatureSet:
        """Features of all test images; the model is moved to the device.

        Raises:
            InputError: If an image cannot be read or a feature is not finite.
        """
        side = model.spec.side
        log_unknown(side, self.dataset.name, self.dataset.test)
        return extract_features(
            model.to(self.device),
            iterate(self.loader),
            self.device,
            side_information=knows_cameras_of(side, self.dataset.name),
            total=len(self.loader),
        )

    def evaluate(self, features: FeatureSet) -> EvaluationResult:
        """Metrics of features that :meth:`extract` gave."""
        return evaluate_trials(features, self.dataset.trials, metric=self.metric, reranking=self.reranking)

    def evaluate_and_log(self, model: ReIDModel, title: str) -> EvaluationResult:
        """Extract, evaluate and log the figures under their protocol."""
        result = self.evaluate(self.extract(model))
        logger.info("%s: %s", title, self.protocol(model).describe())
        for line in log_lines(result):
            logger.info(line)
        return result

    def protocol(self, model: ReIDModel) -> Protocol:
        """What a figure of this evaluation must be compared under."""
        trials = self.dataset.trials
        return Protocol(
            dataset=self.dataset.title,
            training=self.training,
            metric=self.metric,
            reranking=self.reranking is not None,
            neck_feat=model.spec.neck_feat,
            num_query=round(mean(len(trial.query) for trial in trials)),
            num_gallery=round(mean(len(trial.gallery) for trial in trials)),
            num_trials=len(trials),
            one_match=all(count_matches(self.dataset.test, trial).max() == 1 for trial in trials),
        )
