"""Reads logs of dr_util's JsonLogger: `json_out.jsonl`, typed lines without a step."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec.structs import replace

from sweeplens.readers.decoding import compression
from sweeplens.readers.decoding.json_lines import JsonLines, peek
from sweeplens.readers.decoding.rows import RowReader
from sweeplens.readers.protocol import Claim, Folder, Reading, Resume, RunRecord, Source

__all__ = ["DrUtil"]


class DrUtil:
    """Logs of dr_util's JsonLogger.

    Producer: dr_util ``JsonLogger``, dr_gen
    Files: ``*.jsonl`` whose lines are ``{"type": "dict_config"}``, ``{"type": "str"}`` and ``{"data_name", "agg_stats"}``
    Reads: the config; each statistic as ``<data_name>/<statistic>``, with its count as step; finished by the closing lines
    Leaves: the log's text lines
    """

    name = "dr_util"
    version = 1

    def claim(self, folder: Folder) -> Iterable[Claim]:
        """Claims files with a typed config or a row of aggregated statistics."""
        mine = [n for n in folder.free(".jsonl", ".ndjson", ".json") if _begins_like_log(folder.head(n))]
        for name in mine:
            yield Claim((name,), is_folder=len(mine) == 1)

    def read(self, source: Source, resume: Resume | None) -> Reading:
        """Reads the whole file: such files are small."""
        path = source.files[0].path
        lines = JsonLines(compression.line_pieces(path), path)
        rows = RowReader(source.relative)
        record = RunRecord(source.relative)
        for line in lines:
            record = self._add(line.value, rows, record)
        non_scalar = {name: n for r in rows.records() for name, n in r.non_scalar.items()}
        return Reading((replace(record, non_scalar=non_scalar),), rows.frame(), tuple(lines.problems))

    def _add(self, row: dict[str, Any], rows: RowReader, record: RunRecord) -> RunRecord:
        value = row.get("value")
        if row.get("type") == "dict_config" and isinstance(value, dict):
            return replace(record, hyperparameters={**record.hyperparameters, **value})
        if isinstance(row.get("agg_stats"), dict):
            rows.add({"split": str(row.get("data_name", "")), "metrics": row["agg_stats"]})
        elif isinstance(value, str) and value.startswith("Training time"):
            return replace(
                record, status="finished", metadata={"train_time": value.removeprefix("Training time").strip()}
            )
        return record


def _begins_like_log(head: bytes) -> bool:
    return (b"dict_config" in head or b"agg_stats" in head) and any(map(_is_log_line, peek(head)))


def _is_log_line(row: dict[str, Any]) -> bool:
    return (row.get("type") == "dict_config" and "value" in row) or ("agg_stats" in row and "data_name" in row)
