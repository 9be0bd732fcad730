"""Tells whether a sample of a file is from the log of a training.

parsed_log(name, sample)   -> the parsed rows of such a sample; None for other text
is_text_log(name, sample)  -> whether it is one
"""

from __future__ import annotations

import re
from typing import cast

from sweeplens.readers.text.blocks import block_of, shapes_of
from sweeplens.readers.text.evidence import is_training_log
from sweeplens.readers.text.lines import bare_shape, cleaned
from sweeplens.readers.text.parse import ParsedLogText, TextParser
from sweeplens.readers.text.templates import may_be_row

__all__ = ["is_text_log", "parsed_log"]

_MAY_BE = re.compile(
    rb"(?i)epoch|step|iter|itr|updat|batch|episode|round|generation|loss|acc|score|error|reward|\bep\b|cost|\d ?/ ?\d"
    rb"|^[ \t]*\d.*\d", re.MULTILINE
)  # fmt: skip
_JSON = re.compile(rb"(?:\xef\xbb\xbf)?\s*[\[{]")
_OF_JSON = re.compile(rb"^[ \t]*[\"\[\]{}]", re.MULTILINE)
_CODE = re.compile(
    r"\s*(?:def \w+\(|class \w+[(:]|from [\w.]+ import |return\b|self\.\w+|#include|@\w+\b|if .+:$|for .+:$)"
)
_LEAST_CODE = 4


def is_text_log(name: str, sample: bytes) -> bool:
    """Whether a sample of a file is from a training log."""
    return parsed_log(name, sample) is not None


def parsed_log(name: str, sample: bytes) -> ParsedLogText | None:
    """Parses the rows of a sample of a file; None if it is not from a training log."""
    if b"\x00" in sample[:1024] or not _MAY_BE.search(sample) or _is_json(sample):
        return None
    whole = sample[: sample.rfind(b"\n") + 1] or sample
    text = cleaned(whole)
    if not _has_rows(text):
        return None
    parser = TextParser(name)
    parsed = parser.feed(text)
    if not is_training_log(parsed, parser.shapes, text.count(b"\n")) or _is_code(parsed, text.decode()):
        return None
    return parsed


def _is_code(parsed: ParsedLogText, text: str) -> bool:
    """Whether rows lie among lines of a program; a log may print its program before its rows."""
    middle = int(cast("float", parsed.points["line"].median() or 0))
    return sum(bool(_CODE.match(line)) for line in text.split("\n")[middle:]) >= _LEAST_CODE


def _is_json(sample: bytes) -> bool:
    """Whether a file is a JSON document over several lines, and not a log behind one."""
    if not _JSON.match(sample):
        return False
    lines = sample.count(b"\n") + 1
    return len(_OF_JSON.findall(sample)) >= 0.95 * lines and b'": ' in sample and not sample.lstrip().startswith(b'{"')


def _has_rows(text: bytes) -> bool:
    """A quick check: whether two lines that may be rows have the same shape."""
    seen: dict[str, int] = {}
    kinds = shapes_of(block_of(text)).filter(may_be_row())
    for shape, count in kinds.select("shape", "count").iter_rows():
        bare = bare_shape(shape)
        seen[bare] = seen.get(bare, 0) + count
    return any(count > 1 for count in seen.values())
