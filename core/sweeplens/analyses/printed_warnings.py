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

import polars as pl
from msgspec import Struct

from sweeplens.analyses.coverage import listed
from sweeplens.analyses.ignored_settings import MAY_IGNORE, names_by_word, settings_ignored_in
from sweeplens.frames.schemas import WARNINGS, hparam_columns
from sweeplens.readers.text.warning_lines import COUNT, warning_shape

__all__ = ["PrintedWarning", "ignored_notes", "printed_text", "printed_warnings"]

_COLUMN = f"metadata.{WARNINGS}"
_TOLD = 3  # messages in the overview
_EXAMINED = 20  # messages of a kind in which names of settings are searched
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
    logs = _logs(runs)
    return _messages(runs, logs, logs.height)


def _messages(runs: pl.DataFrame, logs: pl.DataFrame, total: int) -> list[PrintedWarning]:
    """Returns the messages in these of ``total`` logs."""
    lines = _lines(logs)
    if not lines.height:
        return []
    words = names_by_word(n for n in hparam_columns(runs) if runs[n].null_count() < runs.height)
    alike = lines.group_by(warning_shape(pl.col("text")).alias("shape"), maintain_order=True).agg(
        pl.col("run_id").unique(maintain_order=True),
        pl.col("text").unique(maintain_order=True).head(_EXAMINED),
        most=pl.col("n").max(),
    )
    found = [
        PrintedWarning(texts[0], tuple(ids), most, total, _ignored(texts, words))
        for ids, texts, most in alike.select("run_id", "text", "most").iter_rows()
    ]
    return sorted(found, key=_order)


def _order(warning: PrintedWarning) -> tuple[bool, bool, float, str]:
    return not warning.ignored, not _SPECIAL.search(warning.text), len(warning.runs) / warning.logs, warning.text


def _ignored(texts: Iterable[str], words: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for text in texts for name in settings_ignored_in(text, words)))


def _logs(runs: pl.DataFrame) -> pl.DataFrame:
    """Returns run_id, value of the runs of which a printed log was read; metadata of the program under the same name is none."""
    if _COLUMN not in runs.columns or runs[_COLUMN].dtype != pl.String:
        return pl.DataFrame(schema={"run_id": pl.String, "value": pl.String})
    value = pl.col(_COLUMN)
    of_logs = (value == "[]") | (value.str.starts_with('["') & value.str.ends_with('"]'))
    return runs.filter(of_logs).select("run_id", value=value).sort("run_id")


def _lines(logs: pl.DataFrame) -> pl.DataFrame:
    """Returns run_id, text, n of each warning, in the order of the runs."""
    alike = logs.filter(pl.col("value") != "[]").group_by("value", maintain_order=True).agg("run_id")
    texts = pl.Series("text", [_decoded(v) for v in alike["value"]], dtype=pl.List(pl.String))
    rows = alike.select("run_id", texts).explode("text").explode("run_id").drop_nulls()
    text = pl.col("text")
    count = text.str.extract(rf"{COUNT}$").cast(pl.Int64, strict=False).fill_null(1)
    return rows.select("run_id", text.str.replace(rf"{COUNT}$", ""), n=count).sort("run_id", maintain_order=True)


def _decoded(value: str) -> list[str]:
    try:
        return [w for w in json.loads(value) if isinstance(w, str)]
    except ValueError:
        return []


def ignored_notes(runs: pl.DataFrame, names: Iterable[str]) -> tuple[str, ...]:
    """Returns a note for those of these hyperparameters that the program says it ignored."""
    asked = set(names)
    logs = _logs(runs) if asked else _logs(runs.clear())
    likely = logs.filter(pl.col("value").str.contains(MAY_IGNORE))
    told: dict[str, list[PrintedWarning]] = defaultdict(list)
    for warning in _messages(runs, likely, logs.height):
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
