"""The ``config.yaml`` of W&B and trackers like it: each value stands in ``{desc, value}``.

    is_wrapped(config)    whether all values do
    unwrapped(config)     the values themselves

Such a file is left beside a log that another program wrote, when the tracker's own record is lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

__all__ = ["is_wrapped", "unwrapped"]

_INTERNAL = frozenset({"_wandb", "wandb_version"})
_KEYS = frozenset({"desc", "value", "sort"})


def is_wrapped(config: Mapping[str, object]) -> bool:
    """Whether each value of a config, except internal ones, is ``{desc, value}``."""
    own = [value for key, value in config.items() if key not in _INTERNAL]
    return bool(own) and all(map(_is_entry, own))


def unwrapped(config: Mapping[str, object]) -> dict[str, object]:
    """Returns a tracker's config without internal keys; ``{desc, value}`` becomes the value."""
    own = {str(key): value for key, value in config.items() if key not in _INTERNAL}
    return {
        key: cast("Mapping[str, object]", value)["value"] if _is_entry(value) else value for key, value in own.items()
    }


def _is_entry(value: object) -> bool:
    return isinstance(value, dict) and "value" in value and cast("dict[str, object]", value).keys() <= _KEYS
