"""The three things that a colleague would say next about a sweep, each with the call that shows it.

In order: runs that broke, settings that the logs contradict, a lead that is a tie or was never repeated, settings that were only
varied together, results that got worse after their best, settings that matter, runs that still go on. Only what applies is said.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

import polars as pl
from msgspec import Struct

from sweeplens.analyses.coverage import listed
from sweeplens.counting import count_of

__all__ = ["SweepFacts", "next_steps"]

_MOST = 3
_FEWEST_FOR_EFFECTS = 8
_WORSENED = ("overfit", "divergence")


class SweepFacts(Struct, frozen=True):
    """What the overview knows. ``best``: its table, the first metric first; ``rankings``: the ranking of each of its metrics;
    ``hparams``: those that vary, without replicates, with those confounded with each; ``findings``: of the diagnosis.
    """

    n_runs: int
    n_running: int
    best: pl.DataFrame
    rankings: Sequence[pl.DataFrame]
    hparams: Mapping[str, Sequence[str]]
    findings: pl.DataFrame
    of_the_setup: Sequence[str] = ()  # kinds of findings that settings and logs disagree
    studied: str = ""  # the hyperparameter that the sweep studies


def next_steps(facts: SweepFacts) -> list[str]:
    """Returns up to three sentences, each ending in a call."""
    found = (
        *_broken(facts),
        *_setup(facts),
        *_studied(facts),
        *_lead(facts),
        *_confounded(facts),
        *_worsened(facts),
        *_effects(facts),
        *_running(facts),
    )
    return [f"{sentence}: {call}" for sentence, call in found][:_MOST]


def _call(tool: str, **arguments: object) -> str:
    return f"{tool}({', '.join(f'{k}={json.dumps(v, ensure_ascii=False)}' for k, v in arguments.items())})"


def _broken(facts: SweepFacts) -> Iterator[tuple[str, str]]:
    grave = facts.findings.filter(pl.col("severity") == "high")
    ill = grave["run_id"].n_unique()
    if ill:
        kinds = listed(grave["finding"].unique(maintain_order=True).to_list())
        yield f"{count_of(ill, 'run')} broke ({kinds})", _call("diagnose_runs", where="health = 'broken'")


def _setup(facts: SweepFacts) -> Iterator[tuple[str, str]]:
    odd = facts.findings.filter(pl.col("finding").is_in(facts.of_the_setup) & (pl.col("severity") != "low"))
    if odd.height:
        yield (
            f"settings that the logs contradict, in {count_of(odd['run_id'].n_unique(), 'run')}",
            _call("diagnose_runs"),
        )


def _studied(facts: SweepFacts) -> Iterator[tuple[str, str]]:
    if facts.studied:
        yield f"what {facts.studied} changes, by task and level", _call("compare_runs", hparam=facts.studied)


def _lead(facts: SweepFacts) -> Iterator[tuple[str, str]]:
    """The best setting: never repeated, tied with others, or ahead."""
    if not facts.best.height or not facts.hparams:
        return
    first = facts.best.row(0, named=True)
    metric, tied = first["metric"], first["tied"]
    if tied is None:
        yield (
            f"no setting was repeated, so no lead in {metric} is sure; what to run",
            _call("suggest_runs", metric=metric),
        )
    elif tied:
        keys = _differing(facts)
        if keys == [facts.studied]:
            return
        if len(keys) == 1:
            yield (
                f"the two best in {metric} differ only in {keys[0]}",
                _call("compare_runs", hparam=keys[0], metrics=[metric]),
            )
        else:
            yield (
                f"{count_of(len(tied) + 1, 'setting')} tie in {metric}; what would decide",
                _call("suggest_runs", metric=metric),
            )


def _differing(facts: SweepFacts) -> list[str]:
    """Returns the hyperparameters in which the two best settings differ, where they tie."""
    ranking = facts.rankings[0]
    if ranking.height < 2 or "task" in ranking.columns or not ranking["tied"][1]:
        return []
    held = set(ranking.columns)
    return [k for k in facts.hparams if k in held and ranking[k][0] != ranking[k][1]]


def _confounded(facts: SweepFacts) -> Iterator[tuple[str, str]]:
    pair = next(((name, same) for name, same in facts.hparams.items() if same), None)
    if pair and facts.best.height:
        name, same = pair
        yield (
            f"{name} was only varied together with {listed(list(same))}, so which of them works is unknown",
            _call("suggest_runs", metric=facts.best["metric"][0]),
        )


def _worsened(facts: SweepFacts) -> Iterator[tuple[str, str]]:
    worse = facts.findings.filter(pl.col("finding").is_in(_WORSENED) & (pl.col("severity") != "low"))
    if worse.height:
        metric = worse["metric"].mode().sort()[0]
        yield (
            f"{count_of(worse['run_id'].n_unique(), 'run')} got worse after the best",
            _call("best_checkpoints", metric=metric),
        )


def _effects(facts: SweepFacts) -> Iterator[tuple[str, str]]:
    if not facts.best.height or facts.n_runs < _FEWEST_FOR_EFFECTS:
        return
    metric = facts.best["metric"][0]
    if list(facts.hparams) == [facts.studied]:
        pass
    elif len(facts.hparams) == 1:
        (name,) = facts.hparams
        yield f"what {name} changes", _call("compare_runs", hparam=name, metrics=[metric])
    elif facts.hparams:
        yield (
            f"which of {count_of(len(facts.hparams), 'hyperparameter')} matter",
            _call("hparam_effects", metric=metric),
        )
    if facts.hparams:
        yield "what the results cost", _call("run_costs", metric=metric)


def _running(facts: SweepFacts) -> Iterator[tuple[str, str]]:
    if facts.n_running:
        yield f"{count_of(facts.n_running, 'run')} still going", _call("whats_new")
