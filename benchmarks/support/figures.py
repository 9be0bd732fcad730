"""Figures as the section of `benchmarks/README.md` that they belong to: a table with target and whether it is met."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

__all__ = ["Figure", "print_section", "seconds"]


@dataclass(frozen=True, slots=True)
class Figure:
    """A number with its unit; ``most`` or ``least`` is the target, None where there is none."""

    what: str
    value: float
    unit: str = "s"
    most: float | None = None
    least: float | None = None

    @property
    def row(self) -> str:
        """A line of the table."""
        target = "| |"
        if self.most is not None:
            target = f"{self.most:g} {self.unit} | {_met(self.value <= self.most)} |"
        elif self.least is not None:
            target = f"at least {self.least:g} {self.unit} | {_met(self.value >= self.least)} |"
        digits = ".2f" if self.unit else ",.0f"
        return f"| {self.what} | {self.value:{digits}} {self.unit}".rstrip() + f" | {target}"


def _met(yes: bool) -> str:
    return "yes" if yes else "**no**"


def print_section(title: str, command: str, figures: Sequence[Figure], *, about: str = "") -> None:
    """The section, ready to be pasted."""
    print(f"## {title}\n\n`{command}`{f': {about}' if about else ''}\n")
    print("| what | measured | target | met |\n|---|---|---|---|")
    print("\n".join(figure.row for figure in figures))


def seconds(work: Callable[[], object], times: int = 5) -> float:
    """The median over some calls, once warm."""
    work()
    taken: list[float] = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)
