"""Recognises tables that sweeplens wrote (`sweeplens ls -o runs.csv`, ``db.runs_df.write_csv``): answers are no logs."""

from __future__ import annotations

__all__ = ["is_own_table"]

_OWN = tuple(
    frozenset(names.split())
    for names in (
        "run_id status n_steps updated_at",  # list_runs, runs_df
        "run_id metric step value wall_time seq",  # points
        "run_id metric n n_logged first_step last_step",  # series_df
        "metric n_runs n_points first_step last_step",  # list_metrics
        "mean ci95_low ci95_high",  # summaries, rankings, comparisons
        "run_id finding severity evidence",  # diagnose_runs
        "hparam importance direction",  # hparam_effects
        "hparam n_values values n_missing",  # find_varying_hparams
    )
)


def is_own_table(head: bytes) -> bool:
    """Returns whether the header is that of an answer. ``head``: the beginning of a file."""
    line = head.partition(b"\n")[0].decode("utf-8", "replace").removeprefix("\ufeff")
    names = {name.strip().strip('"') for name in line.split(",")}
    return any(own <= names for own in _OWN)
