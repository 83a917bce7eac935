"""What a report shows, as plain data: nothing of models, and nothing of HTML."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reid.evaluation.tables import Table


@dataclass(frozen=True)
class Match:
    """One image of a ranked list.

    Args:
        image: A key of ``Report.images``.
        camera: Its camera's number; -1 unknown.
        distance: To the query, in ``Report.metric``.
        is_right: Whether it shows the query's identity.
    """

    image: str
    camera: int
    distance: float
    is_right: bool


@dataclass(frozen=True)
class Ranking:
    """What one model found for a query.

    Args:
        average_precision: Fraction, over the whole gallery.
        matches: The first of the ranked gallery, best first.
    """

    average_precision: float
    matches: Sequence[Match]

    @property
    def is_right(self) -> bool:
        """Whether the query is right at Rank-1."""
        return bool(self.matches) and self.matches[0].is_right


@dataclass(frozen=True)
class Query:
    """A query and what each model found for it.

    Args:
        number: Its place among the queries of the trial, from 1.
        image: A key of ``Report.images``.
        pid: Its identity.
        camera: Its camera's number; -1 unknown.
        rankings: One for each of ``Report.models``, in their order.
    """

    number: int
    image: str
    pid: int
    camera: int
    rankings: Sequence[Ranking]

    @property
    def became_right(self) -> bool:
        """Whether Rank-1 is wrong under the first model and right under the last."""
        return not self.rankings[0].is_right and self.rankings[-1].is_right

    @property
    def became_wrong(self) -> bool:
        """Whether Rank-1 is right under the first model and wrong under the last."""
        return self.rankings[0].is_right and not self.rankings[-1].is_right


@dataclass(frozen=True, eq=False)
class Distances:
    """Distances of pairs of a query and a gallery image that counts for it.

    Args:
        true: (T,) of pairs of one identity.
        false: (F,) of pairs of two.
        num_queries: How many queries the pairs are of; the gallery is all there is.
    """

    true: NDArray[np.float32]
    false: NDArray[np.float32]
    num_queries: int


@dataclass(frozen=True, eq=False)
class Model:
    """One model of the comparison.

    Args:
        name: As the tables call it.
        mean_ap: Fraction, mean over the trials.
        cmc: (max_rank,) fractions, mean over the trials.
        distances: Of the first trial.
    """

    name: str
    mean_ap: float
    cmc: NDArray[np.float64]
    distances: Distances


@dataclass(frozen=True, eq=False)
class Report:
    """Everything on the page.

    Args:
        dataset: The data set, as results call it.
        backbone: The name that all models share.
        protocol: One line that says what the figures can be compared with.
        tables: The comparison, then those of its details.
        notes: Lines that the comparison must be read with.
        metric: ``cosine`` or ``euclidean``.
        models: Baseline first; at least one.
        queries: Those that are shown, in the order of the data set.
        images: By the name that the page shows, where the file lies.
        num_evaluated: Queries of the first trial that have a true match.
        num_without_match: Its other queries.
        num_ranked: How many of those evaluated the shown ones were chosen from.
        num_became_right: Of those ranked; see ``Query``.
        num_became_wrong: Of those ranked.
        num_trials: How many trials the tables and curves are the means of.
        is_reranked: Whether tables, curves and average precisions are those after a re-ranking.

    Raises:
        ValueError: If there is no model, or a query has not one ranking for each.
    """

    dataset: str
    backbone: str
    protocol: str
    tables: Sequence[Table]
    notes: Sequence[str]
    metric: str
    models: Sequence[Model]
    queries: Sequence[Query]
    images: Mapping[str, Path] = field(repr=False)
    num_evaluated: int
    num_without_match: int
    num_ranked: int
    num_became_right: int
    num_became_wrong: int
    num_trials: int = 1
    is_reranked: bool = False

    def __post_init__(self) -> None:
        if not self.models:
            raise ValueError("a report needs at least one model, got none")
        for query in self.queries:
            if len(query.rankings) != len(self.models):
                raise ValueError(
                    f"query {query.number} must have {len(self.models)} rankings, one a model, "
                    f"got {len(query.rankings)}"
                )
