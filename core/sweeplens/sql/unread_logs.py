"""Warnings of files that look like logs and that no reader accepts: which of them SQL reads as text, and which nothing reads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sweeplens.counting import count_of, verb
from sweeplens.plain_data import plain_text
from sweeplens.sources.unread_formats import unread_format
from sweeplens.store import Snapshot

__all__ = ["below_root", "unread_logs", "unread_trackers"]

_NAMED = 3  # files that a warning names


def unread_logs(snapshot: Snapshot, roots: Sequence[Path]) -> tuple[str, ...]:
    """Warns of files that look like logs, with the query that reads their lines, or with the command that says why not."""
    texts = [f for f in snapshot.unread_logs if f in snapshot.printed]
    others = [f for f in snapshot.unread_logs if f not in snapshot.printed]
    return (
        *unread_trackers(snapshot, roots),
        *([_not_read(others, roots)] if others else []),
        *([_of_no_run(texts, roots)] if texts else []),
    )


def _not_read(files: Sequence[str], roots: Sequence[Path]) -> str:
    one = len(files) == 1
    kinds = {known.name: known.remedy for known in map(unread_format, files[:_NAMED]) if known}
    remedies = "".join(f"; {name}: {remedy}" for name, remedy in list(kinds.items())[:1])
    return (
        f"{count_of(len(files), 'file')} look{'s' if one else ''} like {'a log' if one else 'logs'} and "
        f"{'was' if one else 'were'} not read ({_some(files, roots)}): `sweeplens doctor --files` says why{remedies}"
    )


def _of_no_run(files: Sequence[str], roots: Sequence[Path]) -> str:
    """Returns the sentence about printed logs that could not be linked to a run, with the query that reads them."""
    first = below_root(files[0], roots)
    folder = first[: first.rfind("/") + 1]
    where = f"path = '{first}'" if len(files) == 1 else f"path LIKE '{folder}%'"
    return (
        f"{count_of(len(files), 'printed log')} {verb(len(files), 'names', 'name')} no run and "
        f"{verb(len(files), 'holds', 'hold')} no metrics ({_some(files, roots)}): query_sql reads "
        f"{verb(len(files), 'it', 'them')}, SELECT path, line, text FROM lines WHERE {plain_text(where)}"
    )


def _some(files: Sequence[str], roots: Sequence[Path]) -> str:
    more = f" and {len(files) - _NAMED} more" if len(files) > _NAMED else ""
    return plain_text(", ".join(below_root(f, roots) for f in files[:_NAMED])) + more


def unread_trackers(snapshot: Snapshot, roots: Sequence[Path]) -> tuple[str, ...]:
    """Warns of each tracker whose format is not read, with what makes its runs readable."""
    return tuple(
        f"{known.name} is not read ({plain_text(below_root(paths[0], roots))}"
        + (f" and {len(paths) - 1} more files" if len(paths) > 1 else "")
        + f"): {known.remedy}"
        for known, paths in list(snapshot.unread_trackers.items())[:_NAMED]
    )


def below_root(file: str, roots: Sequence[Path]) -> str:
    """Returns the path of a file below the root that it is in."""
    path = Path(file)
    root = next((r for r in roots if path.is_relative_to(r)), None)
    return (path.relative_to(root) if root else path).as_posix()
