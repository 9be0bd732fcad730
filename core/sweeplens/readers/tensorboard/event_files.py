"""Reads TensorBoard event files, as torch, TensorFlow, JAX, Lightning, Keras and tensorboardX write them."""

from __future__ import annotations

from collections.abc import Iterable

from sweeplens.readers.decoding.delimited.plan import is_part, is_split
from sweeplens.readers.protocol import Claim, Folder, Reading, Resume, Source
from sweeplens.readers.trainers.lightning_duplicates import is_event_duplicate

__all__ = ["TensorBoard"]


def has_splits(folder: Folder) -> bool:
    """Whether the subfolders with event files are parts of one run: ``train`` beside ``validation`` or ``metrics``."""
    logs = [n for n, child in folder.folders.items() if any("tfevents" in f for f in child.files)]
    return len(logs) > 1 and any(map(is_split, logs)) and all(map(is_part, logs))


class TensorBoard:
    """Folders that are one run, with the subfolders that ``add_hparams``, ``add_scalars`` and Keras make.

    Producer: torch ``SummaryWriter``, Lightning, TensorFlow and Keras, tensorboardX, Ray, Stable-Baselines3
    Files: ``events.out.tfevents.*``, perhaps several in a folder, in the order of their times; ``hparams.yaml`` and similar files beside them
    Reads: scalars (simple values, tensors of one element) with step and time; hyperparameters, group, start and end from the hparams plugin
    Leaves: histograms, images, audio, text and graphs, which are counted by tag; the profiler's files
    """  # noqa: E501 - a line of docs/formats.md each

    name = "tensorboard"
    version = 8

    def claim(self, folder: Folder) -> Iterable[Claim]:
        """Claims a folder with event files, and its subfolders that are part of the same run."""
        if not any("tfevents" in n for n in folder.files) and not has_splits(folder):
            return ()
        if is_event_duplicate(folder):
            return ()
        from sweeplens.readers.tensorboard.folders import (
            claims,  # imports numpy: only when there is something to read
        )

        return claims(folder)

    def read(self, source: Source, resume: Resume | None) -> Reading:
        """Reads the new events of every file."""
        from sweeplens.readers.tensorboard.run import read_run

        return read_run(source, resume)
