"""Text of logs that a person sees: what is invisible or controls the display is escaped, by this module alone.

visible(text)          every such character is written out (`\\x1b`, `\\u200b`, `\\n`)
visible_lines(text)    the same, but line breaks and tabs stay, for text that a page sets as lines
visible_json(text)     JSON in which such characters are JSON's own escapes, so it decodes to the same value
"""

from __future__ import annotations

import json
import re

__all__ = ["visible", "visible_json", "visible_lines"]

# Invisible characters, and characters that control the display: Unicode's default ignorable characters (zero-width and
# bidirectional marks, variation selectors, tags), controls, separators, spaces other than the usual and the ideographic
# one, private use, halves of surrogate pairs and noncharacters. So joined emoji and Persian text show their joiners.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\xa0\xad\u034f\u061c\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180f\u2000-\u200f\u2028-\u202f"
    "\u205f-\u206f\u2800\u3164\ud800-\uf8ff\ufdd0-\ufdef\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff"
    "\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d159\U0001d173-\U0001d17a\U000e0000-\U0010ffff"
    + "".join(f"{chr(plane + 0xFFFE)}{chr(plane + 0xFFFF)}" for plane in range(0x10000, 0xE0000, 0x10000))
    + "]"
)
_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_KEPT = frozenset("\n\t")


def visible(text: str) -> str:
    """Escapes every character that is invisible, controls a terminal or reorders a line."""
    return _UNSAFE.sub(_written_out, text)


def visible_lines(text: str) -> str:
    """Escapes as `visible` does; line breaks and tabs stay."""
    return _UNSAFE.sub(lambda match: match[0] if match[0] in _KEPT else _written_out(match), text)


def visible_json(text: str) -> str:
    """Escapes such characters inside of JSON text that has no line breaks."""
    return _UNSAFE.sub(_json_escape, text)


def _written_out(match: re.Match[str]) -> str:
    char = match.group()
    if ord(char) > 0xFFFF:
        return f"\\U{ord(char):08x}"
    return _NAMED.get(char) or (f"\\x{ord(char):02x}" if ord(char) < 256 else f"\\u{ord(char):04x}")


def _json_escape(match: re.Match[str]) -> str:
    return json.dumps(match.group())[1:-1] if match.group() != "\x7f" else "\\u007f"
