"""Reads the Hugging Face Trainer's `trainer_state.json`, from the output folder or its last checkpoint."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, cast

import polars as pl

from sweeplens.errors import FormatError
from sweeplens.readers.decoding import compression
from sweeplens.readers.decoding.json_lines import decode
from sweeplens.readers.decoding.sidecars import config_files, in_hydra, read_config
from sweeplens.readers.decoding.values import PointBuffer, as_number, as_step, empty_reading_points, joined_points
from sweeplens.readers.protocol import Claim, FileStat, Folder, Problem, Reading, Resume, RunRecord, Source
from sweeplens.readers.tensorboard.folders import facts_of_folder
from sweeplens.readers.trainers.hf_events import points_after
from sweeplens.readers.trainers.hf_logs import log_beyond
from sweeplens.safe_open import open_buffered

__all__ = ["HfTrainer"]

_STATE = "trainer_state.json"
_CHECKPOINT = re.compile(r"checkpoint-(\d+)")
_IN_CHECKPOINT = re.compile(r"checkpoint-\d+[/\\][^/\\]+$")
_RESULTS = ("all_results.json", "eval_results.json", "train_results.json", "predict_results.json", "test_results.json")
_MODEL_KEYS = (b'"architectures"', b'"model_type"', b'"transformers_version"')
_LOGS = ("trainer_log.jsonl", "logging.jsonl")
_LOG_MARKS = (b'"current_steps"', b'"global_step/max_steps"')
_EVALUATIONS, _EVALUATED = "eval", b"epoch,steps,"
_EVENTS = 4  # event files whose beginning is read
_BEGINNING = 1 << 18  # first bytes, which hold the arguments
_HPARAMS = ("max_steps", "num_train_epochs", "train_batch_size", "logging_steps", "eval_steps", "save_steps")
_ABOUT = (
    "best_metric",
    "best_model_checkpoint",
    "best_global_step",
    "total_flos",
    "num_input_tokens_seen",
    "trial_name",
)


class HfTrainer:
    """Output folders of the Trainer.

    Producer: transformers ``Trainer`` and libraries that build on it (TRL, PEFT, sentence-transformers)
    Files: ``trainer_state.json``, else the one in the ``checkpoint-<N>`` with the highest N; ``*_results.json``, ``adapter_config.json``
    Reads: every number of ``log_history`` at its step; what TensorBoard files below have after the last checkpoint; the schedule's settings; the adapter's settings (PEFT), from the newest checkpoint; a search trial's parameters; best metric; results
    Leaves: logs beside the state (LLaMA-Factory, ms-swift, printed output), unless they go further than the last checkpoint and there are no TensorBoard files; other checkpoints, TensorBoard files and tables of evaluators below; pickles
    """  # noqa: E501 - a line of docs/formats.md each

    name = "hf_trainer"
    version = 7

    def claim(self, folder: Folder) -> Iterable[Claim]:
        """Claims an output folder that has a state, or checkpoints with one."""
        checkpoints = _checkpoints(folder)
        states = [_STATE] if _is_state(folder, _STATE) else []
        states += [n for n in checkpoints if _is_state(folder, n)]
        if not states:
            return
        logs_beside = tuple(n for n in _LOGS if any(mark in folder.head(n) for mark in _LOG_MARKS))
        is_checkpoint = states[0] != _STATE
        results = tuple(n for n in _RESULTS if n in folder.files)
        logs = folder.folders.get("runs")
        repeats = tuple(f"runs/{n}" for n, _ in logs.tree()) if logs else ()
        events_below = (n for n in repeats if "events.out.tfevents" in n)
        copies = (*states[1:], *logs_beside, *events_below, *_evaluations(folder))
        owns = tuple({n.split("/")[0] for n in (*checkpoints, *copies) if "/" in n})
        events = [n for n in copies if "events.out.tfevents" in n]
        further = log_beyond(folder, states[0], logs_beside, has_events=bool(events)) if is_checkpoint else ""
        events = events if is_checkpoint else events[:_EVENTS]
        copies = tuple(n for n in copies if n != further)
        files = (states[0], *results, *_configs(folder), *events)
        yield Claim(files, copies=copies, owns=owns, is_folder=not further, copy_of=further)

    def read(self, source: Source, resume: Resume | None) -> Reading:
        """Reads the whole history: the Trainer replaces the file each time."""
        main = source.files[0]
        state = _object(main)
        points, non_scalar = PointBuffer(), dict[str, int]()
        run, step = source.relative, 0
        history = state.get("log_history")
        for entry in cast("list[Any]", history if isinstance(history, list) else []):
            if isinstance(entry, dict):
                step = _entry(run, cast("dict[str, Any]", entry), step, points, non_scalar)
            else:
                non_scalar["log_history"] = non_scalar.get("log_history", 0) + 1
        side = read_config(source.files[1:])
        problems = [Problem(path, reason) for path, reason in side.problems]
        record = RunRecord(
            id=run,
            name=str(state.get("trial_name") or ""),
            status=_status(state),
            hyperparameters={**_arguments(source), **side.hyperparameters, **_hparams(state)},
            metadata={**_about(state), **_results(source, problems)},
            non_scalar=non_scalar,
        )
        history_points = points.frame()
        logged = joined_points((history_points, _after_checkpoint(source, state, history_points)))
        return Reading((in_hydra(source, record),), logged, tuple(problems + _newer_checkpoint(source, state)))


def _after_checkpoint(source: Source, state: Mapping[str, Any], history: pl.DataFrame) -> pl.DataFrame:
    """Returns what was logged after the state was saved in a checkpoint, from the TensorBoard files; at the step of the
    checkpoint only metrics that its history does not have, such as the summary of the training."""
    saved = as_step(state.get("global_step"))
    if saved is None or not _IN_CHECKPOINT.search(source.files[0].path):
        return empty_reading_points()
    events = (f for f in source.files[1:] if "events.out.tfevents" in f.path)
    later = points_after(events, saved - 1, source.relative)
    known = history["metric"].unique().implode()
    return later.filter((pl.col("step") > saved) | ~pl.col("metric").is_in(known))


def _arguments(source: Source) -> dict[str, object]:
    """Returns the TrainingArguments, which the Trainer writes into its TensorBoard files as text."""
    found: dict[str, object] = {}
    for entry in source.files[1:]:
        if "events.out.tfevents" in entry.path:
            with open_buffered(entry.path) as stream:
                facts = facts_of_folder(stream.read(_BEGINNING)).facts
            found = {**facts.hyperparameters, **found}
    return found


def _checkpoints(folder: Folder) -> list[str]:
    """Returns the states of a folder's checkpoints, the last checkpoint first."""
    found = [(int(m[1]), n) for n in folder.folders if (m := _CHECKPOINT.fullmatch(n)) and folder.find(f"{n}/{_STATE}")]
    return [f"{n}/{_STATE}" for _, n in sorted(found, reverse=True)]


def _is_state(folder: Folder, name: str) -> bool:
    if folder.find(name) is None or name in folder.taken:
        return False
    head = folder.head(name)
    return b'"log_history"' in head or (b'"global_step"' in head and b'"best_m' in head)


def _evaluations(folder: Folder) -> tuple[str, ...]:
    """Returns the tables of sentence-transformers' evaluators, whose values are in the state too; () if other files are there."""
    below = folder.folders.get(_EVALUATIONS)
    if below is None or below.folders:
        return ()
    names = [n for n in below.files if n.endswith("_results.csv") and below.head(n).startswith(_EVALUATED)]
    return tuple(f"{_EVALUATIONS}/{n}" for n in names) if len(names) == len(below.files) else ()


def _configs(folder: Folder) -> tuple[str, ...]:
    """Returns the config files of the output folder, without the config of a model saved there."""
    found = config_files(folder)
    return tuple(n for n in found if n != "config.json" or not any(k in folder.head(n) for k in _MODEL_KEYS))


def _object(entry: FileStat) -> dict[str, Any]:
    try:
        value = decode(compression.read_plain(entry.path).removeprefix(b"\xef\xbb\xbf"))
    except ValueError as error:
        raise FormatError(f"{entry.path} is not complete JSON: {error}") from error
    if not isinstance(value, dict):
        raise FormatError(f"{entry.path} holds no JSON object")
    return cast("dict[str, Any]", value)


def _entry(run: str, entry: Mapping[str, Any], before: int, points: PointBuffer, non_scalar: dict[str, int]) -> int:
    """Adds one entry's numbers at its step, or at the last step if it has none. Returns the step."""
    step = as_step(entry.get("step"))
    step = before if step is None else step
    for name, value in entry.items():
        if name == "step":
            continue
        number = as_number(value)
        if number is None:
            non_scalar[name] = non_scalar.get(name, 0) + 1
        else:
            points.add(run, name, step, number)
    return step


def _hparams(state: Mapping[str, Any]) -> dict[str, object]:
    trial = state.get("trial_params")
    found = cast("dict[str, object]", trial) if isinstance(trial, dict) else {}
    return {**{k: state[k] for k in _HPARAMS if k in state}, **found}


def _about(state: Mapping[str, Any]) -> dict[str, object]:
    return {k: state[k] for k in _ABOUT if state.get(k) is not None}


def _status(state: Mapping[str, Any]) -> str:
    """Returns ``finished`` when all planned steps are done; the state shows no other status."""
    done, planned = as_step(state.get("global_step")), as_step(state.get("max_steps"))
    return "finished" if done is not None and planned is not None and done >= planned > 0 else ""


def _results(source: Source, problems: list[Problem]) -> dict[str, object]:
    """Returns the numbers of the final evaluation, which may be newer than the saved history."""
    found: dict[str, object] = {}
    for entry in source.files[1:]:
        if not entry.path.endswith(_RESULTS):
            continue
        try:
            values = _object(entry)
        except FormatError as error:
            problems.append(Problem(entry.path, str(error)))
            continue
        found = {**{k: v for k, v in values.items() if as_number(v) is not None or isinstance(v, str)}, **found}
    return {"results": found} if found else {}


def _newer_checkpoint(source: Source, state: Mapping[str, Any]) -> list[Problem]:
    """Returns a warning if a checkpoint is newer than the state, so that training continued after the state was saved."""
    reached = as_step(state.get("global_step")) or 0
    steps = [int(m[1]) for c in source.copies if (m := re.search(r"checkpoint-(\d+)[/\\][^/\\]*$", c))]
    further = max((s for s in steps if s > reached), default=0)
    if not further:
        return []
    reason = f"saved at step {reached}, but checkpoint-{further} went further: its history is not read"
    return [Problem(source.files[0].path, reason, kind="warning")]
