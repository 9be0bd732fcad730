"""What an analysis returns: a frozen answer, which is a table, what a colleague would add in words, and its basis.

    Answer    the rows, further tables by name, notes in words, the basis
    LazyAnswer  an answer whose rows are made where somebody looks: how many there are is known before
    Basis     what the answer rests on: roots, data version, runs matched, used and left out, points, warnings
    LeftOut   a reason and the runs that were left out for it

An analysis fills what it knows of the basis (`runs_used`, `left_out`, `points`, `sampling`, `warnings`); `ExperimentDB`
adds roots, data version, the runs that matched and the Python line that gives the same answer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field
from msgspec.structs import replace

from sweeplens.display import answer_html, answer_line, flat
from sweeplens.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl

    from sweeplens.charts import Chart
_SHOWN = 100  # rows of a lazy answer in a notebook

__all__ = ["Answer", "Basis", "LazyAnswer", "LeftOut"]


class LeftOut(Struct, frozen=True):
    """Runs that an answer does not rest on, and why."""

    reason: str
    runs: tuple[str, ...]

    @property
    def n(self) -> int:
        """How many runs were left out for this reason."""
        return len(self.runs)


class Basis(Struct, frozen=True):
    """What an answer rests on."""

    roots: tuple[str, ...] = ()
    data_version: str = ""
    runs_matched: int = 0
    runs_used: int = 0
    left_out: tuple[LeftOut, ...] = ()
    points: int = 0
    sampling: str = ""
    warnings: tuple[str, ...] = ()
    python: str = ""

    def lines(self) -> list[str]:
        """The basis in words: runs used and left out, then each warning."""
        left = "".join(f"; left out: {one.n} ({one.reason})" for one in self.left_out)
        points = f", {self.points:,} points" if self.points else ""
        used = f"{self.runs_used} of {self.runs_matched} runs{points}{left}"
        return [used, *(f"warning: {warning}" for warning in self.warnings)]


class Answer(Struct, frozen=True):
    """A table with its basis. ``notes`` are sentences for people; ``tables`` are further tables by name.

    ``drawing`` draws it, from the very version of the data that it rests on; None where it has no picture.
    """

    table: pl.DataFrame
    basis: Basis = field(default_factory=Basis)
    notes: tuple[str, ...] = ()
    tables: dict[str, pl.DataFrame] = field(default_factory=dict[str, "pl.DataFrame"])
    drawing: Callable[..., Chart] | None = None

    def plot(self, **options: Any) -> Chart:
        """This answer as a picture; ``options`` as those of `ExperimentDB.plot`. Raises InputError where it has none."""
        if self.drawing is None:
            raise InputError("This answer has no picture: db.plot() draws what tells most about the runs.")
        return self.drawing(**options)

    def __repr__(self) -> str:
        used = (self.basis.runs_used, self.basis.runs_matched)
        return answer_line("Answer", self.table.height, self.table.columns, used, self.tables)

    def _repr_html_(self) -> str:
        return answer_html(self.notes, self.table, self.tables, self.basis.lines())

    def write_csv(self, file: str | Path) -> None:
        """Write the table as CSV; lists become JSON text.

        >>> db.list_runs().write_csv("runs.csv")  # doctest: +SKIP
        """
        flat(self.table).write_csv(file)

    def resting_on(self, **known: object) -> Answer:
        """The same answer with more of its basis filled in."""
        return replace(self, basis=replace(self.basis, **known))  # pyright: ignore[reportArgumentType]


class LazyAnswer(Struct, frozen=True):
    """An answer of ``height`` rows, each made when it is looked at: always of the version that the scroll began with.

    ``unroll(first, n)`` makes these rows, as an answer whose further tables tell of them alone. ``frames`` are what the scroll
    keeps for that, the points aside, which it shares with all who look at them.
    """

    columns: tuple[str, ...]
    height: int
    unroll: Callable[[int, int], Answer]
    basis: Basis = field(default_factory=Basis)
    frames: tuple[pl.DataFrame, ...] = ()

    def __repr__(self) -> str:
        used = (self.basis.runs_used, self.basis.runs_matched)
        return answer_line("LazyAnswer", self.height, self.columns, used, ())

    def _repr_html_(self) -> str:
        return self.part(0, _SHOWN)._repr_html_()  # pyright: ignore[reportPrivateUsage]

    def part(self, first: int, n: int) -> Answer:
        """``n`` rows from ``first`` on, or as many as there are, with the basis of the whole."""
        return replace(self.unroll(first, n), basis=self.basis)

    def whole(self) -> Answer:
        """All rows."""
        return self.part(0, self.height)

    def resting_on(self, **known: object) -> LazyAnswer:
        """The same scroll with more of its basis filled in."""
        return replace(self, basis=replace(self.basis, **known))  # pyright: ignore[reportArgumentType]


Scroll = LazyAnswer  # the name that version 0.1 gave it
