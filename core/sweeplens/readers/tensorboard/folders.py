"""Decides which event files of a folder, and of its subfolders, belong to one run.

A folder with event files is a run. A subfolder belongs to the same run when it holds only event files of a session or a branch,
or when it is named after a part of a training (``train``, as Keras writes beside the file of its hparams callback;
``eval_unseen``, as the estimators of TensorFlow do; ``metrics``):

    session   written by ``add_hparams``: the hparams plugin's experiment, start and end, then each metric once. Several sessions,
              in one folder or in several, belong to the run only if all have the same hyperparameters. Otherwise each is a run,
              as in TensorBoard, and an empty event file beside them is not a run
    branch    written by ``add_scalars(main, {key: ...})``: the folder is named after its only tag, ``<main>_<key>`` by torch,
              ``<main>/<key>`` by tensorboardX

A folder without event files is a run when its subfolders with event files are named after splits (``train`` and ``validation``,
written by Keras and TensorFlow loops); its metrics are named ``<split>/<tag>``.

A branch's metrics are named ``<folder>/<tag>``, or like the folder where its name contains the tag. A session's metrics keep
their tag, unless the run has logged that tag.
"""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Iterator

from sweeplens.readers.decoding import compression
from sweeplens.readers.decoding.delimited.plan import is_part
from sweeplens.readers.decoding.sidecars import config_files
from sweeplens.readers.protocol import Claim, Folder
from sweeplens.readers.tensorboard.events import EventFacts, ScalarEvents
from sweeplens.readers.tensorboard.hparams import EXPERIMENT_TAG, START_TAG
from sweeplens.readers.tensorboard.tfrecord import TFRecords

__all__ = ["age", "branch_metric", "claims", "event_files", "facts_of_folder", "is_session"]

_STAMP = re.compile(r"\d{9,}\.\d+")  # the name of a folder made by add_hparams
_DIGITS = re.compile(r"(\d+)")
_DEEP = 8  # slashes in the name of a branch


def claims(folder: Folder) -> tuple[Claim, ...]:
    """Returns the claim on a folder with event files; () for other folders."""
    own = event_files(folder)
    if not own:
        splits = [f"{n}/{f}" for n, child in sorted(folder.folders.items()) for f in event_files(child)]
        return (Claim((*splits, *config_files(folder))),) if splits else ()
    if _only_describes(folder, own):
        return (Claim((), belongs=tuple(own)),)
    branches, sessions = _branches_and_sessions(folder)
    splits = [f"{n}/{f}" for n, child in sorted(folder.folders.items()) if is_part(n) for f in event_files(child)]
    branches = list(dict.fromkeys((*branches, *splits)))
    settings = [s.hyperparameters for _, s in sessions]
    if len(settings) > 1 and not (all(settings) and all(s == settings[0] for s in settings)):
        if not branches and all(_has_header_only(folder, name) for name in own):
            return ()
        sessions = []
    return (Claim((*own, *branches, *(path for path, _ in sessions), *config_files(folder))),)


def event_files(folder: Folder) -> list[str]:
    """Returns the unclaimed event files of a folder, oldest first."""
    named = [n for n in folder.files if "tfevents" in n and n not in folder.taken and not compression.is_compressed(n)]
    return sorted((n for n in named if _is_events(folder.head(n))), key=age)


def branch_metric(folder: str, tag: str) -> str:
    """Returns the metric's name for a tag of a branch."""
    return folder if folder.startswith(f"{tag}/") else f"{folder}/{tag}"


def _branches_and_sessions(folder: Folder) -> tuple[list[str], list[tuple[str, EventFacts]]]:
    """Returns the event files of branches in a folder, and those of sessions with their facts."""
    branches: list[str] = []
    sessions: list[tuple[str, EventFacts]] = []
    for path, child in _event_folders(folder):
        files = event_files(child)
        heads = [child.head(n) for n in files]
        told = zip(files, heads, strict=True)
        if "/" not in path and files and all(is_session(path, head, child.files[n].size) for n, head in told):
            sessions += [(f"{path}/{n}", facts_of_folder(head).facts) for n, head in zip(files, heads, strict=True)]
        elif files and len(files) == len(child.files) and all(_is_branch(path, head) for head in heads):
            branches += [f"{path}/{n}" for n in files]
    return branches, sessions


def _event_folders(folder: Folder, prefix: str = "") -> Iterator[tuple[str, Folder]]:
    """Yields folders below a folder that hold only event files."""
    for name, child in sorted(folder.folders.items()):
        if child.files and not child.folders and all("tfevents" in n for n in child.files):
            yield prefix + name, child
        elif not child.files and prefix.count("/") < _DEEP:
            yield from _event_folders(child, f"{prefix}{name}/")


def _only_describes(folder: Folder, own: list[str]) -> bool:
    """Whether the event files hold only the ranges of hyperparameters for the runs below (``hp.hparams_config``)."""
    if not folder.folders:
        return False
    heads = [(folder.head(n), folder.files[n].size) for n in own]
    if not all(size == len(head) for head, size in heads):
        return False
    seen = [facts_of_folder(head) for head, _ in heads]
    about = {plugin for s in seen for plugin in s.facts.plugins}
    return about == {EXPERIMENT_TAG} and not any(s.names or s.facts.non_scalar for s in seen)


def _has_header_only(folder: Folder, name: str) -> bool:
    """Whether an event file has only a header."""
    head = folder.head(name)
    seen = facts_of_folder(head)
    return folder.files[name].size == len(head) and not (seen.names or seen.facts.plugins or seen.facts.non_scalar)


def age(name: str) -> tuple[object, ...]:
    """Returns a key that sorts event files by the time in their names, then by the next numbers."""
    tail = name.partition("tfevents")[2]
    return tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in _DIGITS.split(tail) if part)


def is_session(folder_name: str, head: bytes, size: int) -> bool:
    """Whether an event file with this head was written by ``add_hparams`` into a new folder."""
    seen = facts_of_folder(head)
    if START_TAG not in seen.facts.plugins:  # too many hyperparameters for a head: then the name decides
        return EXPERIMENT_TAG.encode() in head[:256] and size > len(head) and bool(_STAMP.fullmatch(folder_name))
    once = max(Counter(seen.logged()).values(), default=1) == 1
    whole = size <= len(head) or bool(_STAMP.fullmatch(folder_name))
    return EXPERIMENT_TAG in seen.facts.plugins and bool(seen.facts.status) and once and whole


def _is_branch(path: str, head: bytes) -> bool:
    tags = list(facts_of_folder(head).names)
    return bool(tags) and all(path.startswith((f"{tag}/", tag.replace("/", "_") + "_")) for tag in tags)


def _is_events(head: bytes) -> bool:
    """Whether a file begins like an event file, or is empty and may become one."""
    records = TFRecords(io.BytesIO(head), "", 1 << 62)
    first = next(iter(records), None)
    if first is not None:
        return first[:1] == b"\x09"
    return records.problem is None or records.problem.kind == "torn"


def facts_of_folder(head: bytes) -> ScalarEvents:
    """Returns the scalars and facts in the complete records of a file's head."""
    events = ScalarEvents(EventFacts())
    events.read(TFRecords(io.BytesIO(head), "", len(head)).batches(), str)
    return events
