"""Frozen answers of analyses: a table, notes and the basis.

    Answer      the rows, further tables by name, notes as sentences, the basis
    LazyAnswer  an answer whose rows are computed page by page; their number is known before
    Basis       the data behind an answer: roots, data version, runs matched, used and left out, points, warnings
    LeftOut     a reason and the runs that were left out for it
    reworded    an answer with its sentences in other words

An analysis fills its part of the basis (`runs_used`, `left_out`, `points`, `sampling`, `warnings`); `ExperimentDB`
adds roots, data version, the runs that matched and the Python line that returns the same answer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Unpack

from msgspec import Struct, field
from msgspec.structs import replace

from sweeplens.counting import count_of, share_of
from sweeplens.display import answer_html, answer_line, answer_text, flat
from sweeplens.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
    import polars as pl

    from sweeplens.charts import Chart
    from sweeplens.charts.request import PlotKeywords
_SHOWN = 100  # rows of a lazy answer in a notebook

__all__ = ["Answer", "Basis", "LazyAnswer", "LeftOut", "reworded"]


class LeftOut(Struct, frozen=True):
    """Runs that an answer does not use, and why."""

    reason: str
    runs: tuple[str, ...]

    @property
    def n(self) -> int:
        """Returns the number of runs left out for this reason."""
        return len(self.runs)


class Basis(Struct, frozen=True):
    """The data behind an answer."""

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
        points = f", {count_of(self.points, 'point')}" if self.points else ""
        used = f"{share_of(self.runs_used, self.runs_matched, 'run')}{points}{left}"
        return [used, *(f"warning: {warning}" for warning in self.warnings)]


class Answer(Struct, frozen=True):
    """A table with its basis. ``notes`` are sentences for the user; ``tables`` are further tables by name.

    ``drawing`` draws it from the same version of the data; None if it has no chart.
    """

    table: pl.DataFrame
    basis: Basis = field(default_factory=Basis)
    notes: tuple[str, ...] = ()
    tables: dict[str, pl.DataFrame] = field(default_factory=dict[str, "pl.DataFrame"])
    drawing: Callable[..., Chart] | None = None

    def plot(self, **options: Unpack[PlotKeywords]) -> Chart:
        """Returns this answer as a chart; ``options`` are those of `ExperimentDB.plot`. Raises InputError if it has none."""
        if self.drawing is None:
            raise InputError("This answer has no picture: db.plot() draws the most informative chart of the runs.")
        return self.drawing(**options)

    def __repr__(self) -> str:
        used = (self.basis.runs_used, self.basis.runs_matched)
        return answer_line("Answer", self.table.height, self.table.columns, used, self.tables)

    def __str__(self) -> str:
        return answer_text(self.notes, self.table, self.tables, self.basis.lines())

    def _repr_html_(self) -> str:
        return answer_html(self.notes, self.table, self.tables, self.basis.lines())

    def write_csv(self, file: str | Path) -> None:
        """Write the table as CSV; lists become JSON text.

        >>> db.list_runs().write_csv("runs.csv")  # doctest: +SKIP
        """
        flat(self.table).write_csv(file)

    def to_pandas(self) -> pd.DataFrame:
        """Return the table as a pandas frame. Raises MissingExtraError without the extra `pandas`.

        >>> db.rank("val/acc").to_pandas()  # doctest: +SKIP
        """
        from sweeplens.pandas_frame import to_pandas

        return to_pandas(self.table)

    def resting_on(self, **known: object) -> Answer:
        """Returns the answer with more of its basis filled in."""
        return replace(self, basis=replace(self.basis, **known))  # pyright: ignore[reportArgumentType]


class LazyAnswer(Struct, frozen=True):
    """An answer of ``height`` rows, computed page by page, always from the version of the data at its creation.

    ``unroll(first, n)`` computes these rows, as an answer whose further tables cover them alone. ``frames`` are the data
    kept for that, without the points, which all answers of a version share.
    """

    columns: tuple[str, ...]
    height: int
    unroll: Callable[[int, int], Answer]
    basis: Basis = field(default_factory=Basis)
    frames: tuple[pl.DataFrame, ...] = ()
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        used = (self.basis.runs_used, self.basis.runs_matched)
        return answer_line("LazyAnswer", self.height, self.columns, used, ())

    def __str__(self) -> str:
        return str(self.part(0, _SHOWN))

    def _repr_html_(self) -> str:
        return self.part(0, _SHOWN)._repr_html_()  # pyright: ignore[reportPrivateUsage]

    def part(self, first: int, n: int) -> Answer:
        """Returns up to ``n`` rows from ``first`` on, with the basis and the notes of the whole."""
        return replace(self.unroll(first, n), basis=self.basis, notes=self.notes)

    def whole(self) -> Answer:
        """Returns all rows."""
        return self.part(0, self.height)

    def resting_on(self, **known: object) -> LazyAnswer:
        """Returns the answer with more of its basis filled in."""
        return replace(self, basis=replace(self.basis, **known))  # pyright: ignore[reportArgumentType]


Scroll = LazyAnswer  # its name in version 0.1


def reworded(answer: Answer, words: Callable[[str], str]) -> Answer:
    """Returns the answer with its notes, warnings and sentences in other words, such as calls as commands."""
    table = answer.table
    if table.columns == ["topic", "text"]:
        import polars as pl

        texts = [text if text is None else words(text) for text in table["text"].to_list()]
        table = table.with_columns(text=pl.Series(texts, dtype=pl.String))
    warnings = tuple(map(words, answer.basis.warnings))
    basis = replace(answer.basis, warnings=warnings)
    return replace(answer, table=table, notes=tuple(map(words, answer.notes)), basis=basis)
