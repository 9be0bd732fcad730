"""Binary logs written from the formats' descriptions, by code that shares nothing with the readers.

Protocol-buffer fields, the framing of TensorBoard's event files with a bitwise crc32c, the 32 KiB blocks of W&B and
SwanLab, and the few records that tests speak of.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path

WANDB, SWANLAB = b":W&B\xe1\xbe\x00", b":SWL\xd6\xe1\x02"
_BLOCK = 32768


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def field(number: int, value: int | float | str | bytes) -> bytes:
    """A field: int as varint, float as double, text and bytes with their length."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    if isinstance(value, float):
        return varint(number << 3 | 1) + struct.pack("<d", value)
    raw = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(raw)) + raw


def float_field(number: int, value: float) -> bytes:
    return varint(number << 3 | 5) + struct.pack("<f", value)


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def masked(data: bytes) -> bytes:
    crc = crc32c(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def tf_record(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return length + masked(length) + data + masked(data)


def event(wall: float, step: int, *values: bytes) -> bytes:
    """An event as the producers write it: no step field where the step is 0."""
    summary = b"".join(field(1, v) for v in values)
    return field(1, wall) + (field(2, step) if step else b"") + (field(5, summary) if values else b"")


def event_file(path: Path, events: Iterable[bytes], *, wall: float = 1.7e9) -> Path:
    """An event file with its header."""
    header = field(1, wall) + field(3, "brain.Event:2")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(map(tf_record, [header, *events])))
    return path


def metadata(plugin: str, content: bytes = b"") -> bytes:
    return field(9, field(1, field(1, plugin) + (field(2, content) if content else b"")))


def scalar(tag: str, value: float) -> bytes:
    """What torch writes: a simple value."""
    return field(1, tag) + float_field(2, value)


def tensor(tag: str, value: float, form: str = "<f", dtype: int = 1, plugin: str = "scalars") -> bytes:
    """What TensorFlow 2 writes: a tensor without dimensions, and the plugin's name."""
    inside = field(1, dtype) + field(2, b"") + field(4, struct.pack(form, value))
    return field(1, tag) + field(8, inside) + (metadata(plugin) if plugin else b"")


def histogram(tag: str) -> bytes:
    return field(1, tag) + field(5, field(1, 0.0) + field(2, 1.0))


def experiment(*names: str) -> bytes:
    infos = b"".join(field(4, field(1, n)) for n in names)
    return field(1, "_hparams_/experiment") + metadata("hparams", field(2, infos))


def session_start(hparams: Mapping[str, float | str | bool], group: str = "") -> bytes:
    said = b""
    for key, value in hparams.items():
        kind = 4 if isinstance(value, bool) else 3 if isinstance(value, str) else 2
        said += field(1, field(1, key) + field(2, field(kind, value)))
    said += field(4, group) if group else b""
    return field(1, "_hparams_/session_start_info") + metadata("hparams", field(3, said))


def session_end(status: int) -> bytes:
    return field(1, "_hparams_/session_end_info") + metadata("hparams", field(4, field(1, status)))


def blocks(header: bytes, records: Iterable[bytes]) -> bytes:
    """A file of 32 KiB blocks: the chunks of every record, blocks padded with zeros."""
    out = bytearray(header)
    for record in records:
        first = True
        while True:
            room = _BLOCK - len(out) % _BLOCK
            if room < 7:
                out += bytes(room)
                room = _BLOCK
            piece, record = record[: room - 7], record[room - 7 :]
            kind = (1 if first else 4) if not record else (2 if first else 3)
            crc = zlib.crc32(piece, zlib.crc32(bytes([kind])))
            out += struct.pack("<IHB", crc, len(piece), kind) + piece
            first = False
            if not record:
                break
    return bytes(out)


def wandb_item(key: str | tuple[str, ...], value: object) -> bytes:
    names = field(1, key) if isinstance(key, str) else b"".join(field(2, k) for k in key)
    return field(1, names + field(16, value if isinstance(value, bytes) else json.dumps(value)))


def wandb_row(row: Mapping[str | tuple[str, ...], object], step: int | None = None) -> bytes:
    """A history record; values that are bytes are JSON as it stands."""
    items = b"".join(wandb_item(k, v) for k, v in row.items())
    return field(1, 7) + field(2, items + (field(2, field(1, step) if step else b"") if step is not None else b""))


def wandb_summary(row: Mapping[str | tuple[str, ...], object]) -> bytes:
    return field(3, b"".join(wandb_item(k, v) for k, v in row.items()))


def wandb_config(row: Mapping[str | tuple[str, ...], object]) -> bytes:
    return field(5, b"".join(wandb_item(k, v) for k, v in row.items()))


def wandb_run(
    run_id: str, name: str, config: Mapping[str, object], group: str = "", seconds: int = 1_700_000_000
) -> bytes:
    items = b"".join(wandb_item(k, v) for k, v in config.items())
    said = (
        field(1, run_id) + field(3, "project") + field(4, items) + field(6, group) + field(7, "train") + field(8, name)
    )
    return field(17, said + field(10, "tag a") + field(10, "tag b") + field(17, field(1, seconds)))


def wandb_exit(code: int) -> bytes:
    return field(18, field(1, code) if code else b"")


def wandb_file(folder: Path, run_id: str, records: Iterable[bytes]) -> Path:
    """A run directory with its record file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"run-{run_id}.wandb"
    path.write_bytes(blocks(WANDB, records))
    return path


def swan_start(name: str, run_id: str, seconds: int = 1_700_000_000) -> bytes:
    said = field(1, "project") + field(4, name) + field(6, "tag a") + field(7, "group") + field(10, run_id)
    return field(1, -1) + field(10, said + field(12, field(1, seconds)))


def swan_scalar(key: str, step: int, value: float, seconds: int = 1_700_000_100) -> bytes:
    said = field(1, key) + (field(2, step) if step else b"") + field(3, 1) + field(4, field(1, seconds))
    return field(2, field(1, seconds)) + field(13, said + field(5, field(1, value) if value else b""))


def swan_media(key: str, step: int) -> bytes:
    return field(14, field(1, key) + field(2, step) + field(3, 2))


def swan_column(key: str, *, system: bool) -> bytes:
    return field(12, field(1, 2 if system else 1) + field(2, 1) + field(3, key))


def swan_finish(state: int, error: str = "") -> bytes:
    return field(11, (field(1, state) if state else b"") + (field(2, error) if error else b""))
