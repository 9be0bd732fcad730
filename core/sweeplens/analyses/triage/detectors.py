"""All detectors, in the order in which their findings stand. Each docstring is its rule; numbers are in `config.Thresholds`."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sweeplens.analyses.triage.abnormal_losses import gradients, never_learned, runaway, zero_loss
from sweeplens.analyses.triage.context import DetectionContext, Finding
from sweeplens.analyses.triage.divergence import divergence
from sweeplens.analyses.triage.from_series import constant, crashed, ends_early, nan, rewind, short, stalled
from sweeplens.analyses.triage.level_shift import level_shift
from sweeplens.analyses.triage.overfitting import overfit
from sweeplens.analyses.triage.pace import throughput
from sweeplens.analyses.triage.plateaus import plateau
from sweeplens.analyses.triage.siblings import outlier
from sweeplens.analyses.triage.spikes import spike

__all__ = ["DETECTORS", "NEED_POINTS", "Detector"]

Detector = Callable[[DetectionContext], Iterator[Finding]]

DETECTORS: tuple[Detector, ...] = (
    nan,
    divergence,
    crashed,
    stalled,
    short,
    never_learned,
    zero_loss,
    runaway,
    gradients,
    overfit,
    spike,
    throughput,
    level_shift,
    outlier,
    ends_early,
    constant,
    rewind,
    plateau,
)

NEED_POINTS: tuple[Detector, ...] = (
    divergence, zero_loss, runaway, gradients, overfit, spike, throughput, level_shift, plateau,
)  # fmt: skip
"""Those that find nothing without curves."""
