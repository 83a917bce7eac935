"""``report.html``: results as one web page that needs nothing beside itself."""

from reid.evaluation.report.choose import choose_queries, evenly_spread
from reid.evaluation.report.content import Distances, Match, Model, Query, Ranking, Report
from reid.evaluation.report.distances import as_distance, sample_distances
from reid.evaluation.report.page import render, table_as_html

__all__ = [
    "Distances",
    "Match",
    "Model",
    "Query",
    "Ranking",
    "Report",
    "as_distance",
    "choose_queries",
    "evenly_spread",
    "render",
    "sample_distances",
    "table_as_html",
]
