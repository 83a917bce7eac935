"""The paper's re-identification tables: what they say, how a cell is run, and what was measured."""

from reid.leaderboard.paper import TABLES, Cell, Row, Table, baseline_of, find_cells
from reid.leaderboard.recipes import Recipe, recipe_of

__all__ = ["TABLES", "Cell", "Recipe", "Row", "Table", "baseline_of", "find_cells", "recipe_of"]
