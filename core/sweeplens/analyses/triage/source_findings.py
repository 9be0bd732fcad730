"""Findings of the run that another run started from: a probe of a pretraining that was cut off, failed or diverged.

source_findings(runs, found)    one finding for each run whose source, or the source of that, did not end well
SOURCE                          its name
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import polars as pl

from sweeplens.analyses.triage.context import Finding
from sweeplens.frames.lineage import sources_of

__all__ = ["SOURCE", "source_findings"]

SOURCE = "source_run"
_ENDED_ILL = (
    "nan", "divergence", "crashed", "stalled", "ends_early", "config_length", "never_learned", "zero_loss", "runaway", "gradients",
)  # fmt: skip
"""Kinds of findings that make the checkpoint of a run doubtful, the most telling first."""
_LONGEST = 160  # characters of evidence


def source_findings(runs: pl.DataFrame, found: Iterable[Finding]) -> Iterator[Finding]:
    """Yields medium findings. ``found``: the findings of all runs and their sources."""
    sources = sources_of(runs)
    if not sources:
        return
    ill: dict[str, Finding] = {}
    for finding in found:
        if finding.severity != "low" and finding.finding in _ENDED_ILL:
            earlier = ill.get(finding.run_id)
            if earlier is None or _ENDED_ILL.index(finding.finding) < _ENDED_ILL.index(earlier.finding):
                ill[finding.run_id] = finding
    for run in sources:
        cause = next((ill[source] for source in _ancestors(run, sources) if source in ill), None)
        if cause is not None:
            nearest = cause.run_id in sources[run]
            began = "its source" if nearest else "a source of its source,"
            text = f"{began} {cause.run_id} has {cause.finding}: {_cut(cause.evidence)}"
            yield Finding(run, SOURCE, "medium", "", None, text)


def _ancestors(run: str, sources: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    """Yields the sources of a run, then their sources, each once; a circle ends where it closes."""
    seen, following = {run}, list(sources[run])
    while following:
        source = following.pop(0)
        if source not in seen:
            seen.add(source)
            yield source
            following += sources.get(source, ())


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
