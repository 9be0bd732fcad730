"""What programs printed as warnings: each distinct message once, with the runs whose logs have it, and the settings that it names.

    printed_warnings(runs)         the messages, the most telling first
    ignored_notes(runs, names)     notes on hyperparameters that a program says it ignored
    printed_text(runs)             the most telling ones in a line of the overview

Messages that differ in numbers and paths only are one. Readers find them (`readers.text.warning_lines`).
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import cast

import polars as pl
from msgspec import Struct

from sweeplens.analyses.coverage import listed
from sweeplens.analyses.ignored_settings import names_by_word, settings_ignored_in
from sweeplens.frames.schemas import WARNINGS, hparam_columns
from sweeplens.readers.text.warning_lines import counted_warning, warning_shape

__all__ = ["PrintedWarning", "ignored_notes", "printed_text", "printed_warnings"]

_COLUMN = f"metadata.{WARNINGS}"
_TOLD = 3  # messages in the overview
_CHARACTERS = 150  # of a message there and in a note
_SPECIAL = re.compile(
    r"overlap|also (?:appear|occur|present)|duplicate|\bleak|(?:missing|unexpected) key|mismatch|newly initialized|not found|"
    r"non-?finite|\bnan\b|fall\w* back|empty",
    re.IGNORECASE,
)


class PrintedWarning(Struct, frozen=True):
    """A message: as one run printed it, the runs that did, how often one printed it at most, and settings that it calls ignored."""

    text: str
    runs: tuple[str, ...]
    most: int
    logs: int  # runs of which a printed log was read
    ignored: tuple[str, ...] = ()

    @property
    def counts(self) -> str:
        """Returns in how many logs it is."""
        n, total = len(self.runs), self.logs
        return f"{n:,} of {total:,} logs" if total > 1 else "the only log"


def printed_warnings(runs: pl.DataFrame) -> list[PrintedWarning]:
    """Returns each message once: first those that name an ignored setting or the data, then those that few runs printed."""
    logs, lines = _lines(runs)
    if lines is None:
        return []
    words = names_by_word(n for n in hparam_columns(runs) if runs[n].null_count() < runs.height)
    alike = lines.group_by(warning_shape(pl.col("text")).alias("shape"), maintain_order=True).agg(
        "run_id", "text", most=pl.col("n").max()
    )
    found = [
        PrintedWarning(texts[0], tuple(dict.fromkeys(ids)), most, logs, _ignored(texts, words))
        for ids, texts, most in alike.select("run_id", "text", "most").iter_rows()
    ]
    return sorted(found, key=_order)


def _order(warning: PrintedWarning) -> tuple[bool, bool, float, str]:
    return not warning.ignored, not _SPECIAL.search(warning.text), len(warning.runs) / warning.logs, warning.text


def _ignored(texts: Iterable[str], words: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for text in dict.fromkeys(texts) for name in settings_ignored_in(text, words)))


def _lines(runs: pl.DataFrame) -> tuple[int, pl.DataFrame | None]:
    """Returns the number of runs with a printed log, and run_id, text, n of each warning; None if there is none."""
    if _COLUMN not in runs.columns or runs[_COLUMN].dtype != pl.String:
        return 0, None
    alike = runs.drop_nulls(_COLUMN).group_by(_COLUMN, maintain_order=True).agg("run_id")
    logs, rows = 0, list[tuple[str, str, int]]()
    for value, ids in alike.iter_rows():
        warnings = _decoded(value)
        logs += len(ids) if warnings is not None else 0
        rows += [(run, *counted_warning(w)) for w in warnings or () for run in ids]
    schema = {"run_id": pl.String, "text": pl.String, "n": pl.Int64}
    return logs, pl.DataFrame(rows, schema=schema, orient="row").sort("run_id", maintain_order=True) if rows else None


def _decoded(value: str) -> list[str] | None:
    """Returns the warnings of a run; None if the value is metadata of the program under the same name."""
    try:
        warnings: object = json.loads(value)
    except ValueError:
        return None
    if not isinstance(warnings, list):
        return None
    return [w for w in cast("list[object]", warnings) if isinstance(w, str)]


def ignored_notes(runs: pl.DataFrame, names: Iterable[str]) -> tuple[str, ...]:
    """Returns a note for those of these hyperparameters that the program says it ignored."""
    asked = set(names)
    told: dict[str, list[PrintedWarning]] = defaultdict(list)
    for warning in printed_warnings(runs) if asked else ():
        for name in warning.ignored:
            told[name].append(warning)
    return tuple(_ignored_note(n, warnings) for n, warnings in told.items() if n in asked)


def _ignored_note(name: str, warnings: Sequence[PrintedWarning]) -> str:
    n = len({run for w in warnings for run in w.runs})
    first = warnings[0]
    counts = f"{n:,} of {first.logs:,} logs" if first.logs > 1 else first.counts
    return f'{name} was ignored by the program according to {counts}: "{_short(first.text)}".'


def printed_text(runs: pl.DataFrame) -> str:
    """Returns the most telling warnings with their counts."""
    return listed(list(_told(printed_warnings(runs))), _TOLD)


def _told(warnings: Iterable[PrintedWarning]) -> Iterator[str]:
    for w in warnings:
        ignored = f"; not applied: {listed(w.ignored)}" if w.ignored else ""
        yield f'"{_short(w.text)}" ({w.counts}{ignored})'


def _short(text: str) -> str:
    return text if len(text) <= _CHARACTERS else f"{text[: _CHARACTERS - 3]}..."
