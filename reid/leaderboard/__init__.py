"""The paper's re-identification tables: what they say, how a cell is run, and what was measured."""

from reid.leaderboard.paper import TABLES, Cell, Row, Table, find_rows, find_table
from reid.leaderboard.recipes import Recipe, describe, recipe_of

__all__ = ["TABLES", "Cell", "Recipe", "Row", "Table", "describe", "find_rows", "find_table", "recipe_of"]
