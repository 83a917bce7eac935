"""Evaluation: features, search, metrics, protocols, and results as text and pictures."""

from reid.evaluation.bootstrap import Interval, bootstrap_difference
from reid.evaluation.camera_pairs import evaluate_camera_pairs
from reid.evaluation.curves import draw_curves
from reid.evaluation.evaluator import EvaluationResult, evaluate_trials
from reid.evaluation.features import FeatureSet, evaluation_mode, extract_features
from reid.evaluation.flops import count_flops
from reid.evaluation.gallery_lists import ranked_lists
from reid.evaluation.latency import LatencyResult, measure_latency
from reid.evaluation.metrics import BACKENDS, RetrievalMetrics, evaluate_retrieval
from reid.evaluation.pictures import draw_cmc, draw_ranked_lists
from reid.evaluation.protocol import Protocol
from reid.evaluation.recall import RecallResult, approximate_recall, search_recall
from reid.evaluation.rerank import ReRanking, reranked_distances
from reid.evaluation.search import INDEXES, search, torch_search
from reid.evaluation.similarity import METRICS, prepare_features, similarity
from reid.evaluation.spread import moments, spread_cell
from reid.evaluation.tables import FIGURES, Table, figure_cells, format_table, log_lines

__all__ = [
    "BACKENDS",
    "FIGURES",
    "INDEXES",
    "METRICS",
    "EvaluationResult",
    "FeatureSet",
    "Interval",
    "LatencyResult",
    "Protocol",
    "ReRanking",
    "RecallResult",
    "RetrievalMetrics",
    "Table",
    "approximate_recall",
    "bootstrap_difference",
    "count_flops",
    "draw_cmc",
    "draw_curves",
    "draw_ranked_lists",
    "evaluate_camera_pairs",
    "evaluate_retrieval",
    "evaluate_trials",
    "evaluation_mode",
    "extract_features",
    "figure_cells",
    "format_table",
    "log_lines",
    "measure_latency",
    "moments",
    "prepare_features",
    "ranked_lists",
    "reranked_distances",
    "search",
    "search_recall",
    "similarity",
    "spread_cell",
    "torch_search",
]
