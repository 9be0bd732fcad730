"""The two sides of a comparison: their runs, the hyperparameters that differ, and pairs of runs.

Runs are paired if both sides have the same replicate values (the same seeds), once each. If seeds alone do not identify
runs, hyperparameters with the same values on both sides (a batch size that both sides swept) are part of the key.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence, Set
from functools import cached_property
from typing import Any, cast

import polars as pl
from msgspec import Struct

from sweeplens.cancellation import checkpoint
from sweeplens.counting import count_of, verb
from sweeplens.errors import InputError
from sweeplens.frames.grouping import folded, free_names, identifiers, is_replicate, keyed, varying_hparams
from sweeplens.frames.many_columns import value_sets
from sweeplens.frames.run_columns import NOTHING_MORE, RunColumns
from sweeplens.frames.run_names import display_names
from sweeplens.frames.schemas import hparam_columns
from sweeplens.frames.selection import no_run_reason, select_runs

__all__ = ["Sides", "check_sides", "defining", "differing_hparams", "named_in", "pair_runs", "select_sides"]

_CONDITION = re.compile(r"[=<>~]|\b(and|or|not|in|is|i?like|between)\b|\w\(.*\)", re.IGNORECASE)
_SHOWN_VALUES = 8
_MOST_PIECES = 1_000
_TAKEN = ("metric", "run_a", "run_b", "value_a", "value_b", "difference")


class Sides(Struct, frozen=True, dict=True):
    """The run ids of each side, in order; no run is on both. ``ids`` and ``ids_a`` are the same for expressions, made once."""

    a: tuple[str, ...]
    b: tuple[str, ...]

    @property
    def both(self) -> list[str]:
        """The runs of both sides."""
        return [*self.a, *self.b]

    def runs_of(self, runs: pl.DataFrame) -> pl.DataFrame:
        """Returns the rows of these runs. ``runs``: one row a run, with all of these."""
        is_all = runs.height == len(self.a) + len(self.b)
        return runs if is_all else runs.filter(pl.col("run_id").is_in(self.ids))

    def parts_of(self, both: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Returns the rows of each side. ``both``: of runs of these sides."""
        on_a = both["run_id"].is_in(self.ids_a)
        return both.filter(on_a), both.filter(~on_a)

    def series_of(self, series: pl.DataFrame, runs: pl.DataFrame) -> pl.DataFrame:
        """Returns the series of these runs. ``series``: of ``runs``, which has all of these."""
        is_all = runs.height == len(self.a) + len(self.b)
        return series if is_all else series.filter(pl.col("run_id").is_in(self.ids))

    @cached_property
    def ids(self) -> pl.Series:
        """The runs of both sides as one list value, for `is_in`."""
        return pl.Series(self.both, dtype=pl.String).implode()

    @cached_property
    def ids_a(self) -> pl.Series:
        """The runs of side a as one list value, for `is_in`."""
        return pl.Series(self.a, dtype=pl.String).implode()


def select_sides(
    runs: pl.DataFrame,
    series: pl.DataFrame,
    a: str | Sequence[str],
    b: str | Sequence[str],
    more: RunColumns = NOTHING_MORE,
) -> Sides:
    """Resolves sides: each is a run id, a glob, a condition, or a list of these (ids and globs also joined by commas).

    Raises UnknownNameError for an unknown run, InputError for an empty side and for a run on both sides.
    """
    ids = frozenset(runs["run_id"].to_list())
    known = ids | frozenset(display_names(runs).values())
    sides = Sides(*(_side(runs, series, asked, name, ids, known, more) for asked, name in ((a, "a"), (b, "b"))))
    shared = sorted(set(sides.a).intersection(sides.b))
    if shared:
        raise InputError(
            f"{count_of(len(shared), 'run')} {verb(len(shared), 'is', 'are')} on both sides ({', '.join(shared[:3])}): "
            f"narrow a or b until no run is in both."
        )
    return sides


def check_sides(a: str | Sequence[str], b: str | Sequence[str], hparam: str) -> None:
    """Raises InputError where both sides and a hyperparameter are given."""
    if hparam and (a or b):
        raise InputError(f"Pass a and b, or hparam={hparam!r} to compare its levels, not both.")


def defining(runs: pl.DataFrame, sides: Sides, named: Sequence[str]) -> list[str]:
    """Returns those of the hyperparameters named in conditions that define the sides; the others are matched as all that vary.

    One whose values occur on both sides only narrows them (``algo = 'sac' AND env LIKE '%-v4'`` against the same of another
    algorithm), unless no run has a counterpart in these values: then all define the sides together, as a product of two does.
    """
    table = keyed(runs.filter(pl.col("run_id").is_in(sides.ids)), list(named))
    on_a = pl.col("run_id").is_in(sides.ids_a)
    one, other = table.filter(on_a), table.filter(~on_a)
    values = zip(*(value_sets([side[n] for n in named]) for side in (one, other)), strict=True)
    common = [n for n, (ours, theirs) in zip(named, values, strict=True) if ours & theirs]
    if common and one.join(other, on=common, how="semi", nulls_equal=True).height:
        return [n for n in named if n not in common]
    return list(named)


def named_in(runs: pl.DataFrame, *sides: str | Sequence[str]) -> list[str]:
    """Returns the hyperparameters named in conditions."""
    texts = [part for side in sides for part in ([side] if isinstance(side, str) else side)]
    words = {
        w
        for text in texts
        if _CONDITION.search(text)
        for w in re.findall(r'"([^"]+)"|([A-Za-z_]\w*)', text)
        for w in w
        if w
    }
    return [n for n in hparam_columns(runs) if n in words]


def _side(
    runs: pl.DataFrame, series: pl.DataFrame, asked: str | Sequence[str], name: str, ids: frozenset[str],
    known: frozenset[str], more: RunColumns,
) -> tuple[str, ...]:  # fmt: skip
    """Returns the runs of one side, in order. ``ids``: all runs; ``known``: these and the names that people know them by."""
    parts = [asked] if isinstance(asked, str) else list(asked)
    if not [p for p in parts if p.strip()]:
        raise InputError(
            f"Side {name} is empty: pass a run id, a glob, a list of them, or a condition on the runs; or hparam=NAME alone."
        )
    if len(parts) == 1 and parts[0] not in ids and (found := _matching(runs, series, parts[0], known, more)):
        return tuple(found)
    chosen = {part for part in parts if part in ids}  # usually ids: looked up in one pass
    chosen |= {r for part in parts if part not in ids for r in _matching(runs, series, part, known, more)}
    if not chosen:
        reason = no_run_reason(runs, series, (), next(iter(filter(str.strip, parts))), more)
        raise InputError(f"Side {name}: no run matches {asked!r}. {reason}")
    wanted = pl.Series(list(chosen), dtype=pl.String)
    return tuple(runs["run_id"].filter(runs["run_id"].is_in(wanted.implode())).to_list())


def _matching(
    runs: pl.DataFrame, series: pl.DataFrame, part: str, known: frozenset[str], more: RunColumns
) -> list[str]:
    """Resolves one part: a matching id or glob wins over a comma list (``r1, r2*``), and both over a condition."""
    checkpoint()
    pieces = list(dict.fromkeys(p.strip() for p in part.split(",") if p.strip()))
    if len(pieces) > _MOST_PIECES:
        raise InputError(
            f"A side has {len(pieces):,} names, at most {_MOST_PIECES:,} are allowed: a glob names many runs."
        )
    if not _names(part, known) and all(_names(p, known) for p in pieces):
        return select_runs(runs, series, pieces)["run_id"].to_list()
    if not _names(part, known) and _CONDITION.search(part):
        return select_runs(runs, series, where=part, more=more)["run_id"].to_list()
    return select_runs(runs, series, [part])["run_id"].to_list()


def _names(pattern: str, known: frozenset[str]) -> bool:
    return pattern in known or (any(c in pattern for c in "*?[") and bool(fnmatch.filter(known, pattern)))


def differing_hparams(runs: pl.DataFrame, sides: Sides) -> pl.DataFrame:
    """Returns hparam, a, b: the values of each side, for hyperparameters whose values differ."""
    table = _of_sides(runs, sides)
    names = [n for n in table.columns if n != "run_id"]
    one, other = sides.parts_of(table)
    values = zip(names, *(value_sets([t[n] for n in names]) for t in (one, other)), strict=True)
    differing = {n: (ours, theirs) for n, ours, theirs in values if ours != theirs}
    shown = folded(list(differing))
    identify = identifiers(runs, [n for n, own in shown.items() if own == [n]])
    rows = [
        (n, *(_side_values(*differing[n], names=n in identify) if own == [n] else (f"{len(own):,} keys",) * 2))
        for n, own in shown.items()
    ]
    return pl.DataFrame(rows, schema={"hparam": pl.String, "a": pl.String, "b": pl.String}, orient="row")


def _side_values(one: Set[object], other: Set[object], *, names: bool) -> tuple[str, str]:
    """Returns the values of each side; of run names, their number."""
    if names:
        return f"{len(one)} names", f"{len(other)} names"
    return _values(one), _values(other)


def _of_sides(runs: pl.DataFrame, sides: Sides) -> pl.DataFrame:
    """Returns run_id and the hyperparameters that vary over both sides."""
    both = sides.runs_of(runs)
    return keyed(both, varying_hparams(both))


def _values(found: Set[object]) -> str:
    values = sorted(cast("Set[Any]", found - {None}), key=lambda v: (isinstance(v, str), v))
    texts = [f"{v:.6g}" if isinstance(v, float) else str(v) for v in values]
    texts += ["(not set)"] if None in found else []
    more = len(texts) - _SHOWN_VALUES
    return ", ".join(texts[:_SHOWN_VALUES]) + (f" and {more} more" if more > 0 else "")


def pair_runs(runs: pl.DataFrame, sides: Sides, replicates: Sequence[str]) -> pl.DataFrame | None:
    """Returns the key columns, run_a, run_b: one row a pair; None if the sides do not have the same replicates, once each."""
    runs, _ = free_names(runs, hparam_columns(runs), _TAKEN)
    table = _of_sides(runs, sides)
    one, other = sides.parts_of(table)
    names = [n for n in table.columns if n != "run_id" and not one[n].null_count()]
    values = zip(names, *(value_sets([t[n] for n in names]) for t in (one, other)), strict=True)
    shared = [n for n, ours, theirs in values if ours == theirs]
    seeds = [n for n in shared if is_replicate(runs, n, replicates)]
    if not seeds or len(sides.a) != len(sides.b):
        return None
    for key in (seeds, shared):
        pairs = one.select(*key, run_a="run_id").join(other.select(*key, run_b="run_id"), on=key)
        if pairs.height == len(sides.a) == pairs["run_a"].n_unique() == pairs["run_b"].n_unique():
            return pairs.sort(key)
    return None
