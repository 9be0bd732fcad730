"""docs/formats.md equals the page made from the readers' docstrings."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sweeplens.errors import FormatError
from sweeplens.readers import READERS
from sweeplens.readers.catalogue import entry_of, formats_page
from sweeplens.sources.discover import discover

PAGE = Path(__file__).parents[2] / "docs" / "formats.md"


def test_the_page_of_formats_is_written_from_the_readers() -> None:
    assert PAGE.read_text(encoding="utf-8") == formats_page(), "run: python -m sweeplens.readers.catalogue"


@pytest.mark.parametrize("reader", READERS, ids=lambda r: r.name)
def test_every_reader_documents_producer_content_and_what_it_leaves_out(reader: object) -> None:
    entry = entry_of(reader)  # type: ignore[arg-type]
    assert entry.name
    assert all(len(said) > 5 for said in (entry.producer, entry.files, entry.reads, entry.leaves))


def test_names_of_readers_are_unique_and_the_table_has_no_others() -> None:
    assert len({r.name for r in READERS}) == len(READERS)
    rows = [line for line in formats_page().splitlines() if line.startswith("| `")]
    assert [row.split("`")[1] for row in rows] == [r.name for r in READERS]


def test_a_docstring_with_a_line_missing_is_an_error_that_names_it() -> None:
    class Silent:
        """Something.

        Producer: nobody
        Files: none
        """

        name, version = "silent", 1

    with pytest.raises(FormatError, match="Silent has no line 'Reads:'"):
        entry_of(Silent())  # type: ignore[arg-type]


CORPUS = os.environ.get("SWEEPLENS_CORPUS", "")
UNSAMPLED = {  # formats of the page of which the corpus has no set: each has tests on files that they write themselves
    "csv_metrics", "json_history", "json_splits", "long_table", "optuna_journal", "tensorboard_export",
    "all_scalars", "boosting_console", "catboost", "column_files", "comet_offline", "metric_files", "numpy_series", "sqlite_tables",
    "bare_series", "clearml_offline", "dllogger", "flaml", "json_epoch_files", "keras_tuner", "neptune_offline", "neptune_scale",
    "metric_rows", "run_files", "run_table",
    "text_logs", "unlogged", "visualdl", "wandb_export", "wandb_summary", "yolo",
}  # fmt: skip


@pytest.mark.skipif(not CORPUS, reason="SWEEPLENS_CORPUS names no folder of sets")
def test_the_page_and_the_report_over_the_corpus_speak_of_the_same_formats() -> None:
    listed = {line.split("`")[1] for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")}
    sets = [p.parent / "logs" for p in Path(CORPUS).glob("*/expected.json")]
    read = {s.reader for logs in sets for s in discover([logs.resolve()], READERS).sources}
    assert read == listed - UNSAMPLED
