"""All detectors, in the order of their findings. Each docstring is the detector's rule; numbers are in `config.Thresholds`."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sweeplens.analyses.triage.abnormal_losses import gradients, never_learned, runaway, zero_loss
from sweeplens.analyses.triage.case_splits import split_overlap
from sweeplens.analyses.triage.config_check import learning_rate, planned_length, samples_seen, schedule
from sweeplens.analyses.triage.context import DetectionContext, Finding
from sweeplens.analyses.triage.divergence import divergence
from sweeplens.analyses.triage.from_series import constant, crashed, ends_early, nan, rewind, short, stalled
from sweeplens.analyses.triage.level_shift import level_shift
from sweeplens.analyses.triage.misspelt import misspelt
from sweeplens.analyses.triage.other_scale import other_scale
from sweeplens.analyses.triage.overfitting import overfit
from sweeplens.analyses.triage.pace import throughput
from sweeplens.analyses.triage.plateaus import plateau
from sweeplens.analyses.triage.printed import printed_warning
from sweeplens.analyses.triage.rescored import rescored
from sweeplens.analyses.triage.restarts import restart
from sweeplens.analyses.triage.same_curves import multiples, never_applied, same_end
from sweeplens.analyses.triage.siblings import outlier
from sweeplens.analyses.triage.spikes import spike
from sweeplens.analyses.triage.split_check import same_split
from sweeplens.analyses.triage.warm_up import warm_up

__all__ = ["DETECTORS", "LASTING", "NEED_POINTS", "Detector"]

Detector = Callable[[DetectionContext], Iterator[Finding]]

DETECTORS: tuple[Detector, ...] = (
    nan,
    divergence,
    crashed,
    stalled,
    short,
    split_overlap,
    never_applied,
    multiples,
    rescored,
    other_scale,
    warm_up,
    learning_rate,
    schedule,
    planned_length,
    samples_seen,
    misspelt,
    printed_warning,
    never_learned,
    zero_loss,
    runaway,
    gradients,
    overfit,
    spike,
    throughput,
    level_shift,
    restart,
    outlier,
    ends_early,
    same_split,
    same_end,
    constant,
    rewind,
    plateau,
)

NEED_POINTS: tuple[Detector, ...] = (
    divergence, zero_loss, runaway, gradients, overfit, spike, throughput, level_shift, restart, plateau,
)  # fmt: skip
"""Detectors that need curves."""

LASTING: tuple[Detector, ...] = (nan, divergence, stalled, runaway, overfit, spike, throughput, level_shift)
"""Detectors of findings that are news because they do not depend on other runs, and of those that explain them."""
