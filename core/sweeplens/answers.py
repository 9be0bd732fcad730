"""What an analysis returns: a frozen answer, which is a table, what a colleague would add in words, and its basis.

    Answer    the rows, further tables by name, notes in words, the basis
    Basis     what the answer rests on: roots, data version, runs matched, used and left out, points, warnings
    LeftOut   a reason and the runs that were left out for it

An analysis fills what it knows of the basis (`runs_used`, `left_out`, `points`, `sampling`, `warnings`); `ExperimentDB`
adds roots, data version, the runs that matched and the Python line that gives the same answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct, field
from msgspec.structs import replace

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Answer", "Basis", "LeftOut"]


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


class Answer(Struct, frozen=True):
    """A table with its basis. ``notes`` are sentences for people; ``tables`` are further tables by name."""

    table: pl.DataFrame
    basis: Basis = field(default_factory=Basis)
    notes: tuple[str, ...] = ()
    tables: dict[str, pl.DataFrame] = field(default_factory=dict[str, "pl.DataFrame"])

    def resting_on(self, **known: object) -> Answer:
        """The same answer with more of its basis filled in."""
        return replace(self, basis=replace(self.basis, **known))  # pyright: ignore[reportArgumentType]
