"""The name of a chart: what `plot` was asked, as text, so that any server over the same folders can draw it again.

chart_id(arguments)      the arguments of `plot` -> a name
arguments_of(name)       back again; whatever it holds is checked as arguments are
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping

import msgspec

from sweeplens.errors import InputError

__all__ = ["PlotArguments", "arguments_of", "chart_id"]

_LONGEST = 20_000  # characters, as of any argument


class PlotArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The arguments of the tool `plot`."""

    kind: str = ""
    metrics: tuple[str, ...] = ()
    hparams: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()
    where: str = ""
    x: str = ""
    group: str = ""
    smooth: float = 0.0
    log: str = ""
    a: str | tuple[str, ...] = ""
    b: str | tuple[str, ...] = ""


def chart_id(arguments: Mapping[str, object]) -> str:
    """The name of what these arguments ask for; empty where no client could pass it: too long, or no text."""
    try:
        asked = msgspec.json.encode(msgspec.convert(arguments, PlotArguments))
    except UnicodeEncodeError:  # half a character, as JSON can hold it
        return ""
    name = base64.urlsafe_b64encode(asked).decode().rstrip("=")
    return name if len(name) <= _LONGEST else ""


def arguments_of(name: str) -> PlotArguments:
    """What a name stands for. Raises InputError."""
    try:
        content = base64.b64decode(name + "=" * (-len(name) % 4), altchars=b"-_", validate=True)
        return msgspec.json.decode(content, type=PlotArguments)
    except (binascii.Error, ValueError, msgspec.DecodeError) as error:
        raise InputError(f"{name[:40]!r} is no chart_id: pass the one that plot gave, whole ({error}).") from error
