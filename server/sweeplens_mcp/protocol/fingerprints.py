"""Fingerprints of resources, cheap enough to compare every second, to find out which ones changed.

    read_fingerprints(database, addresses, before)    reads new data and returns a fingerprint for each address

A resource of one run changes when that run changes; every other resource changes with any run.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Set
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import unquote

from msgspec import Struct, field

from sweeplens.errors import RootError
from sweeplens.plain_data import plain_text

if TYPE_CHECKING:
    from sweeplens.experiment_db import ExperimentDB, View

__all__ = ["Fingerprints", "is_ours", "read_fingerprints"]

_OURS = "experiments://"
_RUNS = "experiments://runs/"
_NEVER = datetime.fromtimestamp(0, UTC)


class Fingerprints(Struct, frozen=True):
    """Fingerprints at one moment. ``runs`` and ``touched`` hold those requested runs that exist."""

    whole: Hashable = None
    newest: datetime = _NEVER
    runs: Mapping[str, Hashable] = field(default_factory=dict[str, Hashable])
    touched: Mapping[str, datetime] = field(default_factory=dict[str, datetime])

    def facts(self, address: str) -> Hashable:
        """The fingerprint of an address; equal as long as its content is the same."""
        run = _run_of(address)
        return self.whole if run is None else self.runs.get(run)

    def changed_at(self, address: str) -> datetime:
        """When the files behind the address last changed."""
        run = _run_of(address)
        return self.newest if run is None else self.touched.get(run, _NEVER)


def is_ours(address: str) -> bool:
    """Whether an address is one of our resources, whose content can change."""
    return address.startswith(_OURS)


def read_fingerprints(database: ExperimentDB, addresses: Set[str], before: Fingerprints) -> Fingerprints:
    """Reads new data and returns the fingerprints of these addresses; ``before`` if nothing changed."""
    try:
        database.load_experiments()
        view = database.view()
    except RootError:
        return Fingerprints()
    whole = (view.snapshot.version, hash(tuple(view.runs["status"])))
    ids = {run for address in addresses if (run := _run_of(address)) is not None}
    if whole == before.whole and ids <= before.touched.keys():
        return before
    stamped = view.snapshot.runs
    asked = stamped.filter(stamped["run_id"].is_in(list(ids)))
    newest = stamped["touched_at"].max()
    return Fingerprints(
        whole=whole,
        newest=newest if isinstance(newest, datetime) else _NEVER,
        runs=_facts(view, ids),
        touched=dict(zip(asked["run_id"], asked["touched_at"], strict=True)),
    )


def _facts(view: View, ids: Set[str]) -> dict[str, Hashable]:
    """A hash of all data of each run. Missing values are not hashed: other runs add and remove columns."""
    series: dict[str, list[tuple[object, ...]]] = {}
    for row in view.series.filter(view.series["run_id"].is_in(list(ids))).iter_rows():
        series.setdefault(row[0], []).append(row)
    problems: dict[str, int] = {}
    for problem in view.problems:
        problems[problem.run_id] = problems.get(problem.run_id, 0) + 1
    return {
        row["run_id"]: hash((_held(row), repr(series.get(row["run_id"])), problems.get(row["run_id"])))
        for row in view.runs.filter(view.runs["run_id"].is_in(list(ids))).iter_rows(named=True)
    }


def _held(row: Mapping[str, object]) -> str:
    return repr([(name, value) for name, value in row.items() if value is not None])


def _run_of(address: str) -> str | None:
    """The run of an address; None for an address of all runs."""
    if not address.startswith(_RUNS):
        return None
    return plain_text(unquote(address.removeprefix(_RUNS).partition("/")[0].partition("?")[0]))
