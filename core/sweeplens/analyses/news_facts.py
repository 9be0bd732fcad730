"""The facts that news is about, as a table, and which of them are new since a digest.

A fact is one event of one run: it exists, it ended like this, it has this finding. `news_facts` returns all facts of the runs,
`digest_of` their digest (32 sums of 24-bit hashes, one for each class of runs), `new_facts` those that are new since a digest:
see `news` for the accuracy. Hashes are computed on columns and must stay the same in all versions, because cursors hold them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from sweeplens.analyses.triage.candidates import DiagnosisOptions

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Hashes = NDArray[np.uint64]

__all__ = ["CLASSES", "ENDS", "MODULUS", "digest_of", "facts_after", "new_facts", "news_facts"]

CLASSES = 32
MODULUS = 1 << 24
ENDS = {"finished": "finished", "failed": "failed", "crashed": "failed", "killed": "failed"}
_MOST_TRIED = 60  # facts of one class that are tried in combinations
_LASTING = ("nan", "divergence", "overfit", "spike", "throughput", "stalled")
"""Findings that persist. Findings that depend on other runs come and go, and are not news."""
_PASSING = (("finished", "quiet"), ("failed", "quiet"), ("stalled", "stalled"), *(("problem", f) for f in _LASTING))
"""Event and key of facts that can end: a silent run resumes, a finding disappears."""
_TIME = pl.Datetime("us", "UTC")
_STEPS = pl.when(pl.col("n") == 1).then(pl.lit("step")).otherwise(pl.lit("steps"))
_FACT = {
    "event": pl.String(), "run_id": pl.String(), "key": pl.String(), "at": _TIME, "touched": _TIME, "metric": pl.String(),
    "step": pl.Int64(), "text": pl.String(), "alike": pl.String(),
}  # fmt: skip
"""``at``: its time; ``touched``: when the run last changed; ``alike``: the text of many such events."""


def news_facts(runs: pl.DataFrame, found: pl.DataFrame, options: DiagnosisOptions) -> pl.DataFrame:
    """Returns all current facts: the status of each run, and its lasting findings. ``found``: those of a diagnosis."""
    quiet = pl.duration(seconds=options.live_seconds)
    own = runs.select("run_id", "status", n="n_steps", at=pl.coalesce("created_at", "updated_at"), touched="updated_at")
    began = own.select(
        "run_id", "at", "touched", event=pl.lit("began"), key=pl.lit(""), alike=pl.lit("began"),
        text=pl.format("{}, {} {} so far", "status", "n", _STEPS),
    )  # fmt: skip
    ended = own.filter(pl.col("status").is_in(list(ENDS))).select(
        "run_id", "touched", event=pl.col("status").replace(ENDS), key="status", at="touched", alike="status",
        text=pl.format("{} after {} {}", "status", "n", _STEPS),
    )  # fmt: skip
    torn = pl.col("run_id").is_in(list(options.torn))
    words = (
        pl.when(torn)
        .then(pl.lit("broke off in the middle of a line, status unknown"))
        .otherwise(pl.lit("stopped logging, status unknown"))
    )
    past = pl.col("touched") + quiet <= pl.lit(options.now, _TIME)
    silent = own.filter((pl.col("status") == "unknown") & past).select(
        "run_id", "touched", event=pl.when(torn).then(pl.lit("failed")).otherwise(pl.lit("finished")),
        key=pl.lit("quiet"), at=pl.col("touched") + quiet, alike=words, text=pl.format("{}, after {} {}", words, "n", _STEPS),
    )  # fmt: skip
    parts = [began, ended, silent, _of_findings(own, found, quiet)]
    return pl.concat([pl.DataFrame(schema=_FACT), *map(_as_facts, parts)])


def _of_findings(own: pl.DataFrame, found: pl.DataFrame, quiet: pl.Expr) -> pl.DataFrame:
    """Returns the facts of findings that last."""
    grave = found.filter(pl.col("finding").is_in(_LASTING) & (pl.col("severity") != "low"))
    stalled = pl.col("finding") == "stalled"
    return grave.join(own.select("run_id", "touched"), on="run_id", maintain_order="left").select(
        "run_id", "touched", "metric", "step",
        event=pl.when(stalled).then(pl.lit("stalled")).otherwise(pl.lit("problem")), key="finding", alike="finding",
        at=pl.when(stalled).then(pl.col("touched") + quiet).otherwise("touched"),
        text=pl.when(stalled).then("evidence").otherwise(pl.format("{}: {}", "finding", "evidence")),
    )  # fmt: skip


def _as_facts(part: pl.DataFrame) -> pl.DataFrame:
    """Returns the columns of facts; no metric and no step where there are none."""
    if "metric" not in part.columns:
        part = part.with_columns(metric=pl.lit(""), step=pl.lit(None, pl.Int64))
    return part.select(pl.col(name).cast(dtype) for name, dtype in _FACT.items())


def digest_of(facts: pl.DataFrame) -> tuple[int, ...]:
    """Returns the sum of the facts' hashes in each class of runs."""
    sums = np.zeros(CLASSES, dtype=np.uint64)
    np.add.at(sums, _classes(facts["run_id"]), _fact_hashes(facts))
    return tuple((sums % MODULUS).tolist())


def facts_after(facts: pl.DataFrame, time: datetime) -> pl.DataFrame:
    """Returns the facts of a later time."""
    return facts.filter(pl.col("at") > time)


def new_facts(facts: pl.DataFrame, digest: Sequence[int], late: datetime) -> tuple[pl.DataFrame, int]:
    """Returns the facts that are new since a digest, and how many of them are uncertain; ``late``: newer facts are recent."""
    table = facts.with_columns(
        hash=pl.Series(_fact_hashes(facts)), of=pl.Series(_classes(facts["run_id"])),
        late=pl.max_horizontal("at", "touched") > late,
    )  # fmt: skip
    now, fresh, unsure = digest_of(facts), [table.head(0)], 0
    for index, old in enumerate(digest):
        grown = (now[index] - old) % MODULUS
        if not grown:
            continue
        mine = table.filter(pl.col("of") == index)
        recent = mine.filter("late")
        found = _explained(recent, grown) or (_explained(mine, grown, 2) if mine.height <= _MOST_TRIED else None)
        found = _with_ended(recent, grown) if found is None else found
        unsure += recent.height if found is None else 0
        fresh += [recent] if found is None else found
    return pl.concat(fresh).select(list(_FACT)), unsure


def _explained(candidates: pl.DataFrame, grown: int, most: int = 3) -> list[pl.DataFrame] | None:
    """Returns the facts whose hashes sum to the growth of a class: all of them, else the fewest."""
    hashes: list[int] = candidates["hash"].to_list()
    if candidates.height and sum(hashes) % MODULUS == grown:
        return [candidates]
    for size in range(1, most + 1 if len(hashes) <= _MOST_TRIED else 2):
        for chosen in combinations(range(len(hashes)), size):
            if sum(hashes[i] for i in chosen) % MODULUS == grown:
                return [candidates[list(chosen)]]
    return None


def _with_ended(recent: pl.DataFrame, grown: int) -> list[pl.DataFrame] | None:
    """Explains a change where one or two facts ended: a silent run resumed, a finding disappeared."""
    begun = recent.filter(pl.col("event") == "began")
    if begun.height > _MOST_TRIED:
        return None
    past = pl.concat([begun.head(0), *(begun.with_columns(event=pl.lit(e), key=pl.lit(k)) for e, k in _PASSING)])
    past = past.join(recent, on=["event", "run_id", "key"], how="anti").sort("run_id", maintain_order=True)
    past = past.with_columns(hash=pl.Series(_fact_hashes(past)))
    hashes: list[int] = past["hash"].to_list()
    for size, most in ((1, 2), (2, 1)):
        for over in combinations(range(len(hashes)), size) if len(hashes) <= _MOST_TRIED else ():
            rest = (grown + sum(hashes[i] for i in over)) % MODULUS
            found = _explained(recent, rest, most) if rest else []
            if found is not None:
                again = past[list(over)].filter(pl.col("event") != "problem")
                resumed = again.with_columns(
                    event=pl.lit("resumed"), text=pl.format("resumed: {}", "text"), alike=pl.lit("resumed")
                )
                return [*found, resumed]
    return None


def _fact_hashes(facts: pl.DataFrame) -> Hashes:
    """Returns the 24-bit hash of each fact."""
    text = facts.select(pl.concat_str("event", "run_id", "key", separator="\0")).to_series()
    return _hashes(text) % np.uint64(MODULUS)


def _classes(run_ids: pl.Series) -> NDArray[np.int64]:
    return (_hashes(run_ids) % np.uint64(CLASSES)).astype(np.int64)


def _hashes(texts: pl.Series) -> Hashes:
    """Returns a 64-bit hash of each text: a polynomial of its bytes (base 31-bit prime), mixed as MurmurHash3 does at its end."""
    sizes = texts.str.len_bytes().to_numpy().astype(np.int64) + 1  # an end mark, so that no text is empty
    if not len(sizes):
        return np.zeros(0, dtype=np.uint64)
    data = np.frombuffer(("\0".join(texts.to_list()) + "\0").encode(), dtype=np.uint8)
    starts = np.cumsum(sizes) - sizes
    powers = np.full(int(sizes.max()), 2_147_483_629, dtype=np.uint64)
    powers[0] = 1
    powers = np.multiply.accumulate(powers)
    place = np.arange(len(data), dtype=np.int64) - np.repeat(starts, sizes)
    mixed = np.add.reduceat((data.astype(np.uint64) + np.uint64(1)) * powers[place], starts)
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        mixed ^= mixed >> np.uint64(33)
        mixed *= np.uint64(factor)
    return mixed ^ (mixed >> np.uint64(33))
