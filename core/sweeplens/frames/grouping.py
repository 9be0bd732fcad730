"""Hyperparameters as groups: which of them vary, which only mark repetitions, which cannot be told apart."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Collection, Sequence

import polars as pl

from sweeplens.errors import UnknownNameError
from sweeplens.frames.schemas import hparam_columns

__all__ = [
    "NULL",
    "free_names",
    "group_hparams",
    "is_called",
    "is_replicate",
    "keyed",
    "runs_without_hparams",
    "same_split",
    "two_valued",
    "varying_hparams",
]

NULL = "null"
"""How a hyperparameter whose value is None reads in a group, where other runs lack it."""
_IDENTIFIER_RUNS = 4
_BY_NUMBER = frozenset("init run rng rep repeat trial replicate fold".split())
_CALLED = re.compile(r"(^|[._-])((exp|experiment|run|job|trial)[_-]?(name|id)|(\w+_)?(dir|path|folder|file))$")


def keyed(runs: pl.DataFrame, hparams: Sequence[str]) -> pl.DataFrame:
    """run_id and these hyperparameters, where a value of None is told apart from a hyperparameter that a run lacks."""
    columns: list[pl.Expr] = [pl.col("run_id")]
    for name, mixed in zip(hparams, _mixed(runs, hparams), strict=True):
        explicit = pl.col("null_hparams").list.contains(name)
        column = pl.col(name).cast(pl.String) if runs.schema[name] == pl.Categorical else pl.col(name)
        columns.append(
            pl.when(explicit).then(pl.lit(NULL)).otherwise(column.cast(pl.String)).alias(name) if mixed else column
        )
    return runs.select(columns)


def _mixed(runs: pl.DataFrame, hparams: Sequence[str]) -> tuple[bool, ...]:
    """Which of these some runs have with the value None while others lack them; all are looked at in one pass."""
    if not hparams:
        return ()
    asked: list[pl.Expr] = []
    for index, name in enumerate(hparams):
        null, explicit = pl.col(name).is_null(), pl.col("null_hparams").list.contains(name)
        asked.append(((null & explicit).any() & (null & explicit.not_()).any()).alias(str(index)))
    return runs.select(asked).row(0)


def free_names(runs: pl.DataFrame, names: Sequence[str], taken: Collection[str]) -> tuple[pl.DataFrame, list[str]]:
    """The runs, and these hyperparameters, as ``hparam.n`` where one is called what a column of the answer is called."""
    clash = {n: f"hparam.{n}" for n in names if n in taken}
    if not clash:
        return runs, list(names)
    nulls = pl.col("null_hparams").list.eval(pl.element().replace(clash))
    return runs.with_columns(nulls).rename(clash), [clash.get(n, n) for n in names]


def varying_hparams(runs: pl.DataFrame) -> list[str]:
    """Hyperparameters with more than one value over these runs; to be lacking is one.

    A run of which no hyperparameter at all is known (its config was lost) tells nothing about any of them.
    """
    names = hparam_columns(runs)
    told = runs.filter(~pl.col("run_id").is_in(runs_without_hparams(runs)))
    if not names or not told.height:
        return []
    counts = keyed(told, names).select(pl.col(n).n_unique() for n in names).row(0)
    return [name for name, n in zip(names, counts, strict=True) if n > 1]


def runs_without_hparams(runs: pl.DataFrame) -> list[str]:
    """The runs of which no hyperparameter is known, while of others some are."""
    names = hparam_columns(runs)
    if not names:
        return []
    unknown = pl.all_horizontal(pl.col(n).is_null() for n in names) & (pl.col("null_hparams").list.len() == 0)
    return runs.filter(unknown)["run_id"].to_list()


def is_replicate(runs: pl.DataFrame, hparam: str, patterns: Sequence[str]) -> bool:
    """Whether a hyperparameter only marks repetitions of one setting (``seed``).

    Some names mark repetitions by number only: ``init=3`` is a repetition, ``init=xavier`` is a setting.
    """
    if not is_called(hparam, patterns):
        return False
    column = runs[hparam].drop_nulls()
    return _last_part(hparam) not in _BY_NUMBER or column.dtype.is_integer() or _whole(column)


def _whole(column: pl.Series) -> bool:
    """Whether all values are whole numbers, as numbers or as text."""
    return bool(column.cast(pl.String).str.contains(r"^-?\d+(\.0+)?$").all())


def is_called(hparam: str, patterns: Sequence[str]) -> bool:
    """Whether a name, or its part after the last ``.`` or ``/``, fits one of these globs, whatever its capitals."""
    names = {hparam.lower(), _last_part(hparam)}
    return any(fnmatch.fnmatchcase(n, p.lower()) for p in patterns for n in names)


def _last_part(hparam: str) -> str:
    return re.split(r"[./]", hparam.lower())[-1]


def is_identifier(runs: pl.DataFrame, hparam: str) -> bool:
    """Whether a text hyperparameter names runs (an output folder): it cannot define a group.

    It does where each run has another, or where it is called a name or a folder and more than half of its values are single.
    """
    column = runs[hparam]
    if column.dtype != pl.Categorical or runs.height < _IDENTIFIER_RUNS:
        return False
    known = column.drop_nulls()
    if known.len() == runs.height == known.n_unique():
        return True
    called = _CALLED.search(hparam.lower()) is not None
    return called and known.len() >= _IDENTIFIER_RUNS and 2 * int(known.is_unique().sum()) > known.len()


def group_hparams(runs: pl.DataFrame, asked: Sequence[str], replicates: Sequence[str]) -> list[str]:
    """The hyperparameters that define groups: those asked for, else all that vary, replicates and identifiers aside.

    Of those that split the runs in the same way only the first is kept when nothing was asked: the others add no group.
    Raises UnknownNameError.
    """
    known = hparam_columns(runs)
    for name in asked:
        if name not in known:
            raise UnknownNameError.of(
                "hyperparameter",
                name,
                known,
                hint=f"find_varying_hparams shows those that vary; there are {len(known)}.",
            )
    if asked:
        return list(dict.fromkeys(asked))
    candidates = [n for n in two_valued(runs) if not is_replicate(runs, n, replicates) and not is_identifier(runs, n)]
    first_of_class = {names[0] for names in same_split(runs, candidates)}
    return [n for n in candidates if n in first_of_class]


def two_valued(runs: pl.DataFrame) -> list[str]:
    """Hyperparameters that vary among the runs that have them, None being a value: to be lacking makes no group by itself."""
    names = varying_hparams(runs)
    nulls = set(runs["null_hparams"].explode().drop_nulls().to_list())
    return [n for n in names if runs[n].drop_nulls().n_unique() + (n in nulls) > 1]


def same_split(runs: pl.DataFrame, hparams: Sequence[str]) -> list[list[str]]:
    """The hyperparameters in classes that split the runs in exactly the same way: within one they cannot be told apart."""
    if not hparams:
        return []
    row = "row number"
    table = keyed(runs, hparams).with_row_index(row)
    classes: dict[bytes, list[str]] = {}
    for name in hparams:
        firsts = table.select(pl.col(row).first().over(name)).to_series()
        classes.setdefault(firsts.to_numpy().tobytes(), []).append(name)
    return list(classes.values())
