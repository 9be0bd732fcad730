"""Which event files of a folder, and of folders in it, are one run.

The rule. A folder with event files is a run. A folder in it belongs to the same run, and is no run of its own, when it
holds nothing but event files and these are a session or a branch, or when it is named after a part of a training
(``train``, as Keras writes beside the file of its hparams callback; ``eval_unseen``, as the estimators of TensorFlow do;
``metrics``)

    a session   what ``add_hparams`` writes: the hparams plugin's experiment, start and end, then each metric once; where
                there are several, only if all have the same hyperparameters (else each is a run, as TensorBoard has it,
                and the writer's own file, if there is nothing in it, is none)
    a branch    what ``add_scalars(main, {key: ...})`` writes: the folder is named after its only tag, ``<main>_<key>``
                by torch, ``<main>/<key>`` by tensorboardX

A folder without event files is a run when the folders in it that have some are named after splits (``train`` and
``validation``, as Keras and the loops of TensorFlow write them): their metrics are called ``<split>/<tag>``.

A branch's metrics are called ``<folder>/<tag>``, or as their folder where it holds the tag; a session's keep their tag,
unless the run logged that tag itself.
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

_STAMP = re.compile(r"\d{9,}\.\d+")  # how add_hparams names its folder
_DIGITS = re.compile(r"(\d+)")
_DEEP = 8  # slashes in the name of a branch


def claims(folder: Folder) -> tuple[Claim, ...]:
    """The claim on a folder with event files; none where it has none."""
    own = event_files(folder)
    if not own:
        splits = [f"{n}/{f}" for n, child in sorted(folder.folders.items()) for f in event_files(child)]
        return (Claim((*splits, *config_files(folder))),) if splits else ()
    if _only_describes(folder, own):
        return (Claim((), belongs=tuple(own)),)
    branches, sessions = _inside(folder)
    splits = [f"{n}/{f}" for n, child in sorted(folder.folders.items()) if is_part(n) for f in event_files(child)]
    branches = list(dict.fromkeys((*branches, *splits)))
    said = [s.hyperparameters for _, s in sessions]
    if len(said) > 1 and not (all(said) and all(s == said[0] for s in said)):
        if not branches and all(_is_silent(folder, name) for name in own):
            return ()
        sessions = []
    return (Claim((*own, *branches, *(path for path, _ in sessions), *config_files(folder))),)


def event_files(folder: Folder) -> list[str]:
    """The free event files of a folder, oldest first."""
    named = [n for n in folder.files if "tfevents" in n and n not in folder.taken and not compression.is_compressed(n)]
    return sorted((n for n in named if _is_events(folder.head(n))), key=age)


def branch_metric(folder: str, tag: str) -> str:
    """What the values of a branch's tag are called."""
    return folder if folder.startswith(f"{tag}/") else f"{folder}/{tag}"


def _inside(folder: Folder) -> tuple[list[str], list[tuple[str, EventFacts]]]:
    """The event files of branches in a folder, and of sessions with what they say."""
    branches: list[str] = []
    sessions: list[tuple[str, EventFacts]] = []
    for path, child in _event_folders(folder):
        files = event_files(child)
        heads = [child.head(n) for n in files]
        if "/" not in path and len(files) == 1 and is_session(path, heads[0], child.files[files[0]].size):
            sessions.append((f"{path}/{files[0]}", facts_of_folder(heads[0]).said))
        elif files and len(files) == len(child.files) and all(_is_branch(path, head) for head in heads):
            branches += [f"{path}/{n}" for n in files]
    return branches, sessions


def _event_folders(folder: Folder, prefix: str = "") -> Iterator[tuple[str, Folder]]:
    """Folders below a folder that hold event files and nothing else."""
    for name, child in sorted(folder.folders.items()):
        if child.files and not child.folders and all("tfevents" in n for n in child.files):
            yield prefix + name, child
        elif not child.files and prefix.count("/") < _DEEP:
            yield from _event_folders(child, f"{prefix}{name}/")


def _only_describes(folder: Folder, own: list[str]) -> bool:
    """Whether the event files say what may vary in the folders below (``hp.hparams_config``), and nothing of a run."""
    if not folder.folders:
        return False
    heads = [(folder.head(n), folder.files[n].size) for n in own]
    if not all(size == len(head) for head, size in heads):
        return False
    seen = [facts_of_folder(head) for head, _ in heads]
    about = {plugin for s in seen for plugin in s.said.plugins}
    return about == {EXPERIMENT_TAG} and not any(s.names or s.said.non_scalar for s in seen)


def _is_silent(folder: Folder, name: str) -> bool:
    """Whether an event file has a header and no more."""
    head = folder.head(name)
    seen = facts_of_folder(head)
    return folder.files[name].size == len(head) and not (seen.names or seen.said.plugins or seen.said.non_scalar)


def age(name: str) -> tuple[object, ...]:
    """A key that sorts event files by the time in their names, then by the numbers that follow."""
    tail = name.partition("tfevents")[2]
    return tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in _DIGITS.split(tail) if part)


def is_session(folder_name: str, head: bytes, size: int) -> bool:
    """Whether an event file that begins so is what ``add_hparams`` writes into a folder of its own."""
    seen = facts_of_folder(head)
    if START_TAG not in seen.said.plugins:  # too many hyperparameters for a head: then the names must do
        return EXPERIMENT_TAG.encode() in head[:256] and size > len(head) and bool(_STAMP.fullmatch(folder_name))
    once = max(Counter(seen.logged()).values(), default=1) == 1
    whole = size <= len(head) or bool(_STAMP.fullmatch(folder_name))
    return EXPERIMENT_TAG in seen.said.plugins and bool(seen.said.status) and once and whole


def _is_branch(path: str, head: bytes) -> bool:
    tags = list(facts_of_folder(head).names)
    return bool(tags) and all(path.startswith((f"{tag}/", tag.replace("/", "_") + "_")) for tag in tags)


def _is_events(head: bytes) -> bool:
    """Whether a file begins as an event file does; an empty one may become one."""
    records = TFRecords(io.BytesIO(head), "", 1 << 62)
    first = next(iter(records), None)
    if first is not None:
        return first[:1] == b"\x09"
    return records.problem is None or records.problem.kind == "torn"


def facts_of_folder(head: bytes) -> ScalarEvents:
    """What the whole records at the beginning of a file say."""
    events = ScalarEvents(EventFacts())
    events.read(TFRecords(io.BytesIO(head), "", len(head)).batches(), str)
    return events
