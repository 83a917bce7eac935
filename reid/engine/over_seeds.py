"""Comparisons of several seeds as one table."""

from collections.abc import Sequence
from statistics import median
from typing import Any

from reid.evaluation import FIGURES, Table, moments, spread_cell

# Of a row for machines, that are averaged.
AVERAGED = (*FIGURES.values(), "mAP_gain", "latency_ratio")


def average(runs: Sequence[dict[str, Any]], seeds: Sequence[int]) -> tuple[str, dict[str, Any]]:
    """Mean and sample standard deviation of a comparison over seeds.

    Args:
        runs: Each seed's :meth:`Comparison.as_dict`, of one data set and the same models.
        seeds: As many.

    Returns:
        A table with its protocol, metrics in %; and the same for machines, as fractions.
    """
    first, *others = names = list(runs[0]["models"])
    columns = {
        name: {key: [run["models"][name][key] for run in runs] for key in (*AVERAGED, "ms_per_image")}
        for name in names
    }
    rows = []
    for name in names:
        column = columns[name]
        figures = [spread_cell([100 * value for value in column[key]]) for key in FIGURES.values()]
        gain = [spread_cell([100 * value for value in column["mAP_gain"]], "+.2f") if name != first else ""]
        time = [f"{median(column['ms_per_image']):.2f}", f"{median(column['latency_ratio']):.3f}"]
        rows.append([name, *figures, *(gain if others else []), *time])
    header = ["model", *(f"{figure}, %" for figure in FIGURES), *([f"mAP less {first}"] if others else [])]
    table = Table("", [*header, "ms/image", f"x {first}"], rows)
    spread = "mean ± sample standard deviation over seeds" if len(runs) > 1 else "of seed"
    lines = [table.as_text(), f"{spread} {', '.join(map(str, seeds))}", f"protocol: {runs[0]['protocol']}"]
    if len(runs) == 1:
        return "\n".join(lines), {"models": runs[0]["models"], "protocol": runs[0]["protocol"]}
    models = {
        name: {key: moments(column[key]) for key in AVERAGED if None not in column[key]}
        for name, column in columns.items()
    }
    return "\n".join(lines), {"models": models, "protocol": runs[0]["protocol"]}
