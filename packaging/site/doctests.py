"""Examples in docstrings become blocks of code: Markdown would read `>>>` as a quotation."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object

_EXAMPLE = re.compile(r"(?:^>>>.*\n?(?:^\.\.\..*\n?)*)+", re.MULTILINE)
_FLAG = re.compile(r"  # doctest: .*")


class Doctests(Extension):
    """Wraps the examples of every docstring."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        if obj.docstring:
            obj.docstring.value = _EXAMPLE.sub(_block, obj.docstring.value)


def _block(example: re.Match[str]) -> str:
    return f"```pycon\n{_FLAG.sub('', example[0]).rstrip()}\n```\n"
