"""Times of reading TensorBoard's and W&B's logs, as ratios to their producers' own readers.

    python benchmarks/binary_logs.py [ROUNDS]

Writes 200,000 scalars with TensorBoard's writer and 20,000 rows of ten keys with W&B's protocol-buffer classes, then reads
both in turn: ours through discovery and reader, theirs through EventAccumulator (all scalars kept) and the classes with the
standard library's JSON. Processor seconds, so that a busy machine does not decide. Prints its section of the page. The producers
are the dependency group ``oracles``; without them the page's section stays as it is, and that is said.
"""

from __future__ import annotations

import json
import random
import statistics
import struct
import sys
import tempfile
import time
import warnings
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from support.figures import Figure, print_section

from sweeplens.readers import READERS
from sweeplens.sources.discover import discover

TAGS = [
    "train/loss",
    "train/acc",
    "train/grad_norm",
    "lr",
    "val/loss",
    "val/acc",
    "time/step",
    "gpu/memory",
    "epoch",
    "x",
]
HEADER, BLOCK = struct.Struct("<IHB"), 32768


def write_events(folder: Path, steps: int) -> None:
    """An event file with every tag at every step."""
    from tensorboard.compat.proto import event_pb2, summary_pb2
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    writer = EventFileWriter(str(folder))
    for step in range(steps):
        for number, tag in enumerate(TAGS):
            value = summary_pb2.Summary.Value(tag=tag, simple_value=step * 0.5 + number)
            writer.add_event(
                event_pb2.Event(wall_time=1.7e9 + step, step=step, summary=summary_pb2.Summary(value=[value]))
            )
    writer.close()


def write_rows(folder: Path, rows: int) -> None:
    """A record file with a history record a row, as W&B frames it."""
    from wandb.proto import wandb_internal_pb2

    dice, out = random.Random(0), bytearray(b":W&B\xe1\xbe\x00")
    for row in range(rows):
        record = wandb_internal_pb2.Record(num=row)
        values = {
            **{t: dice.random() for t in TAGS[:7]},
            "_step": row,
            "_runtime": row * 0.5,
            "_timestamp": 1.7e9 + row,
        }
        for key, value in values.items():
            record.history.item.add(nested_key=[key], value_json=json.dumps(value))
        _frame(out, record.SerializeToString())
    (folder / "run-bench.wandb").write_bytes(out)


def _frame(out: bytearray, data: bytes) -> None:
    first = True
    while data or first:
        room = BLOCK - len(out) % BLOCK
        if room < HEADER.size:
            out += bytes(room)
            room = BLOCK
        piece, data = data[: room - HEADER.size], data[room - HEADER.size :]
        kind = (1 if first else 4) if not data else 2 if first else 3
        out += HEADER.pack(zlib.crc32(piece, zlib.crc32(bytes([kind]))), len(piece), kind) + piece
        first = False


def ours(folder: Path) -> int:
    """Points read by our reader."""
    source = discover([folder], READERS).sources[0]
    return next(r for r in READERS if r.name == source.reader).read(source, None).points.height


def accumulated(folder: Path) -> int:
    """Points read by TensorBoard."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    return sum(len(events.Scalars(tag)) for tag in events.Tags()["scalars"])


def decoded(folder: Path) -> int:
    """Points read with W&B's classes."""
    from wandb.proto import wandb_internal_pb2

    rows: list[dict[str, float]] = []
    for data in _records((folder / "run-bench.wandb").read_bytes()):
        items = wandb_internal_pb2.Record.FromString(data).history.item
        rows.append({".".join(item.nested_key): json.loads(item.value_json) for item in items})
    return sum(not key.startswith("_") for row in rows for key in row)


def _records(data: bytes) -> Iterator[bytes]:
    at, parts = 7, bytearray()
    while at < len(data):
        room = BLOCK - at % BLOCK
        if room < HEADER.size:
            at += room
            continue
        crc, length, kind = HEADER.unpack_from(data, at)
        at += HEADER.size + length
        piece = data[at - length : at]
        assert zlib.crc32(piece, zlib.crc32(bytes([kind]))) == crc
        parts += piece
        if kind in (1, 4):
            yield bytes(parts)
            parts.clear()


def measure(name: str, folder: Path, theirs: Callable[[Path], int], promise: float, rounds: int) -> list[Figure]:
    """Read in turn; the medians and the median of the ratios."""
    assert ours(folder) == theirs(folder)
    seconds: dict[str, list[float]] = {"ours": [], "theirs": []}
    for _ in range(rounds):
        for who, read in (("ours", ours), ("theirs", theirs)):
            began = time.process_time()
            read(folder)
            seconds[who].append(time.process_time() - began)
    ratio = statistics.median(b / a for a, b in zip(seconds["ours"], seconds["theirs"], strict=True))
    return [
        Figure(f"{name}, here", statistics.median(seconds["ours"])),
        Figure(f"{name}, by its producer's reader", statistics.median(seconds["theirs"])),
        Figure(f"{name}: times as fast", ratio, "x", least=promise),
    ]


def main(rounds: int = 3) -> None:
    """Both formats, in folders of their own."""
    warnings.simplefilter("ignore")
    try:
        import tensorboard  # noqa: F401
        import wandb  # noqa: F401
    except ImportError as error:
        print(f"Binary logs: not measured, {error.name} is not installed (uv sync --group oracles)")
        return
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as home:
        for name, write, theirs, promise, size in (
            ("tensorboard, 200,000 scalars", write_events, accumulated, 15.0, 20_000),
            ("wandb, 20,000 rows", write_rows, decoded, 1.0, 20_000),
        ):
            folder = Path(home) / name[:5]
            folder.mkdir()
            write(folder, size)
            figures += measure(name, folder, theirs, promise, rounds)
    about = "processor seconds, medians of readings in turn"
    print_section("Binary logs", "python benchmarks/binary_logs.py", figures, about=about)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
