"""Sources of every format with something odd in their contents, names or sidecars, beside healthy runs.

`seeds` are real logs: the samples of this repository, small ones written here, and, where SWEEPLENS_CORPUS names them,
small sources of every set of the corpus. `odd` makes one of them odd. `Beside` holds what must hold whatever lies in a folder.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import shutil
import sqlite3
import struct
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

import polars as pl

from support.odd_seeds import DATABASES, TEXTS
from support.sweep import write_run
from support.wire_samples import (
    SWANLAB,
    blocks,
    event,
    event_file,
    scalar,
    swan_finish,
    swan_scalar,
    swan_start,
    wandb_config,
    wandb_file,
    wandb_row,
)
from sweeplens import AnalysisConfig, ExperimentDB
from sweeplens.readers import READERS
from sweeplens.readers.decoding.zstd import zstd
from sweeplens.sources.discover import discover

__all__ = ["Beside", "Files", "odd", "seeds", "write_files"]

Files = Mapping[bytes, bytes]
"""Relative path -> content."""

_SMALL = 16_000
_DATA = Path(__file__).parents[1] / "data"
_HEALTHY = 4

_TOKENS = (
    '"\\udce9"', '"\\ud83d\\u0000"', '{"\\u0000": "int", "is": "zzz"}', "1e999", "-1e999", "NaN", "9" * 400, "9" * 5000, "null",
    "true", "[]", "{}", "[[[[]]]]", "[" * 400, '{"a":' * 200, '"' + "x" * 3000 + '"', '"*"', '"^a$"', "18446744073709551616",
    "-0.0", "9223372036854775807", '"2001-99-99T00:00:00"', '"9999-12-31T23:59:59-14:00"', "1e308",
    '"\x00"', '"\u202e\u200b"', "''", "0x" + "f" * 4000,
)  # fmt: skip
_YAML = (
    "!!bool maybe", "!!int ''", "!!timestamp today", "!!float ''", "&a [*a]", "&a {b: *a}", "!!set {a, b}", "!!binary aGVsbG8=",
    "!!binary '%'", "2001-01-01", "9999-12-31T23:59:59-14:00", "{<<: 3}", "{<<: [{a: 1}, {b: 2}]}", "? [1]", "0x" + "f" * 5000,
    "1_000", "190:20:30", "!!python/object/apply:os.system ['x']", "!!omap [a: 1]", '"\\udce9"', "*none", "~", "[" * 150,
)  # fmt: skip
_NAMES = (
    b"caf\xe9",
    b"\xff\xfe",
    b"*",
    b"^a$",
    b"a\nb",
    b" ",
    b"\\udce9",
    b"x" * 200,
    b"a.b",
    b"'",
    b"-",
    b"\xe2\x80\xae",
    b"@",
)
_SIDECARS = ("config.json", "config.yaml", "hparams.yaml", "params.json", "args.json", ".hydra/config.yaml", "run.json",
             ".hydra/overrides.yaml", "config.toml", "args.txt", "opts.txt", "params/opt.json", ".guild/attrs/flags",
             "exit_code", "status.json", "slurm-7.err")  # fmt: skip


def seeds(folder: Path) -> list[Files]:
    """Real sources, each as its files; ``folder`` is for what must be written first."""
    found: list[Files] = [{n.encode(): t.encode() for n, t in files.items()} for files in TEXTS.values()]
    found += [_compressed(TEXTS[name]) for name in ("hydra", "yolo", "text_logs")]
    for name, script in DATABASES.items():
        (folder / name).mkdir(parents=True)
        with closing(sqlite3.connect(folder / name / name)) as connection:
            connection.executescript(script)
    event_file(
        folder / "tb" / "events.out.tfevents.1.x", [event(1.7e9 + s, s, scalar("loss", 1 / (s + 1))) for s in range(4)]
    )
    rows = [wandb_row({"loss": 1 / (s + 1), "_timestamp": 1.7e9 + s}, s) for s in range(4)]
    wandb_file(folder / "wandb", "abc", [wandb_config({"lr": 0.1}), *rows])
    values = [swan_start("first", "abc"), *(swan_scalar("loss", s, 1 / (s + 1)) for s in range(4)), swan_finish(1, "")]
    found.append({b"run-20240101_000000-abc/run-abc.swanlab": blocks(SWANLAB, values)})
    roots = [folder, _DATA]
    if corpus := os.environ.get("SWEEPLENS_CORPUS"):
        roots += sorted(p.parent / "logs" for p in Path(corpus).glob("*/expected.json"))
    return [*found, *(files for root in roots for files in _small(root.resolve()))]


def _compressed(texts: Mapping[str, str]) -> Files:
    """The same source with its logs compressed."""
    packed = {(".jsonl", ".log"): (b".gz", gzip.compress), (".csv",): (b".zst", zstd.compress)}
    made: dict[bytes, bytes] = {}
    for name, text in texts.items():
        ending, compress = next((how for ends, how in packed.items() if name.endswith(ends)), (b"", bytes))
        made[name.encode() + ending] = compress(text.encode())
    return made


def _small(root: Path) -> list[Files]:
    """Up to four small sources of each reader below a root; its smallest where none is small."""
    chosen: list[Files] = []
    sources = [s for s in discover([root], READERS).sources if sum(f.size for f in s.files) > 30]
    for reader in sorted({s.reader for s in sources}):
        mine = sorted((s for s in sources if s.reader == reader), key=lambda s: sum(f.size for f in s.files))
        some = [s for s in mine if sum(f.size for f in s.files) <= _SMALL] or mine[:1]
        for source in (some[0], *random.Random(reader).sample(some[1:], min(3, len(some) - 1))):
            top = Path(os.path.commonpath([Path(f.path).parent for f in source.files]))
            top = top.parent if top != root else top
            chosen.append({os.fsencode(Path(f.path).relative_to(top)): Path(f.path).read_bytes() for f in source.files})
    return chosen


def odd(files: Files, dice: random.Random) -> dict[bytes, bytes]:
    """The files with one to three odd things about them."""
    made = dict(files)
    for _ in range(dice.choice((1, 1, 2, 3))):
        dice.choice((_content, _content, _token, _token, _token, _name, _sidecar))(made, dice)
    return made


def _content(files: dict[bytes, bytes], dice: random.Random) -> None:
    """Bytes are changed, cut, zeroed, repeated."""
    name = dice.choice(sorted(files))
    some = bytearray(files[name])
    at, many = dice.randrange(len(some) + 1), dice.choice((1, 4, 8, 300))
    match dice.randrange(6):
        case 0:
            for _ in range(many if some else 0):
                some[dice.randrange(len(some))] ^= 1 << dice.randrange(8)
        case 1:
            del some[at:]
        case 2:
            some[at : at + many] = bytes(many)
        case 3:
            some[at : at + 8] = dice.choice(
                (b"\xff" * 8, struct.pack("<q", -1 << 63), b"9" * 8, struct.pack("<Q", 1 << 62))
            )
        case 4:
            some[at:at] = some[at : at + many]
        case _:
            some[at : at + 1] = dice.choice(
                (b"{", b'"', b",", b"\n", b"\xe9", b"\xed\xb3\xa9", b"\x00", b"\xef\xbb\xbf", b"\t")
            )
    files[name] = bytes(some)


def _token(files: dict[bytes, bytes], dice: random.Random) -> None:
    """A value, a key or a cell becomes an odd one."""
    name = dice.choice(sorted(files))
    data = files[name]
    odd_value = dice.choice(_YAML if name.endswith((b".yaml", b".yml")) else _TOKENS).encode("utf-8", "surrogatepass")
    marks = [i for i, byte in enumerate(data) if byte in b":=,[{\t\n"]
    if not marks:
        files[name] = data + odd_value
        return
    begin = dice.choice(marks) + 1
    ends = [e for m in (b",", b"}", b"]", b"\n", b":", b"\t") if (e := data.find(m, begin)) >= 0]
    files[name] = (
        data[:begin] + b" " * (data[begin - 1 : begin] == b":") + odd_value + data[min(ends, default=len(data)) :]
    )


def _name(files: dict[bytes, bytes], dice: random.Random) -> None:
    """A file or a folder is called oddly."""
    name = dice.choice(sorted(files))
    parts = name.split(b"/")
    place = dice.randrange(len(parts))
    stem, dot, ending = parts[place].partition(b".")
    called = dice.choice(_NAMES)
    parts[place] = dice.choice((called + dot + ending, called + parts[place], stem + called + dot + ending, called))
    prefix = b"/".join(name.split(b"/")[: place + 1])
    for old in [n for n in files if n == name or (place < len(parts) - 1 and n.startswith(prefix + b"/"))]:
        files[b"/".join(parts[: place + 1]) + old[len(prefix) :]] = files.pop(old)


def _sidecar(files: dict[bytes, bytes], dice: random.Random) -> None:
    """An odd config lies beside a file."""
    home = dice.choice(sorted(files)).rpartition(b"/")[0]
    name = dice.choice(_SIDECARS)
    if name.endswith("json"):
        text = (
            f'{{"lr": {dice.choice(_TOKENS)}, {dice.choice(_TOKENS)}: 1, "config": {dice.choice(("{}", "[]", "3"))}}}'
        )
    elif name.endswith(("yaml", "flags")):
        text = f"lr: {dice.choice(_YAML)}\n{dice.choice(_YAML)}: 1\nseed: {dice.choice(_YAML)}\n"
    else:
        begin = dice.choice(("lr = ", "--lr ", "- lr=", "[", ""))
        text = f"{begin}{dice.choice((*_TOKENS, *_YAML))}\nseed = {dice.choice(_TOKENS)}\n"
    files[home + b"/" * bool(home) + name.encode()] = text.encode("utf-8", "surrogatepass")


class Beside:
    """A folder of healthy runs, and what is told of them whatever lies beside."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.root = folder / "runs"
        for n in range(_HEALTHY):
            rows = [{"step": float(s), "loss": 1.0 / (s + n + 1)} for s in range(5)]
            write_run(
                self.root / f"ok{n}", {"healthy.rate": 0.1 * (1 + n % 2), "healthy.fold": n // 2}, rows
            )  # names of their own: types of columns are joint
        self._before = _told(self._opened())

    def differs(self, batch: Sequence[Files], *, twice: bool = False) -> str:
        """What is other than without these sources, in words; nothing where all is as it must be.

        ``twice``: through a store, which a second database reads back.
        """
        odd_folder = self.root / "odd"
        for number, files in enumerate(batch):
            write_files(odd_folder / str(number), files)
        try:
            return self._differs(twice=twice)
        finally:
            shutil.rmtree(odd_folder)
            shutil.rmtree(self._folder / "cache", ignore_errors=True)

    def _differs(self, *, twice: bool) -> str:
        first = self._opened(kept=twice)
        for db in (first, self._opened(kept=True)) if twice else (first,):
            if not all(a.equals(b) for a, b in zip(_told(db), self._before, strict=True)):
                return "the healthy runs are told otherwise"
            json.dumps(
                [db.overview().table.rows(), db.list_runs().table.rows(), db.problems.rows()], default=str
            ).encode()
            if twice and not db.runs_df.drop("status").equals(first.runs_df.drop("status")):
                return "the second database has other runs"
            if twice and not db.series_df.equals(first.series_df):
                return "the second database has other series"
        return ""

    def _opened(self, *, kept: bool = False) -> ExperimentDB:
        folder = str(self._folder / "cache")
        config = AnalysisConfig(cache="disk" if kept else "memory", cache_dir=folder, refresh_seconds=1e6)
        return ExperimentDB(config, base_path=self.root)


def _told(db: ExperimentDB) -> list[pl.DataFrame]:
    mine = ["ok*"]
    return [
        db.runs_df.filter(pl.col("run_id").str.starts_with("ok"))
        .select("run_id", "n_steps", "format", "healthy.rate", "healthy.fold")
        .sort("run_id"),
        db.rank("loss", runs=mine).table,
        db.query_metrics("^loss$", mine).sort("run_id", "step"),
    ]


def write_files(home: Path, files: Files) -> None:
    """The files below a folder; a name that cannot be had there is left out."""
    for name, data in files.items():
        path = Path(os.fsdecode(os.fsencode(home) + b"/" + name))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        except (OSError, ValueError):
            continue
