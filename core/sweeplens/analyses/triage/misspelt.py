"""Finds hyperparameters with a misspelt name: few runs set ``lenght_penalty``, and others ``length_penalty``.

Most programs ignore a setting that they do not know, so a misspelt one had no effect.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

import polars as pl

from sweeplens.analyses.triage.context import DetectionContext, Finding
from sweeplens.frames.schemas import hparam_columns

__all__ = ["misspelt"]

_SHORTEST = 5  # letters of a name's word that is compared: ``bs`` and ``ds`` are two settings
_LONGEST = 200  # a longer name is no word that somebody misspelt, and has as many shorter forms as letters
_FAMILY = 50  # names that differ at one place; more are a numbered series
_VALUE = 40  # characters
_TIMES = 3  # as many runs have the name that was meant


def misspelt(context: DetectionContext) -> Iterator[Finding]:
    """medium: a setting differs from another by one letter or two swapped ones, at most a third as many runs have it, and these
    lack the other or have all the same value of it."""
    runs = context.runs
    names = hparam_columns(runs)
    set_in = {n: runs.height - runs[n].null_count() for n in names}
    for rare, meant in _alike(names, set_in):
        own = runs.filter(pl.col(rare).is_not_null())
        if own[meant].drop_nulls().n_unique() > 1:
            continue
        usual = own[meant].drop_nulls().unique().to_list()
        text = (
            f"{rare} is set, perhaps misspelt for {meant} (set in {set_in[meant]} runs"
            f"{f'; here {str(usual[0])[:_VALUE]}' if usual else ''}): if the program ignores unknown settings, it had no effect"
        )
        yield from (Finding(run_id, "misspelt", "medium", "", None, text) for run_id in own["run_id"].to_list())


def _alike(names: Iterable[str], set_in: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    """Yields (rare name, frequent name) that are one letter apart, the rare ones in order."""
    by_part: dict[tuple[str, str], list[str]] = defaultdict(list)
    for name in (n for n in names if len(n) <= _LONGEST):
        for shorter in {name[:i] + name[i + 1 :] for i in range(len(name))} | {name}:
            by_part[name.rpartition(".")[0], shorter].append(name)
    pairs = {
        (rare, meant)
        for same in by_part.values()
        if len(same) <= _FAMILY
        for rare in same
        for meant in same
        if set_in[rare] and set_in[rare] * _TIMES <= set_in[meant] and _is_slip(rare, meant)
    }
    yield from sorted(pairs)


def _is_slip(one: str, other: str) -> bool:
    """Whether one letter within a longer word is missing, doubled or another one, or two neighbours are swapped; no plural."""
    start = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    a, b = one[start:], other[start:]
    swapped = a[:2] == b[1::-1] and a[2:] == b[2:] and len(a) > 1
    replaced = len(a) == len(b) and a[1:] == b[1:]
    dropped = a[1:] == b or a == b[1:]
    letters = (a[:2] + b[:2] if swapped else a[:1] + b[:1] if replaced else max(a, b, key=len)[:1]).isalpha()
    plural = dropped and max(a, b, key=len)[:1] == "s" and not max(a, b, key=len)[1:2].isalpha()
    return (swapped or replaced or dropped) and letters and not plural and _word_at(one, start) >= _SHORTEST


def _word_at(name: str, at: int) -> int:
    """Returns the length of the word around a position."""
    begin = max(name.rfind(c, 0, at) for c in "._-/ ") + 1
    ends = [i for c in "._-/ " if (i := name.find(c, at)) >= 0]
    return min(ends, default=len(name)) - begin
