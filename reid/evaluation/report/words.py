"""What a report says of itself: what it shows, and what was left out."""

from collections.abc import Iterable

from reid.evaluation.report.choose import NUM_HARDEST
from reid.evaluation.report.content import Report
from reid.evaluation.report.plots import AXES


def lists_words(report: Report) -> list[str]:
    """Sentences above the ranked lists."""
    first, last = report.models[0].name, report.models[-1].name
    sentences = [
        f"Each list is the first {_longest(report)} of the ranked gallery. Below each image stand its rank,"
        f" its camera where that is known, and its {AXES[report.metric]} to the query. Images of the query's"
        " identity and camera, and images without identity, are left out, as in the figures."
    ]
    if report.num_trials > 1:
        sentences.append(f"The queries are those of the first of {report.num_trials} trials.")
    if report.is_reranked:
        sentences.append(
            "The lists are those before re-ranking, and so is what became right or wrong; average precisions"
            " (AP) are those after it."
        )
    if report.num_without_match:
        noun = "query" if report.num_without_match == 1 else "queries"
        sentences.append(f"Left out: {report.num_without_match:,} {noun} without a true match.")
    if report.num_ranked < report.num_evaluated:
        sentences.append(
            f"Lists were made for {report.num_ranked:,} evenly spread of {report.num_evaluated:,} queries."
        )
    if len(report.models) > 1:
        sentences.append(
            f"From {first} to {last}, {report.num_became_right:,} became right at Rank-1 and"
            f" {report.num_became_wrong:,} became wrong."
        )
    return [*sentences, _shown(report)]


def _shown(report: Report) -> str:
    shown, ranked = len(report.queries), report.num_ranked
    if shown == ranked:
        return f"All {shown:,} are on this page." if shown > 1 else "It is on this page."
    kinds = [f"the {min(NUM_HARDEST, shown)} of lowest average precision under {report.models[-1].name}"]
    if len(report.models) > 1:
        changed = report.num_became_right + report.num_became_wrong
        seen = sum(query.became_right or query.became_wrong for query in report.queries)
        kinds.insert(0, "all of these" if seen == changed else f"{seen:,} of these {changed:,}")
    return (
        f"{shown:,} of {ranked:,} queries are on this page: {', '.join(kinds)}, and an even spread of the"
        f" others; {ranked - shown:,} are left out. The counts below are of this page."
    )


def histogram_words(report: Report) -> str:
    """The sentence below the histograms."""
    pairs = report.models[0].distances
    counts = f"{len(pairs.true):,} true and {len(pairs.false):,} false pairs"
    which = (
        f"all {pairs.num_queries:,} queries"
        if pairs.num_queries == report.num_evaluated
        else f"a sample, {pairs.num_queries:,} evenly spread of {report.num_evaluated:,} queries,"
    )
    trial = ", first trial" if report.num_trials > 1 else ""
    before = ", before re-ranking" if report.is_reranked else ""
    return (
        f"Pairs of a query and a gallery image that counts for it: {counts} of {which} with the whole gallery"
        f"{trial}{before}. Each histogram is a share of its own pairs, because false ones are far more."
    )


def curve_words(report: Report) -> str:
    """The sentence below the curves."""
    trials = f" Means of {report.num_trials} trials." if report.num_trials > 1 else ""
    return f"Of two lines that coincide the wider lies below.{trials} A pointer over a rank shows its values."


def _longest(report: Report) -> int:
    lengths: Iterable[int] = (len(r.matches) for query in report.queries for r in query.rankings)
    return max(lengths, default=0)
