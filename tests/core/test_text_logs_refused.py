"""Texts that are not training logs are never read as one: thousands of installed files, and output of programs."""

from __future__ import annotations

import random
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.reading import read_folder

from sweeplens.readers.decoding.compression import sample
from sweeplens.readers.protocol import SAMPLE_BYTES
from sweeplens.readers.text.recognition import is_text_log

_MOST = 2050
_ENDS = (
    ".txt",
    ".md",
    ".rst",
    ".py",
    ".pyi",
    ".toml",
    ".cfg",
    ".csv",
    ".json",
    ".h",
    ".c",
    ".js",
    "METADATA",
    "RECORD",
    "LICENSE",
    "NOTICE",
    "README",
)
_WORDS = """the a of and step epoch model loss was 3 in we it said that training for 0.5 with at chapter 12 page line time 10:30 of
good night morning iteration about which we went over 7 more than accuracy of her score he lost 2 points : , . = - ( )""".split()


def installed() -> Iterator[Path]:
    """Documentation, licences, metadata and sources of packages, in an order that is the same on each run."""
    roots = [Path(sysconfig.get_path("purelib")), Path(sysconfig.get_path("stdlib"))]
    found = sorted({p for root in roots for p in root.rglob("*") if p.name.endswith(_ENDS) and p.is_file()})
    random.Random(0).shuffle(found)
    yield from found[:_MOST]


def test_no_text_that_is_installed_here_is_a_log() -> None:
    taken: list[Path] = []
    looked = 0
    for path in installed():
        looked += 1
        if is_text_log("train.txt", sample(str(path), SAMPLE_BYTES)):
            taken.append(path)
    assert looked >= 2000
    assert not taken


@pytest.mark.parametrize("seed", range(20))
def test_a_book_and_a_chat_are_no_logs(seed: int) -> None:
    rng = random.Random(seed)
    book = "\n".join(" ".join(rng.choices(_WORDS, k=rng.randint(3, 14))) for _ in range(400))
    chat = "\n".join(
        f"[{h:02d}:{rng.randint(0, 59):02d}] user{rng.randint(1, 3)}: {' '.join(rng.choices(_WORDS, k=8))}"
        for h in range(24)
    )
    assert not is_text_log("log.txt", book.encode())
    assert not is_text_log("log.txt", (chat + "\n").encode())


def lines(template: str, count: int = 200) -> str:
    """A line many times, with numbers that change: ``{i}`` goes forward, ``{n}``, ``{x}`` do not."""
    rng = random.Random(1)
    return "".join(
        template.format(i=i, n=rng.randint(1, 999), x=f"{rng.random():.3f}", s=i % 60) + "\n" for i in range(count)
    )


OTHERS = {
    "web server": lines(
        '127.0.0.1 - - [10/Oct/2024:13:55:{s:02d} +0000] "GET /page/{n} HTTP/1.1" 200 {n} "-" "Mozilla/5.0" {x}'
    ),
    "pip": lines(
        "Collecting package{n}==1.{i}.0\n  Downloading package{n}-1.{i}.0.whl ({n} kB)\n     |################| {n} kB {x} MB/s"
    ),
    "pip bar": lines("   ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━ {i}.{n}/250.0 MB {x} MB/s eta 0:00:{s:02d}"),
    "apt": lines("Get:{i} http://archive.ubuntu.com/ubuntu jammy/main amd64 lib{n} amd64 {x} [{n} kB]"),
    "npm": lines("npm http fetch GET 200 https://registry.npmjs.org/p{n} {n}ms (cache miss)"),
    "cmake": lines("[{i:3d}%] Building CXX object src/CMakeFiles/a.dir/f{n}.cpp.o"),
    "ninja": lines("[{i}/200] Building CXX object src/f{n}.cpp.o"),
    "compiler": lines("src/f{n}.cpp:{i}:{s}: warning: unused variable 'loss' [-Wunused-variable]"),
    "syslog": lines("Oct 10 13:55:{s:02d} host kernel: [{i}.{n}] usb 1-{n}: new device number {n} using xhci_hcd"),
    "timing": lines("iteration {i}: {x} s"),
    "timing named": lines("step {i} time: {x} s, memory: {n} MB, throughput: {n} it/s"),
    "ping": lines("64 bytes from 8.8.8.8: icmp_seq={i} ttl=117 time={x} ms"),
    "download": lines("\r{i}%|####      | {i}/200 [00:{s:02d}<00:10, {x}it/s]"),
    "pytest": lines("tests/test_{n}.py::test_step_{i} PASSED [ {s}%]"),
    "docker": lines("Step {i}/200 : RUN pip install x=={n}\n ---> {n}a{i}f"),
    "database": lines(
        "2024-01-01 10:00:{s:02d}.123 UTC [{n}] LOG:  checkpoint complete: wrote {n} buffers ({x}%); write={x} s, sync={x} s"
    ),
    "numbers": lines("{i} {n} {x}"),
    "words": lines("word{n} {x} {x} {x} {x}"),
    "requirements": lines("package{n}=={i}.{n}"),
    "memory": lines("{i} MiB  {n} MiB  line {i}: x = f(y)"),
}


@pytest.mark.parametrize("what", OTHERS)
def test_output_of_other_programs_is_not_a_training_log(what: str, tmp_path: Path) -> None:
    (tmp_path / "output.log").write_text(OTHERS[what])
    found = read_folder(tmp_path)
    assert [s.reader for s in found.sources if s.reader == "text_logs"] == []


def test_names_of_documents_are_not_looked_into(tmp_path: Path) -> None:
    text = "".join(f"epoch {e} loss {1 / e:.3f}\n" for e in range(1, 20))
    for name in ("README.txt", "requirements.txt", "LICENSE.txt", "CHANGELOG.txt", "notes.md", "readme_first.txt"):
        (tmp_path / name).write_text(text)
    assert not read_folder(tmp_path).sources
