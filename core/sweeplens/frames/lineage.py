"""The settings of the run that another run started from, as hyperparameters of the latter: ``from.lr``, ``from.seed``.

    with_lineage(runs, links)   the runs frame with these columns; the same frame where no run starts from another
    sources_of                  run -> the run that it started from, of each of its settings

Only settings that vary among the sources are added. Where a run has two settings that lead to different runs (a teacher and a
first checkpoint), the prefix names the setting: ``from.teacher.lr``. The settings of the source's own source follow as
``from.from.lr``, up to three runs back; a circle ends where it closes. A configuration cannot hold such a name: `column_name`
writes ``hparam.from.lr`` for it.

The setting itself becomes ``from.<setting>`` where some runs have another text or None: ``a run``, or that text. Where different
checkpoints of one run were used, ``from.checkpoint`` tells them apart, as a number if that is the only difference.
``metadata.from.<setting>`` holds the id of the source.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import polars as pl

from sweeplens.frames.grouping import identifiers
from sweeplens.frames.many_columns import distinct_counts
from sweeplens.frames.schemas import FROM, SOURCE_RUN, hparam_columns

__all__ = ["sources_of", "with_lineage"]

_LONGEST_CHAIN = 3
_MOST_COLUMNS = 200  # of one source
_A_RUN = "a run"


def sources_of(runs: pl.DataFrame) -> dict[str, tuple[str, ...]]:
    """Returns for each run that started from others their ids."""
    columns = [c for c in runs.columns if c.startswith(SOURCE_RUN)]
    rows = runs.filter(pl.any_horizontal(pl.col(c).is_not_null() for c in columns)) if columns else runs.head(0)
    return {str(row[0]): tuple(dict.fromkeys(filter(None, row[1:]))) for row in rows.select("run_id", *columns).rows()}


def with_lineage(runs: pl.DataFrame, links: pl.DataFrame) -> pl.DataFrame:
    """Returns the runs with the settings of their sources, before the metadata. ``links``: of `source_runs.source_links`."""
    if not links.height:
        return runs
    by_setting = {str(name): table for (name,), table in links.group_by("setting", maintain_order=True)}
    added: list[pl.Series] = []
    for prefix, sources in _prefixes(by_setting).items():
        added += _of_sources(runs.drop(list(by_setting)), prefix, sources)
    for name, table in by_setting.items():
        added += _of_setting(runs, name, table)
    added += _checkpoints(runs, links)
    taken = {c.name: c for c in reversed(added)}
    found = [_by_run(runs, SOURCE_RUN + n, table, "source_run") for n, table in by_setting.items()]
    metadata = [c for c in runs.columns if c.startswith("metadata.")]
    hparams = list(reversed(taken.values()))
    made = runs.with_columns(*hparams, *found).select(
        pl.exclude(*metadata, *(f.name for f in found)), *metadata, *found
    )
    return _with_nulls(made, runs, hparams, by_setting)


def _by_run(runs: pl.DataFrame, name: str, table: pl.DataFrame, column: str) -> pl.Series:
    """Returns a column of a table by run, as one of all runs."""
    joined = runs.select("run_id").join(table.select("run_id", column), on="run_id", how="left", maintain_order="left")
    return joined[column].alias(name)


def _prefixes(by_setting: Mapping[str, pl.DataFrame]) -> dict[str, dict[str, str]]:
    """Returns prefix -> run -> source. Settings that lead one run to different sources have prefixes of their own."""
    every = pl.concat([t.select("setting", "run_id", "source_run") for t in by_setting.values()])
    torn = every.filter(pl.col("source_run").n_unique().over("run_id") > 1)["setting"].unique().to_list()
    found: dict[str, dict[str, str]] = {}
    for name, table in by_setting.items():
        prefix = f"{FROM}{name}." if name in torn else FROM
        found.setdefault(prefix, {}).update(table.select("run_id", "source_run").iter_rows())
    return found


def _of_sources(runs: pl.DataFrame, prefix: str, sources: Mapping[str, str]) -> list[pl.Series]:
    """Returns the settings of the sources, then of their own sources."""
    columns: list[pl.Series] = []
    chains = {run: [run, source] for run, source in sources.items()}
    for depth in range(1, _LONGEST_CHAIN + 1):
        ends = {run: chain[-1] for run, chain in chains.items()}
        columns += _settings(runs, prefix + FROM * (depth - 1), ends)
        longer = {run: [*chain, sources.get(chain[-1], "")] for run, chain in chains.items()}
        chains = {run: chain for run, chain in longer.items() if chain[-1] and chain[-1] not in chain[:-1]}
        if not chains:
            break
    return columns


def _settings(runs: pl.DataFrame, prefix: str, sources: Mapping[str, str]) -> list[pl.Series]:
    """Returns the settings that vary among these sources, as columns of the runs that started from them."""
    places = dict(zip(runs["run_id"].to_list(), range(runs.height), strict=True))
    mine = sorted({places[source] for source in sources.values()})
    own = runs[mine]
    names = [n for n in hparam_columns(own) if not own.schema[n].is_temporal()]  # the store's own times
    counts = distinct_counts([own[n] for n in names])
    several = [n for n, count in zip(names, counts, strict=True) if count > 1 or _null_in_some(own, n)]
    several = [n for n in several if n not in identifiers(own, several)][:_MOST_COLUMNS]
    rows = pl.Series([places[s] if (s := sources.get(run)) else None for run in places], dtype=pl.UInt32)
    return [runs[n].gather(rows).alias(prefix + n) for n in several]


def _null_in_some(own: pl.DataFrame, name: str) -> bool:
    """Whether some of these runs, not all, have None as the value of a hyperparameter."""
    return own["null_hparams"].list.contains(name).n_unique() > 1


def _of_setting(runs: pl.DataFrame, name: str, table: pl.DataFrame) -> list[pl.Series]:
    """Returns what a setting says beside the source: a run, or another text; nothing where all of its values lead to runs."""
    linked = runs["run_id"].is_in(table["run_id"].implode())
    text = runs[name].cast(pl.String)
    others = text.filter(~linked).drop_nulls()
    if not len(others) and not runs["null_hparams"].list.contains(name).any():
        return []
    shown = pl.DataFrame({"text": text, "linked": linked}).select(
        pl.when("linked").then(pl.lit(_A_RUN)).otherwise("text").cast(pl.Categorical).alias(FROM + name)
    )
    return [shown.to_series()]


def _checkpoints(runs: pl.DataFrame, links: pl.DataFrame) -> list[pl.Series]:
    """Returns the checkpoints of the sources, where several of one source were used."""
    several = links.group_by("source_run").agg(pl.col("checkpoint").n_unique())["checkpoint"].max()
    if not isinstance(several, int) or several < 2:
        return []
    first = links.unique("run_id", keep="first", maintain_order=True)
    return [_numbered(_by_run(runs, f"{FROM}checkpoint", first, "checkpoint"))]


def _numbered(texts: pl.Series) -> pl.Series:
    """Returns texts that differ in one number alone as this number; others as they are."""
    around = {re.sub(r"\d+", "#", text) for text in texts.drop_nulls().to_list()}
    if len(around) == 1 and next(iter(around)).count("#") == 1:
        return texts.str.extract(r"(\d{1,18})").cast(pl.Int64, strict=False)
    return texts.cast(pl.Categorical)


def _with_nulls(
    made: pl.DataFrame, runs: pl.DataFrame, hparams: Sequence[pl.Series], by_setting: Mapping[str, pl.DataFrame]
) -> pl.DataFrame:
    """Returns the frame with the added hyperparameters whose value is None among ``null_hparams``."""
    names = {c.name for c in hparams}
    nulls = dict(runs.select("run_id", "null_hparams").iter_rows())
    if not any(nulls.values()):
        return made
    listed: list[list[str]] = []
    for own in nulls.values():
        kept = [n for n in own if FROM + n in names and n in by_setting]
        listed.append([*own, *(FROM + n for n in kept)])
    for prefix, sources in _prefixes(by_setting).items():
        for at, run in enumerate(nulls):
            listed[at] += [prefix + n for n in nulls.get(sources.get(run, ""), ()) if prefix + n in names]
    return made.with_columns(pl.Series("null_hparams", listed, dtype=pl.List(pl.String)))
