"""What stands behind an address now, small enough to be compared each second: addresses -> facts of runs.

    look(database, addresses, before)    read what is new on disk, and say what stands behind each address

An address below a run changes when that run does; every other one of ours when anything does.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Set
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import unquote

from msgspec import Struct, field

from sweeplens.errors import RootError

if TYPE_CHECKING:
    from sweeplens.experiment_db import ExperimentDB, View

__all__ = ["Fingerprints", "is_ours", "read_fingerprints"]

_OURS = "experiments://"
_RUNS = "experiments://runs/"
_NEVER = datetime.fromtimestamp(0, UTC)


class Fingerprints(Struct, frozen=True):
    """What stood there at one moment. ``runs`` and ``touched`` hold the runs that were asked for, as far as they exist."""

    whole: Hashable = None
    newest: datetime = _NEVER
    runs: Mapping[str, Hashable] = field(default_factory=dict[str, Hashable])
    touched: Mapping[str, datetime] = field(default_factory=dict[str, datetime])

    def facts(self, address: str) -> Hashable:
        """Equal as long as what stands behind the address is the same."""
        run = _run_of(address)
        return self.whole if run is None else self.runs.get(run)

    def changed_at(self, address: str) -> datetime:
        """When the files behind the address last changed."""
        run = _run_of(address)
        return self.newest if run is None else self.touched.get(run, _NEVER)


def is_ours(address: str) -> bool:
    """Whether a change on disk can change what stands behind the address."""
    return address.startswith(_OURS)


def read_fingerprints(database: ExperimentDB, addresses: Set[str], before: Fingerprints) -> Fingerprints:
    """Read what is new on disk and say what stands behind these addresses; ``before`` where nothing moved."""
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
    mine = stamped.filter(stamped["run_id"].is_in(list(ids)))
    newest = stamped["touched_at"].max()
    return Fingerprints(
        whole=whole,
        newest=newest if isinstance(newest, datetime) else _NEVER,
        runs=_facts(view, ids),
        touched=dict(zip(mine["run_id"], mine["touched_at"], strict=True)),
    )


def _facts(view: View, ids: Set[str]) -> dict[str, Hashable]:
    """A digest of all that is known of each run. What a run lacks is left out: columns come and go with other runs."""
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
    """The run that an address is about; None where it is about all of them."""
    if not address.startswith(_RUNS):
        return None
    return unquote(address.removeprefix(_RUNS).partition("/")[0].partition("?")[0])
