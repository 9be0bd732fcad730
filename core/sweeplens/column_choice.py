"""Chooses the columns of a table that fit a width, by importance.

    chosen_columns(columns, room)   the positions of the columns to show, and whether their headers are folded

`NEEDED` columns are always shown: names, verdicts and their words. Headers are folded before a column is left out. Then `DETAILS`
are left out, in their order, and at last other columns, from the right.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from msgspec import Struct

__all__ = ["DETAILS", "GAP", "NEEDED", "ColumnWidth", "chosen_columns"]

GAP = 2
_LEAST = 12  # a column of words may be folded down to this width
_HEADER = 8  # and a header to this one
NEEDED = frozenset(
    "run_id metric hparam rank level event finding text evidence verdict difference tied mean status importance direction "
    "confounded_with same_as front best best_step worse_by reason why settings value last name topic".split()
)
DETAILS = tuple(
    "display_name excerpt other_test other_p seeds_low seeds_high correlation superiority p_disagree effect_size detectable iqm "
    "shrunk left_out noise evaluations stop_best n_logged rewinds last_finite_step first_nonfinite_step last_finite std sem "
    "unfinished updated_at n_shown log runs shared_cause n_nonfinite before p_adjusted seeds_needed test p gap importance_low "
    "importance_high n_steps first_step goal n_values n median min_step max_step stop_step at n_a n_b".split()
)  # the first one is left out first
_PAIRS = (
    ("ci95_low", "ci95_high"), ("importance_low", "importance_high"), ("seeds_low", "seeds_high"), ("mean_a", "mean_b"),
    ("n_a", "n_b"),
)  # fmt: skip


class ColumnWidth(Struct, frozen=True):
    """A column's name, the width of its widest cell, and whether it holds numbers, which cannot be folded."""

    name: str
    cells: int
    is_number: bool

    def header(self, *, is_folded: bool) -> str:
        """Returns the name; folded: on several lines, broken behind its separators, where it is wider than the cells."""
        lines = [""]
        for part in re.findall(r"[^._/ ]+[._/ ]*|[._/ ]+", self.name) if is_folded else [self.name]:
            if lines[-1] and len(lines[-1]) + len(part) > max(_HEADER, self.cells):
                lines.append("")
            lines[-1] += part
        return "\n".join(lines)

    def least(self, room: int, *, is_folded: bool) -> int:
        """Returns the width that the column needs at least."""
        header = max(map(len, self.header(is_folded=is_folded).split("\n")))
        return max(header, self.cells if self.is_number else min(self.cells, max(_LEAST, room // 4)))


def chosen_columns(columns: Sequence[ColumnWidth], room: int) -> tuple[list[int], bool]:
    """Returns the positions of the columns to show, in order, and whether their headers are folded."""
    for is_folded in (False, True):
        if _total(columns, range(len(columns)), room, is_folded=is_folded) <= room:
            return list(range(len(columns))), is_folded
    kept = list(range(len(columns)))
    for names in _leaving(columns):
        kept = [i for i in kept if columns[i].name not in names]
        if _total(columns, kept, room, is_folded=True) <= room:
            break
    return kept or [0], True


def _leaving(columns: Sequence[ColumnWidth]) -> list[tuple[str, ...]]:
    """Returns the columns that may be left out, the first to go first; the two of a pair go together."""
    details = {name: place for place, name in enumerate(DETAILS)}
    optional = [(i, column.name) for i, column in enumerate(columns) if column.name not in NEEDED]
    optional.sort(key=lambda of: (details.get(of[1], len(details)), -of[0]))
    return [next((pair for pair in _PAIRS if name in pair), (name,)) for _, name in optional]


def _total(columns: Sequence[ColumnWidth], kept: Sequence[int], room: int, *, is_folded: bool) -> int:
    return sum(columns[i].least(room, is_folded=is_folded) + GAP for i in kept) - GAP
