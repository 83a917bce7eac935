"""Ranked lists as HTML: of each query, what every model found for it."""

from html import escape

from reid.evaluation.report.content import Match, Query, Ranking, Report
from reid.evaluation.report.thumbnails import Thumbnails

# Symbols beside the colours: right and wrong are told apart without them.
MARKS = {True: ("right", "\N{CHECK MARK}"), False: ("wrong", "\N{MULTIPLICATION X}")}


def query_articles(report: Report, thumbnails: Thumbnails) -> str:
    """One article a query; what the page's filters need stands in its data attributes."""
    return "\n".join(_article(query, report, thumbnails) for query in report.queries)


def _article(query: Query, report: Report, thumbnails: Thumbnails) -> str:
    is_right = "".join("1" if ranking.is_right else "0" for ranking in query.rankings)
    # In full: queries are sorted by it, and the order must be that of the numbers.
    precision = " ".join(repr(float(ranking.average_precision)) for ranking in query.rankings)
    camera = f", camera {query.camera}" if query.camera >= 0 else ""
    title = f"Query {query.number}: identity {query.pid}{camera}"
    name = escape(query.image)
    lists = "".join(
        _ranking(number, model.name, ranking, thumbnails)
        for number, (model, ranking) in enumerate(zip(report.models, query.rankings, strict=True))
    )
    return (
        f'<article class="query" data-right="{is_right}" data-ap="{precision}">'
        f'<h3>{escape(title)} <span class="path">{name}</span></h3><div class="beside">'
        f'<div class="thumb asked {thumbnails.css_class(query.image)}" role="img" aria-label="query image"'
        f' title="{name}"></div><div class="lists">{lists}</div></div></article>'
    )


def _ranking(number: int, model: str, ranking: Ranking, thumbnails: Thumbnails) -> str:
    word, mark = MARKS[ranking.is_right]
    entries = "".join(_entry(rank, match, thumbnails) for rank, match in enumerate(ranking.matches, 1))
    return (
        f'<section class="list" data-model="{number}"><h4>{escape(model)}'
        f' <span class="{word}">{mark} Rank-1 {word}</span>'
        f' <span class="ap">AP {ranking.average_precision:.1%}</span></h4><ol>{entries}</ol></section>'
    )


def _entry(rank: int, match: Match, thumbnails: Thumbnails) -> str:
    word, mark = MARKS[match.is_right]
    camera = f"cam {match.camera}" if match.camera >= 0 else ""
    return (
        f'<li class="{word}"><div class="thumb {thumbnails.css_class(match.image)}" role="img"'
        f' aria-label="{word}" title="{escape(match.image)}"></div>'
        f"<p><b>{mark} {rank}</b> <span>{camera}</span> <span>{match.distance:.3f}</span></p></li>"
    )
