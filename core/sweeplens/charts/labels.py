"""Names and numbers as a picture shows them: cleaned, cut, and distinct.

Names come from logs and are not trusted. In a specification they are only texts, never names of fields or parts of
expressions; control characters and characters that reorder text are escaped.
"""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Mapping, Sequence

from msgspec import Struct, field

from sweeplens.visible_text import visible

__all__ = [
    "DisplayNames",
    "distinct",
    "listed_names",
    "number",
    "printed",
    "run_labels",
    "short_labels",
    "short_names",
    "wrapped",
]

_NAMED = re.compile("(^|, )([^=,]+)=")
_MOST = 60
_PIXELS_A_CHARACTER = 0.58  # of the size of the font


class DisplayNames(Struct, frozen=True):
    """Display names of metrics and hyperparameters, from the configuration."""

    metrics: Mapping[str, str] = field(default_factory=dict[str, str])
    hparams: Mapping[str, str] = field(default_factory=dict[str, str])

    def metric(self, name: str) -> str:
        """Returns a metric's name for display."""
        return printed(self.metrics.get(name, name))

    def hparam(self, name: str) -> str:
        """Returns a hyperparameter's name for display."""
        return printed(self.hparams.get(name, name))


def printed(value: object, most: int = _MOST) -> str:
    """Returns any value as a short text on one line."""
    if value is None:
        return "not set"
    text = number(value) if isinstance(value, float) else str(value)
    cut = text if len(text) <= most else f"{text[: most - 1]}…"
    return visible(cut) or '""'


def number(value: float | None, digits: int = 4) -> str:
    """Returns a number with four significant digits."""
    if value is None:
        return "-"
    return f"{value:.{digits}g}" if math.isfinite(value) else str(value)


def short_names(names: Sequence[str]) -> list[str]:
    """Returns names without prefixes that they do not need: ``optim.lr`` is ``lr`` if no other name ends in ``lr``."""
    tails = [re.split(r"[./]", n)[-1] or n for n in names]
    return [t if tails.count(t) == 1 else n for t, n in zip(tails, names, strict=True)]


def distinct(labels: Sequence[str]) -> list[str]:
    """Returns the labels, made distinct by numbers."""
    seen: set[str] = set()
    numbered: list[str] = []
    for label in labels:
        fresh, count = label, 1
        while fresh in seen:
            count += 1
            fresh = f"{label} ({count})"
        seen.add(fresh)
        numbered.append(fresh)
    return numbered


def run_labels(runs: Sequence[str], most: int) -> list[str]:
    """Returns a distinct label for each run: without the folders that all share, and cut in the middle, because ends differ."""
    folders = [run.split("/")[:-1] for run in runs]
    shared = 0
    while len(runs) > 1 and all(len(f) > shared and f[shared] == folders[0][shared] for f in folders):
        shared += 1
    return distinct([_cut_in_the_middle("/".join(run.split("/")[shared:]), most) for run in runs])


def _cut_in_the_middle(text: str, most: int) -> str:
    if len(text) <= most:
        return printed(text, most)
    head = most // 2 - 1
    return printed(f"{text[:head]}…{text[len(text) - (most - head - 1) :]}", most)


class ShortLabels(Struct, frozen=True):
    """Labels like ``lr=0.1, width=2`` without the names, which ``names`` lists. ``expression``: shortens a label in Vega."""

    names: str
    labels: tuple[str, ...]
    expression: str = "replace(datum.label, regexp('(^|, )[^=,]+=', 'g'), '$1')"


def short_labels(labels: Sequence[str], most: int) -> ShortLabels | None:
    """Returns short labels if one is longer than ``most``; None if none is, or if the labels have different names."""
    names = {tuple(match[1] for match in _NAMED.findall(label)) for label in labels}
    if max(map(len, labels), default=0) <= most or len(names) != 1 or not min(names):
        return None
    return ShortLabels(", ".join(min(names)), tuple(_NAMED.sub(r"\1", label) for label in labels))


def listed_names(names: Sequence[str], most: int = 3) -> str:
    """Returns a few names, and the number of the others."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def wrapped(text: str, width: int, size: float = 12) -> list[str]:
    """Returns a text in lines that fit a width in pixels."""
    return textwrap.wrap(text, max(20, int(width / (size * _PIXELS_A_CHARACTER)))) or [""]
