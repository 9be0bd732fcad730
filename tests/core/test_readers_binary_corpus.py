"""Binary logs of the corpus: against its truth, and against the producers' own readers where these are installed.

The producers' readers are the dependency group ``oracles``; where they or the corpus are missing, the tests say so.
"""

from __future__ import annotations

import json
import math
import os
import warnings
from pathlib import Path
from typing import Any

import pytest
from support.corpus import read_truth
from support.reading import Found, read_folder, statistics

from sweeplens.readers.decoding.leveldb_framing import BlockRecords

CORPUS = Path(os.environ.get("SWEEPLENS_CORPUS", "no such folder"))
needs_corpus = pytest.mark.skipif(not CORPUS.is_dir(), reason="SWEEPLENS_CORPUS names no folder")
SETS = {"wandb_offline": 1e-6, "pub_wandb": 1e-6, "swanlab": 1e-6, "lightning_tb": 1e-5, "tb_torch": 1e-5}
STATUSES = {
    "crashed/unknown": {"crashed", "unknown"},
    "RUN_STATE_FINISHED": {"finished"},
    "None": {"crashed", "killed", "unknown"},  # SwanLab's truth for a killed run
}


def truth_of(name: str) -> dict[str, Any]:
    return read_truth(CORPUS / name)


def place(key: str, found: Found) -> tuple[str, str]:
    """Our run for a run of the truth, and the folder in it that the truth takes for a run of its own."""
    parent, _, last = key.rpartition("/")
    if key in found.runs:
        return key, ""
    return (parent, last) if parent in found.runs else (last, "")


def equal(want: object, got: float | int | None, relative: float) -> bool:
    if want is None or got is None:
        return want is None and got is None
    wanted = float(str(want))
    return wanted == got or (math.isnan(wanted) and math.isnan(got)) or math.isclose(wanted, got, rel_tol=relative)


def flat(nested: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(nested, dict) or not nested:
        return {prefix[:-1]: nested}
    return {k: v for key, value in nested.items() for k, v in flat(value, f"{prefix}{key}.").items()}


def wrong_series(found: Found, key: str, metrics: dict[str, Any], relative: float) -> list[str]:
    run, part = place(key, found)
    wrong: list[str] = []
    for metric, expected in metrics.items():
        name = f"{part}/{metric}" if part.startswith(f"{metric}_") else metric
        ours = statistics(*found.series(run, name))
        if expected["min"] is None:
            ours["sum_finite"] = None  # the truth has no sum of nothing
        wrong += [
            f"{key} {metric} {s}: {ours[s]} not {expected[s]}"
            for s in ours
            if not equal(expected[s], ours[s], relative)
        ]
    return wrong


@needs_corpus
@pytest.mark.parametrize(("name", "relative"), SETS.items())
def test_a_set_reads_as_its_truth_says(name: str, relative: float, capsys: pytest.CaptureFixture[str]) -> None:
    found, truth = read_folder(CORPUS / name / "logs"), truth_of(name)
    assert {place(key, found)[0] for key in truth["runs"]} == set(found.runs)
    assert len(found.runs) == truth.get("n_logical_runs", truth.get("n_runs"))
    wrong = [w for key, run in truth["runs"].items() for w in wrong_series(found, key, run["metrics"], relative)]
    assert not wrong, "\n".join(wrong[:20])
    assert not [p for p in found.problems if p.kind != "torn"]
    with capsys.disabled():
        print(f"\n{name}: {sum(len(r['metrics']) for r in truth['runs'].values())} series right", end="")


@needs_corpus
@pytest.mark.parametrize("name", SETS)
def test_a_set_has_the_names_ends_and_hyperparameters_of_its_truth(name: str) -> None:
    found, truth = read_folder(CORPUS / name / "logs"), truth_of(name)
    for key, run in truth["runs"].items():
        ours = found.runs[place(key, found)[0]]
        if "status" in run:
            assert ours.status in STATUSES.get(str(run["status"]), {str(run["status"])})
        if run.get("session_end_status"):
            assert ours.status == {1: "finished", 2: "failed"}[run["session_end_status"]]
        if run.get("display_name", run.get("name")):
            assert ours.name == run.get("display_name", run.get("name"))
        # The truth of `pub_wandb` reads only records: a run whose record file is empty still has its config.yaml.
        wanted = run.get("hyperparameters") or run.get("hparams_plugin") or {}
        assert all(flat(ours.hyperparameters).get(k, "absent") == v for k, v in wanted.items())
        assert set(run.get("non_scalar") or ()) <= set(ours.non_scalar)


@needs_corpus
@pytest.mark.parametrize("name", ["tb_torch", "lightning_tb", "pub_dreamer", "sb3", "ray_tune"])
def test_event_files_read_as_tensorboard_reads_them(name: str, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loader = pytest.importorskip(
            "tensorboard.backend.event_processing.event_file_loader",
            reason="tensorboard is not installed (group oracles)",
        )
        tensors = pytest.importorskip("tensorboard.util.tensor_util")
    for file in sorted((CORPUS / name / "logs").rglob("*tfevents*"))[:6]:
        theirs: dict[str, list[tuple[int, float]]] = {}
        for event in loader.EventFileLoader(str(file)).Load():
            for value in event.summary.value:
                if value.metadata.plugin_data.plugin_name in ("scalars", "") and value.HasField("tensor"):
                    number = tensors.make_ndarray(value.tensor)
                    if number.size == 1 and number.dtype.kind in "fiu":
                        theirs.setdefault(value.tag, []).append((event.step, float(number.item())))
        alone = tmp_path / file.parent.name / file.name
        alone.parent.mkdir(exist_ok=True)
        alone.write_bytes(file.read_bytes())
        found = read_folder(tmp_path)
        run = next(iter(found.runs))
        assert found.metrics(run) == set(theirs)
        for tag, points in theirs.items():
            steps, values = found.series(run, tag)
            assert steps == [s for s, _ in points]
            assert all(equal(w, v, 1e-12) for v, (_, w) in zip(values, points, strict=True))
        alone.unlink()


@needs_corpus
@pytest.mark.parametrize("name", ["wandb_offline", "pub_wandb"])
def test_records_read_as_the_classes_of_wandb_read_them(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        classes = pytest.importorskip("wandb.proto.wandb_internal_pb2", reason="wandb is not installed (group oracles)")
    found = read_folder(CORPUS / name / "logs")
    for source in found.sources[:6]:
        run = Path(source.files[0].path).parent.name
        theirs: dict[str, list[float]] = {}
        with Path(source.files[0].path).open("rb") as stream:
            for data in BlockRecords(stream, "", b":W&B"):
                record = classes.Record.FromString(data)
                for item in record.history.item:
                    value = json.loads(item.value_json)
                    key = item.key or ".".join(item.nested_key)
                    if isinstance(value, int | float) and not key.startswith(("_", "weights.")):
                        theirs.setdefault(key, []).append(float(value))
        assert found.metrics(run) == set(theirs)
        for key, values in theirs.items():
            assert all(equal(w, v, 0) for v, w in zip(found.series(run, key)[1], values, strict=True))
