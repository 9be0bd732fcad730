"""Finds settings in TensorBoard text: JSON (transformers), tables of two columns (CleanRL), lines of YAML.

A table is recognised by its header, other text by its tag, such as ``args``, ``config`` or ``hparams``.
"""

from __future__ import annotations

import io
import re

from sweeplens.errors import FormatError
from sweeplens.readers.decoding.protobuf import spans
from sweeplens.readers.decoding.settings_text import looks_like_settings, settings_in_text, value_in_text

__all__ = ["settings_of_text", "text_of"]

_STRINGS = 8  # of a TensorProto
_MOST_BYTES = 1 << 20
_TAG = re.compile(
    r"(?:^|[/_.-])(?:args|arguments|config|configuration|cfg|conf|h_?params|hyper[-_ ]?param(?:eter)?s|params|parameters|settings|"
    r"flags|options|opts?|namespace)(?:/text_summary)?(?:$|[/_.-]\d*$)",
    re.IGNORECASE,
)
_HEADER = re.compile(
    r"(?:hyper[-_ ]?)?(?:param(?:eter)?s?|args?|arguments?|keys?|names?|settings?|options?)", re.IGNORECASE
)
_MODEL = ("architectures", "model_type", "transformers_version")


def text_of(data: bytes, at: int, end: int) -> str:
    """Returns the first text of a tensor; "" where it holds none, or more text than settings have."""
    for number, kind, begin, stop in spans(data, at, end):
        if number == _STRINGS and kind == 2 and stop - begin <= _MOST_BYTES:
            return data[begin:stop].decode("utf-8", "replace")
    return ""


def settings_of_text(tag: str, text: str) -> dict[str, object]:
    """Returns the settings in a text; {} for other text."""
    rows = [line.strip().strip("|").split("|") for line in io.StringIO(text) if line.strip().startswith("|")]
    if len(rows) > 1 and len(rows[0]) == 2 and _HEADER.fullmatch(rows[0][0].strip()):
        return {name.strip(): value_in_text("|".join(rest).strip()) for name, *rest in rows[1:] if _is_name(name)}
    if not _TAG.search(tag) or not looks_like_settings("args.txt", text.encode()):
        return {}
    try:
        found = settings_in_text(text)
    except FormatError:
        return {}
    return {} if sum(key in found for key in _MODEL) > 1 else found


def _is_name(cell: str) -> bool:
    return bool(cell.strip(" -:*"))
