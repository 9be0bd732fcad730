"""Names of files in which a run's script reports results and facts beside its log: ``result.json``, ``final_metrics.csv``."""

from __future__ import annotations

import re

__all__ = ["REPORT_FOLDERS", "is_facts", "is_report_of_one_row"]

REPORT_FOLDERS = ("eval", "evaluation", "files", "results", "test")
"""Folders in a run's folder that may hold such files."""

_NOUNS = frozenset(
    "info meta metadata summary result results metric metrics score scores eval evaluation final stats statistics".split()
)
_BESIDE = frozenset(  # other words of such a name
    "run test testing eval val valid validation dev holdout final all best last system env train training predict prediction "
    "predictions model machine environment overall full ood iid zero few shot ema swa benchmark report performance".split()
)
_WHOLE = frozenset({"machine.json", "environment.json", "test.json"})
_SUFFIXES = (".json", ".csv", ".tsv")


def is_facts(name: str) -> bool:
    """Whether a file is called like one that holds facts about a run."""
    stem, dot, suffix = name.lower().rpartition(".")
    if dot + suffix not in _SUFFIXES:
        return False
    words = [w for w in re.split(r"[^a-z]+", stem) if w]
    if not words or not (_NOUNS & set(words)):
        return name.lower() in _WHOLE
    return words[0] in _NOUNS | _BESIDE or words[-1] in _NOUNS


def is_report_of_one_row(name: str, head: bytes) -> bool:
    """Whether a table is called like a report and has one row. ``head``: the whole file, where it is so small."""
    lines = [line for line in head.splitlines() if line.strip() and not line.startswith(b"#")]
    return len(lines) == 2 and is_facts(name)
