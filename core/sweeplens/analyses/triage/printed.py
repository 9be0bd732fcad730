"""Finds warnings that programs printed, and that no metric shows: one finding for each message, whatever the number of runs."""

from __future__ import annotations

from collections.abc import Iterator

from sweeplens.analyses.coverage import listed
from sweeplens.analyses.printed_warnings import PrintedWarning, printed_warnings
from sweeplens.analyses.triage.context import DetectionContext, Finding

__all__ = ["PRINTED", "printed_warning"]

PRINTED = "printed_warning"
"""A finding of one message in several runs: it stands in the row of the first of them, and no run is ill because of it."""
_MOST = 20  # messages


def printed_warning(context: DetectionContext) -> Iterator[Finding]:
    """medium: some of the runs with a printed log warn, or a setting is called ignored; low: all of them warn. One row each."""
    for warning in printed_warnings(context.runs)[:_MOST]:
        everywhere = len(warning.runs) == warning.logs
        severity = "low" if everywhere and not warning.ignored else "medium"
        text = _evidence(warning, everywhere=everywhere)
        yield Finding(warning.runs[0], PRINTED, severity, "", None, text, warning.runs)


def _evidence(warning: PrintedWarning, *, everywhere: bool) -> str:
    setting = f"setting not applied: {listed(warning.ignored)}; " if warning.ignored else ""
    runs = "" if everywhere else f" ({listed(warning.runs)})"
    times = f", up to {warning.most:,} times in one" if warning.most > 1 else ""
    return f'{setting}printed in {warning.counts}{runs}{times}: "{warning.text}"'
