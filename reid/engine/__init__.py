"""Training runs, their phases and folders, and the comparison of models."""

from reid.engine.compare import compare
from reid.engine.comparison import Comparison
from reid.engine.evaluate import Evaluator
from reid.engine.phases import Phase, Stage, plan_stages
from reid.engine.train import TrainingRun
from reid.engine.trainer import Trainer, TrainerSpec

__all__ = [
    "Comparison",
    "Evaluator",
    "Phase",
    "Stage",
    "Trainer",
    "TrainerSpec",
    "TrainingRun",
    "compare",
    "plan_stages",
]
