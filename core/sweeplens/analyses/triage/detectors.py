"""All detectors, in the order in which their findings stand. Each docstring is its rule; numbers are in `config.Thresholds`."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sweeplens.analyses.triage.context import DetectionContext, Finding
from sweeplens.analyses.triage.from_points import divergence, overfit, spike, throughput
from sweeplens.analyses.triage.from_series import constant, crashed, ends_early, nan, plateau, rewind, short, stalled
from sweeplens.analyses.triage.siblings import outlier

__all__ = ["DETECTORS", "NEED_POINTS", "Detector"]

Detector = Callable[[DetectionContext], Iterator[Finding]]

DETECTORS: tuple[Detector, ...] = (
    nan,
    divergence,
    crashed,
    stalled,
    short,
    overfit,
    spike,
    throughput,
    outlier,
    ends_early,
    constant,
    rewind,
    plateau,
)

NEED_POINTS: tuple[Detector, ...] = (divergence, overfit, spike, throughput)
"""Those that find nothing without curves."""
