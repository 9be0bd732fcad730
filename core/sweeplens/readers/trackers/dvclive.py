"""Reads DVCLive: a small table for each metric under `plots/metrics/`; `params.yaml` and `metrics.json` beside it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

from sweeplens.errors import FormatError
from sweeplens.models import flatten
from sweeplens.readers.decoding import compression
from sweeplens.readers.decoding.delimited.cells import header_of
from sweeplens.readers.decoding.delimited.table import ColumnPlan, TableReading, read_header, read_table
from sweeplens.readers.decoding.json_lines import decode
from sweeplens.readers.decoding.sidecars import read_config
from sweeplens.readers.decoding.values import as_number, joined_points
from sweeplens.readers.protocol import Claim, Folder, Problem, Reading, Resume, RunRecord, Source

__all__ = ["DvcLive"]

_SERIES = ("plots/metrics/", "plots/scalars/", "scalars/", "")  # since version 1.0, and three older layouts
_AXES = frozenset({"step", "timestamp"})
_DEFAULT = "/dvclive"  # the default folder name, which does not identify the run


class DvcLive:
    """Folders of DVCLive.

    Producer: DVCLive
    Files: ``plots/metrics/**/<name>.tsv`` (before 1.0 ``scalars/`` or no folder), ``metrics.json``, ``params.yaml``
    Reads: every series, named by its path; times, where they are written; parameters; summary values without a series
    Leaves: images, artifacts and custom plots
    """

    name = "dvclive"
    version = 2

    def claim(self, folder: Folder) -> Iterable[Claim]:
        """Claims a folder with series, each a table of steps and one value."""
        for layout in _SERIES:
            tables = sorted(_tables(folder, layout))
            if tables and all(_is_series(n, folder.head(n)) for n in tables[:3]):
                owns = (layout.split("/")[0],) if layout else ()
                yield Claim((*tables, *_sidecars(folder)), owns=owns)
                return

    def read(self, source: Source, resume: Resume | None) -> Reading:
        """Reads every table whole: there are many small ones."""
        run = source.relative.removesuffix(_DEFAULT)
        names = {_metric(source, f.path): f.path for f in source.files if f.path.endswith((".tsv", ".tsv.gz"))}
        tables = [_series(run, metric, path) for metric, path in names.items()]
        side = read_config(source.files, names=("params.yaml",), unwrap=False)
        problems = [p for t in tables for p in t.problems] + [Problem(path, reason) for path, reason in side.problems]
        record = RunRecord(
            run,
            hyperparameters=side.hyperparameters,
            metadata=_summary(source, names, problems),
            non_scalar={k: n for t in tables for k, n in t.non_scalar.items()},
        )
        return Reading((record,), joined_points(t.points for t in tables), tuple(problems))


def _tables(folder: Folder, layout: str) -> list[str]:
    if not layout:
        return folder.free(".tsv")
    home = folder.child(layout[:-1])
    return [layout + n for n, _ in home.tree() if compression.plain_name(n).endswith(".tsv")] if home else []


def _sidecars(folder: Folder) -> list[str]:
    """Returns the parameters and the summary; with the default folder the parameters may be in the folder above."""
    own = [n for n in ("params.yaml", "metrics.json") if n in folder.files and n not in folder.taken]
    above = "../params.yaml"
    return own if "params.yaml" in own or folder.name != _DEFAULT[1:] or not folder.find(above) else [above, *own]


def _is_series(name: str, head: bytes) -> bool:
    """Whether a table holds steps and one value, named like the file or (before version 2.0) like the whole metric."""
    header = header_of(head, "\t")
    if header is None or "step" not in header.names:
        return False
    whole = compression.plain_name(name).removesuffix(".tsv")
    values = [n for n in header.names if n not in _AXES]
    return len(values) == 1 and f"/{whole}".endswith(f"/{values[0]}")


def _metric(source: Source, path: str) -> str:
    below = path[len(source.path) :].replace("\\", "/").strip("/")
    layout = next(p for p in _SERIES if below.startswith(p))
    return compression.plain_name(below[len(layout) :]).removesuffix(".tsv")


def _series(run: str, metric: str, path: str) -> TableReading:
    """Reads one table. Its value column may have only the last part of the metric's name; the path has the whole name."""
    header = read_header(path, "\t")
    if header is None or "step" not in header.names:
        return TableReading(problems=[Problem(path, "not a table of steps and values")] if header else [])
    parent = "" if metric in header.names else metric.rpartition("/")[0]
    table = read_table(path, header, ColumnPlan("step", time="timestamp", prefix=f"{parent}/" if parent else ""), run)
    table.non_scalar = {f"{parent}/{k}" if parent else k: n for k, n in table.non_scalar.items()}
    return table


def _summary(source: Source, names: Mapping[str, str], problems: list[Problem]) -> dict[str, object]:
    """Returns the values of metrics.json without a series, which the user's code wrote."""
    entry = source.file("metrics.json")
    if entry is None:
        return {}
    try:
        value = decode(compression.read_plain(entry.path))
    except (ValueError, FormatError) as error:
        problems.append(Problem(entry.path, f"summary cannot be read: {error}"))
        return {}
    flat = flatten(cast("dict[str, Any]", value)) if isinstance(value, dict) else {}
    return {f"summary.{k}": v for k, v in flat.items() if as_number(v) is not None and not _is_named(k, names)}


def _is_named(key: str, names: Mapping[str, str]) -> bool:
    return key == "step" or key.replace(".", "/") in names or key in names
