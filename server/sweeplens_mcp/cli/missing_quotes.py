"""Conditions and queries without quotes around the whole, which a shell splits into words: errors with the command that works.

check_condition(where, words, command)    refuses ``--where status = finished``: ``words`` are those that follow
check_sides(words, command, folders)      refuses ``compare lr = 0.1 lr = 0.3 DIR``
check_query(query, words, folders)        refuses ``sql SELECT status FROM runs DIR``
quoted_condition(text)                    ``optim.lr>0.1 and status = done`` with the quotes of SQL
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from sweeplens.errors import InputError
from sweeplens_mcp.cli.command_hints import as_option, quoted

__all__ = ["check_condition", "check_query", "check_sides", "quoted_condition"]

_OPERATOR = re.compile(r"<>|!=|<=|>=|==|!~\*?|~\*?|[=<>]|\b(?:not\s+)?(?:i?like|in|between|is)\b", re.IGNORECASE)
_GOES_ON = re.compile(rf"(?:{_OPERATOR.pattern}|\b(?:and|or|not)\b)", re.IGNORECASE)
_JOINED = re.compile(r"(\s+(?:and|or)\s+)", re.IGNORECASE)
_VALUE = re.compile(
    r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|null|true|false|not null|'.*'|\(.*\)|.*\band\b.*", re.IGNORECASE
)
_NAME = re.compile(r"[\w$./@:-]+")


def check_condition(where: str, words: Sequence[str], command: str) -> None:
    """Raises InputError if the words after a condition belong to it. ``command``: before the option, with its folders."""
    if words and _GOES_ON.match(words[0]):
        whole = as_option("where", quoted_condition(" ".join([where, *words])))
        raise InputError(
            f"The condition needs quotes around the whole, since a shell splits it at spaces: {command} {whole}"
        )


def check_sides(words: Sequence[str], command: str, folders: Sequence[str]) -> None:
    """Raises InputError if the two sides of a comparison are conditions in pieces. ``command``: without sides and folders."""
    at = [i - 1 for i, word in enumerate(words) if i and _OPERATOR.fullmatch(word)]
    if not at:
        return
    parts = [" ".join(words[start:end]) for start, end in zip(at, [*at[1:], len(words)], strict=True)]
    sides = [quoted_condition(part) for part in parts] if len(parts) == 2 else ["CONDITION", "CONDITION"]
    shown = " ".join(map(quoted, [*sides, *folders]))
    raise InputError(
        f"Each condition needs quotes around the whole, since a shell splits it at spaces: {command} {shown}"
    )


def check_query(query: str, words: Sequence[str], folders: Sequence[str]) -> None:
    """Raises InputError for a query of which a shell made several words."""
    if words and query.strip().lower() in ("select", "with"):
        raise InputError(
            "The query needs quotes around the whole, since a shell splits it at spaces: "
            f"sweeplens sql 'SELECT status, count(*) FROM runs GROUP BY status' {' '.join(map(shlex.quote, folders)) or 'DIR'}"
        )


def quoted_condition(text: str) -> str:
    """Returns a condition with double quotes around names with signs and single ones around texts, as far as it is simple."""
    return "".join(part if i % 2 else _comparison(part) for i, part in enumerate(_JOINED.split(text)))


def _comparison(text: str) -> str:
    sign = _OPERATOR.search(text)
    if sign is None:
        return text
    name, value = text[: sign.start()].strip(), text[sign.end() :].strip()
    if _NAME.fullmatch(name) and not name.isidentifier():
        name = f'"{name}"'
    if not _VALUE.fullmatch(value):
        value = "'" + value.strip('"').replace("'", "''") + "'"
    return f"{name} {sign[0]} {value}"
