"""Evaluation: features, search, metrics, protocols, and results as text and pictures."""

from reid.evaluation.bootstrap import Interval, bootstrap_difference
from reid.evaluation.curves import draw_curves
from reid.evaluation.evaluator import EvaluationResult, evaluate_trials
from reid.evaluation.features import FeatureSet, evaluation_mode, extract_features
from reid.evaluation.latency import LatencyResult, measure_latency
from reid.evaluation.metrics import RetrievalMetrics, evaluate_retrieval
from reid.evaluation.pictures import draw_cmc, draw_ranked_lists
from reid.evaluation.protocol import Protocol
from reid.evaluation.rerank import ReRanking, reranked_distances
from reid.evaluation.search import ranked_lists, search, torch_search
from reid.evaluation.similarity import METRICS, prepare_features, similarity
from reid.evaluation.tables import FIGURES, Table, figure_cells, format_table, log_lines

__all__ = [
    "FIGURES",
    "METRICS",
    "EvaluationResult",
    "FeatureSet",
    "Interval",
    "LatencyResult",
    "Protocol",
    "ReRanking",
    "RetrievalMetrics",
    "Table",
    "bootstrap_difference",
    "draw_cmc",
    "draw_curves",
    "draw_ranked_lists",
    "evaluate_retrieval",
    "evaluate_trials",
    "evaluation_mode",
    "extract_features",
    "figure_cells",
    "format_table",
    "log_lines",
    "measure_latency",
    "prepare_features",
    "ranked_lists",
    "reranked_distances",
    "search",
    "similarity",
    "torch_search",
]
