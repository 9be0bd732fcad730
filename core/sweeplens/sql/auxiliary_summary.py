"""One line of the overview: which tables and notes lie beside the runs, and the query that reads them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePath

from sweeplens.counting import count_of
from sweeplens.plain_data import plain_text
from sweeplens.readers.boundary import Failure, guarded
from sweeplens.safe_open import confined, open_file
from sweeplens.sources.unread_formats import unread_format
from sweeplens.sql.file_kinds import is_table_name, kind_of
from sweeplens.sql.file_tables import read_table, row_limit
from sweeplens.store import Snapshot

__all__ = ["files_line"]

_NAMED = 4
_MOST_BYTES = 1 << 20  # of a table whose rows are counted
_LONGEST = 60  # characters of a path that is named


def files_line(snapshot: Snapshot, roots: Sequence[Path]) -> str:
    """Returns the line; empty if there are no tables and notes beside the runs.

    Files in a run's folder are not beside the runs, unless that is a root; neither is source code.
    """
    files = snapshot.cached("files beside the runs", lambda: _auxiliary_files(snapshot, roots))
    if not files:
        return ""
    counts = Counter(kind for kind, _, _ in files)
    many = [count_of(counts[kind], noun) for kind, noun in (("table", "table"), ("notes", "note")) if counts[kind]]
    named = [_described(kind, relative, path, roots) for kind, relative, path in files[:_NAMED]]
    more = f" and {len(files) - _NAMED} more" if len(files) > _NAMED else ""
    return f"{' and '.join(many)}: {', '.join(named)}{more}; query_sql: {_query(files)}"


def _query(files: Sequence[tuple[str, str, str]]) -> str:
    table = next((p for kind, p, _ in files if kind == "table" and len(p) <= _LONGEST and is_table_name(p)), "")
    note = next((p for kind, p, _ in files if kind == "notes" and len(p) <= _LONGEST), "")
    asked = [f'SELECT * FROM "{table}"' * bool(table), f"SELECT text FROM files WHERE path = '{note}'" * bool(note)]
    return "; ".join(filter(None, asked)) or "SELECT path, kind FROM files"


def _auxiliary_files(snapshot: Snapshot, roots: Sequence[Path]) -> list[tuple[str, str, str]]:
    """Returns (kind, path below the root, path) of tables and notes in folders of no run, those near a root first."""
    single = {plain_text(str(s)) for s, n in snapshot.runs.group_by("source").len().iter_rows() if n == 1}
    homes = {_home(s.path, s.files[0].path) for s in snapshot.sources if s.files and plain_text(s.path) in single}
    read = set(snapshot.runs["source"])
    tables = [s.path for s in snapshot.sources if is_table_name(s.path) and plain_text(s.path) not in read]
    signs = [sign.path for s in snapshot.sources if plain_text(s.path) not in single for sign in s.signs]
    found: dict[str, tuple[str, str, str]] = {}
    for path in (*tables, *signs, *snapshot.refused):
        kind = {"result": "table"}.get(told := kind_of(PurePath(path).name, read=False), told)
        root = next((r for r in map(str, roots) if path.startswith(r)), "")
        if kind in ("table", "notes") and root and not (homes - {root}) & _folders(path, root):
            found[path] = (kind, plain_text(path[len(root) :].strip("/\\").replace("\\", "/")), path)
    return sorted(found.values(), key=lambda f: (f[1].count("/"), f[1]))


def _home(source: str, main: str) -> str:
    return str(Path(main).parent) if source == main else source


def _folders(path: str, root: str) -> set[str]:
    """Returns the folders above a file, below the root; the root itself only where it is the file's own folder."""
    above = [str(p) for p in Path(path).parents]
    return {p for i, p in enumerate(above) if p.startswith(root) and (p != root or i == 0)}


def _described(kind: str, relative: str, path: str, roots: Sequence[Path]) -> str:
    shown = relative if len(relative) <= _LONGEST else f"...{relative[-_LONGEST:]}"
    rows = _rows(relative, path, roots) if kind == "table" else None
    return shown if rows is None else f"{shown} ({count_of(rows, 'row')})"


def _rows(relative: str, path: str, roots: Sequence[Path]) -> int | None:
    """Returns the number of rows of a small table; None of any other."""
    if (
        not is_table_name(relative)
        or unread_format(relative)
        or relative.endswith((".parquet", ".pq", ".feather", ".arrow"))
    ):
        return None
    counted = guarded(lambda: _height(relative, path, roots), path, "cannot be read as a table")
    return None if isinstance(counted, Failure) else counted


def _height(relative: str, path: str, roots: Sequence[Path]) -> int | None:
    with confined(map(str, roots)), open_file(path) as stream:
        data = stream.read(_MOST_BYTES + 1)
    table = None if len(data) > _MOST_BYTES else read_table(data, relative)
    return None if table is None or table.height >= row_limit(table.width) else table.height
