"""Compares the levels of one hyperparameter with its baseline, matched on everything else that varies.

The baseline is the level that switches it off (0, false, none, off) or is called one (baseline, default), else the lowest
number; of texts, the one whose runs have the fewest settings, else the first by name. `comparison`
compares each other level with it; with several levels, p values are Holm-corrected over them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import polars as pl
from msgspec.structs import replace

from sweeplens.analyses.coverage import with_config
from sweeplens.analyses.sides import Sides
from sweeplens.analyses.statistics import ALPHA, holm
from sweeplens.answers import Answer, Basis, LeftOut
from sweeplens.errors import InputError, UnknownNameError
from sweeplens.frames.grouping import keyed, runs_without_hparams
from sweeplens.frames.lineage import sources_of
from sweeplens.frames.schemas import FROM, hparam_columns

__all__ = ["compare_levels", "levels_of_hparam"]

_OF_ONE_LEVEL = ("Holds", "Strata", "Trend", "Without")  # beginnings of notes on one level
_MOST_LEVELS = 8
_SETTINGS = "number.of.settings"  # no hyperparameter has this name
_SPELLED_OUT = 2  # levels beside the baseline for which their own pair is shown too
_OFF = (
    "0",
    "0.0",
    "false",
    "none",
    "null",
    "off",
    "no",
    "",
    "baseline",
    "base",
    "vanilla",
    "plain",
    "default",
    "control",
)


def compare_levels(
    runs: pl.DataFrame, hparam: str, compare: Callable[[Sides, tuple[str, str]], Answer], *, tables_of: str = ""
) -> Answer:
    """Returns one row a level and metric. Of three levels, the differences by task have the third pair too.

    ``compare`` answers for two sides and their names. Raises UnknownNameError, and InputError for one level or more than eight.
    """
    levels, base = levels_of_hparam(runs, hparam)
    others = [name for name in levels if name != base]
    answers = {name: compare(Sides(levels[name], levels[base]), (name, base)) for name in others}
    one, other = others if len(others) == _SPELLED_OUT else ("", "")
    third = compare(Sides(levels[other], levels[one]), (other, one)) if one else None
    joined = _joined(hparam, base, answers, with_config(runs)[1])
    tables = {name: t.filter(pl.col("metric") == tables_of) if tables_of else t for name, t in joined.tables.items()}
    tables = {name: t for name, t in tables.items() if t.height}
    return replace(joined, tables={**_by_task([*answers.values(), *([third] if third else [])]), **tables})


def _by_task(answers: Sequence[Answer]) -> dict[str, pl.DataFrame]:
    """Returns the differences by task and by level of all answers."""
    parts = {name: [a.tables[name] for a in answers if name in a.tables] for name in ("by_task", "by_level")}
    return {name: pl.concat(tables) for name, tables in parts.items() if tables}


def levels_of_hparam(runs: pl.DataFrame, hparam: str) -> tuple[dict[str, tuple[str, ...]], str]:
    """The runs of each level in order, and the name of the baseline. Raises UnknownNameError, InputError."""
    known = hparam_columns(runs)
    if hparam not in known:
        raise UnknownNameError.of("hyperparameter", hparam, known, hint="find_varying_hparams shows those that vary.")
    configured = runs.filter(pl.col("run_id").is_in(runs_without_hparams(runs)).not_())
    of_level = (
        _with_source(runs, keyed(configured, [hparam]), hparam)
        .group_by(hparam)
        .agg(pl.col("run_id"))
        .sort(hparam, nulls_last=True)
    )
    levels = {_text(v): tuple(ids) for v, ids in of_level.iter_rows()}
    if not 1 < len(levels) <= _MOST_LEVELS:
        raise InputError(
            f"{hparam!r} has {len(levels)} values: compare_runs takes the levels of a hyperparameter with 2 to {_MOST_LEVELS};"
            " pass a and b as conditions, or ask hparam_effects."
        )
    return levels, _baseline(configured, hparam, levels)


def _with_source(runs: pl.DataFrame, values: pl.DataFrame, hparam: str) -> pl.DataFrame:
    """Returns the values; of a setting of the source, without runs that started from none: they are no level of it."""
    if not hparam.startswith(FROM):
        return values
    return values.filter(pl.col(hparam).is_not_null() | pl.col("run_id").is_in(list(sources_of(runs))))


def _baseline(runs: pl.DataFrame, hparam: str, levels: Mapping[str, Sequence[str]]) -> str:
    """Returns the level that switches the hyperparameter off, or is called a baseline; of texts, else the one whose runs have
    the fewest settings; else the first."""
    named = next((name for name in levels if name.lower() in _OFF), None)
    if named is not None or runs[hparam].dtype.is_numeric():
        return named if named is not None else next(iter(levels))
    others = [pl.col(n).is_not_null() for n in hparam_columns(runs) if n != hparam]
    counted = pl.sum_horizontal(others) if others else pl.lit(0)
    table = keyed(runs, [hparam]).with_columns(runs.select(counted.alias(_SETTINGS)).to_series())
    sizes = table.group_by(hparam).agg(pl.col(_SETTINGS).mean()).sort(hparam, nulls_last=True)
    of_level = {_text(value): size for value, size in sizes.iter_rows()}
    return min(levels, key=lambda name: of_level[name])


def _text(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else "(not set)" if value is None else str(value)


def _joined(hparam: str, base: str, answers: dict[str, Answer], unknown: tuple[LeftOut, ...]) -> Answer:
    """Joins the answers: one row a level and metric, p values corrected over levels. ``unknown``: runs without a config."""
    table = pl.concat([a.table.select(pl.lit(name).alias("level"), pl.all()) for name, a in answers.items()])
    first, several = next(iter(answers.values())), len(answers) > 1
    if several and table.height:
        table = _corrected(table, len(answers))
    notes = [f"{hparam}: each level (a) against {base} (b), matched on all else that varies."]
    notes += [n for n in first.notes if not n.startswith(("a: ", *_OF_ONE_LEVEL) if several else "a: ")]
    for name, answer in answers.items():
        notes += [f"{name}: {n}" for n in answer.notes if n.startswith(_OF_ONE_LEVEL)] * several
    tables = {name: frame for name in ("strata", "pairs") if (frame := _tables(answers, name)).height}
    left = sorted({e for a in answers.values() for e in a.basis.left_out}, key=lambda e: (e.reason, e.runs))
    n_a = sum(int(a.table["n_a"][0]) for a in answers.values() if a.table.height)
    used = n_a + (int(first.table["n_b"][0]) if first.table.height else 0)
    method = next((n for n in first.notes if n.startswith("a: ")), "")
    notes.insert(1, method.partition("; ")[2][:1].upper() + method.partition("; ")[2][1:])
    warnings = tuple(dict.fromkeys(w for a in answers.values() for w in a.basis.warnings))
    points = sum(a.basis.points or 0 for a in answers.values())
    basis = Basis(runs_used=used, left_out=(*unknown, *left), points=points, warnings=warnings)
    return Answer(table, basis, tuple(n for n in notes if n), tables)


def _tables(answers: dict[str, Answer], name: str) -> pl.DataFrame:
    """Concatenates the tables of this name, with a column ``level``."""
    parts = [
        a.tables[name].select(pl.lit(level).alias("level"), pl.all())
        for level, a in answers.items()
        if name in a.tables and a.tables[name].height
    ]
    return pl.concat(parts, how="diagonal_relaxed") if parts else pl.DataFrame()


def _corrected(table: pl.DataFrame, levels: int) -> pl.DataFrame:
    parts: list[pl.DataFrame] = []
    for _, rows in table.group_by("metric", maintain_order=True):
        ps = holm(rows["p_adjusted"].to_list())
        said = [
            v
            if p is None or p < ALPHA or not v.startswith("different")
            else f"not told apart (p {p:.2g}, Holm-corrected over {levels} levels)"
            for v, p in zip(rows["verdict"].to_list(), ps, strict=True)
        ]
        parts.append(
            rows.with_columns(
                pl.Series("p_adjusted", ps, dtype=pl.Float64), pl.Series("verdict", said, dtype=pl.String)
            )
        )
    return pl.concat(parts)
