"""The names of reductions. The server imports them at its start, so this file imports nothing heavy."""

from __future__ import annotations

__all__ = ["DEFAULT_REDUCE", "REDUCTIONS"]

DEFAULT_REDUCE = "last_tenth"
"""The default of every answer over runs."""
REDUCTIONS = (
    "last_tenth",
    "last",
    "best",
    "min",
    "max",
    "mean",
    "first",
    "auc",
    "at_step",
    "last_k",
    "at_best",
    "points",
)
