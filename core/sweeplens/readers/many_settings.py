"""Bounds the hyperparameters of one run: of too many, the largest groups (such as ``id2label``) are left out.

Each hyperparameter is a column of the runs table, so a file of a few megabytes could slow every question about the folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import cast

from sweeplens import source_limits

__all__ = ["bounded_settings"]


def bounded_settings(settings: Mapping[str, object]) -> tuple[Mapping[str, object], str]:
    """Returns the settings that are kept, the same object if that is all, and a sentence about those left out."""
    most = source_limits.MAX_SETTINGS
    total = _count(settings)
    if total <= most:
        return settings, ""
    left_out = _largest_groups(settings, total - most)
    rest = {key: value for key, value in settings.items() if key not in left_out}
    kept = dict(islice(rest.items(), most))
    told = [f"the {size:,} values of {group!r}" for group, size in left_out.items()][:3]
    told += [f"{len(rest) - len(kept):,} others"] if len(rest) > len(kept) else []
    return kept, f"{total:,} hyperparameters, more than {most:,}: {' and '.join(told)} are left out"


def _largest_groups(settings: Mapping[str, object], excess: int) -> dict[str, int]:
    """Returns the largest nested settings whose absence saves as many values, with their sizes."""
    sizes = {key: size for key, value in settings.items() if (size := _values(value)) > 1}
    found: dict[str, int] = {}
    for group in sorted(sizes, key=sizes.__getitem__, reverse=True):
        if sum(found.values()) >= excess:
            break
        found[group] = sizes[group]
    return found


def _count(settings: Mapping[str, object]) -> int:
    return sum(map(_values, settings.values()))


def _values(value: object) -> int:
    return _count(cast("Mapping[str, object]", value)) if isinstance(value, Mapping) else 1
