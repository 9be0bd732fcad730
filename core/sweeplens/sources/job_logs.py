"""What a printed log says of the job that wrote it: its number, its command lines, the settings and paths that it printed.

    job_log(file)   -> these facts, from the beginning and the end of the log

They tell which run a log belongs to that lies in a folder of its own (``slurm/slurm-771253.out``); `store.log_links` decides.
Lines that load something name the folder of another run, so their paths do not count.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any, cast

from msgspec import Struct

from sweeplens.errors import FormatError
from sweeplens.models import flatten
from sweeplens.readers.decoding import compression
from sweeplens.readers.protocol import SAMPLE_BYTES, FileStat
from sweeplens.readers.text.lines import cleaned
from sweeplens.readers.text.settings import settings_in

__all__ = ["JobLog", "Pairs", "job_log", "job_numbers"]

Pairs = Mapping[str, str]
"""Names and values of settings as they were printed."""

_HEAD = 1 << 14  # characters in which command lines and settings are looked for
_MOST_COMMANDS, _MOST_PATHS = 8, 2000
_COMMAND = re.compile(r"(?:^|[\s'\"/])((?:[\w.\-]+/)*[\w.\-]+)\.py(?=\s|$)(.*)$|\bpython[\d.]* -m ([\w.]+)(.*)$")
_NO_TRAINING = re.compile(
    r"(?i)(?:^|[_./-])(?:eval\w*|test\w*|infer\w*|predict\w*|export\w*|preproc\w*|prepare\w*|plan\w*|download\w*|score\w*|"
    r"ensembl\w*|plot\w*|convert\w*|collect\w*|sync\w*|summar\w*|setup)(?=$|[_./-])"
)
_LISTED = re.compile(r"\.py['\"],\s*['\"]")
_LAUNCHERS = frozenset({"torch.distributed.run", "torch.distributed.launch", "accelerate.commands.launch"})
_OPTION = re.compile(r"(?:--?|\+{1,2})?([A-Za-z_][\w.\-/]*)=(.*)", re.DOTALL)
_FLAG = re.compile(r"--?([A-Za-z_][\w.\-]*)")
_JOB = re.compile(
    r"(?i)\b(?:SLURM_)?(?:ARRAY_)?JOB[ _]?ID\b['\"]?\s*[:=]?\s*['\"]?(\d{2,}(?:[_.]\d+)?)|\*\*\* (?:JOB|STEP) (\d{2,})"
    r"|\bPBS_JOBID\s*[:=]\s*(\d{2,})|\bLSB_JOBID\s*[:=]\s*(\d{2,})|\bSubmitted batch job (\d{2,})"
)
_LOADS = re.compile(
    r"(?i)\b(?:load\w*|restor\w*|pre-?train\w*|init\w* from|weights|teacher|warm|fine-?tun\w* from|checkpoint from)"
)
_PATH = re.compile(r"[\w.\-=+@,]*(?:[/\\][\w.\-=+@,]+)+")
_WORD = re.compile(r"[A-Za-z][\w.\-=+@]*")


class JobLog(Struct, frozen=True):
    """The facts in a printed log. ``trains``: whether neither its name nor a command line is that of another program, such as an
    evaluation."""

    file: FileStat
    numbers: tuple[str, ...]
    commands: tuple[Pairs, ...]
    settings: Pairs
    paths: frozenset[str]
    words: frozenset[str]
    trains: bool = True

    @property
    def job(self) -> str:
        """A text that the output and the errors of one job have alike: its number, else the folder and the name without suffix."""
        stem = re.sub(r"(?i)\.(?:out|err|log)$|\.[oe](?=\d+$)", "", self.file.path)
        return next(job_numbers(_name(self.file)), stem)

    @property
    def order(self) -> tuple[int, ...]:
        """The numbers in the log's name: jobs that were submitted later have higher ones."""
        return tuple(int(n) for n in re.findall(r"\d{1,18}", _name(self.file)))


def job_log(file: FileStat) -> JobLog:
    """Returns the facts in a log. Raises FormatError if it is no text, and what opening it raises."""
    sample = compression.sample(file.path, SAMPLE_BYTES)
    if b"\0" in sample:
        raise FormatError("it is binary")
    text = cleaned(sample).decode("utf-8", "replace")
    head = text[:_HEAD].replace("\\\n", " ")
    commands = list(_commands(head))
    own = "\n".join(line for line in text.split("\n") if not _LOADS.search(line))
    paths = dict.fromkeys(p.replace("\\", "/").strip("/.,") for p in _PATH.findall(own))
    return JobLog(
        file,
        tuple(dict.fromkeys((*job_numbers(_name(file)), *_printed_numbers(text)))),
        tuple(pairs for _, pairs in commands if pairs),
        _settings(head),
        frozenset(list(paths)[:_MOST_PATHS]),
        frozenset(dict.fromkeys(_WORD.findall(own))),
        not any(_NO_TRAINING.search(program) for program in (_name(file), *(program for program, _ in commands))),
    )


def job_numbers(name: str) -> Iterator[str]:
    """Yields the numbers of a job in a file's name: ``771253_4`` and ``771253`` of ``slurm-771253_4.out``."""
    for found in re.finditer(r"(?<!\d)(\d{3,})(?:[_.](\d+))?(?!\d)", name):
        yield from ([f"{found[1]}_{found[2]}"] if found[2] else [])
        yield found[1]


def _printed_numbers(text: str) -> Iterator[str]:
    for found in _JOB.finditer(text):
        yield str(next(filter(None, found.groups()))).replace(".", "_")


def _name(file: FileStat) -> str:
    return file.path.replace("\\", "/").rpartition("/")[2]


def _commands(head: str) -> Iterator[tuple[str, Pairs]]:
    """Yields the programs that a log names in command lines, with their arguments."""
    count = 0
    for printed in head.split("\n"):
        line = _as_words(printed) if _LISTED.search(printed) else printed
        found = _COMMAND.search(line)
        if found is None or count >= _MOST_COMMANDS or "Error" in line:
            continue
        program, rest = (found[1], found[2]) if found[1] else (found[3], found[4])
        if program in _LAUNCHERS and (inner := _COMMAND.search(rest)):
            program, rest = (inner[1], inner[2]) if inner[1] else (inner[3], inner[4])
        count += 1
        yield PurePath(program).name, _pairs(_words(rest))


def _as_words(line: str) -> str:
    """Returns a line with a printed list of arguments as words: ``['train.py', '--lr', '0.1']``."""
    return re.sub(r"['\"],\s*['\"]", " ", line).replace("['", " ").replace("']", " ")


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:  # an open quotation mark
        return text.split()


def _pairs(words: list[str]) -> Pairs:
    """Returns ``name=value``, ``--name=value``, ``--name value`` and ``--flag`` of a command line."""
    pairs: dict[str, str] = {}
    for at, word in enumerate(words):
        following = words[at + 1] if at + 1 < len(words) else ""
        if option := _OPTION.fullmatch(word):
            pairs.setdefault(option[1], option[2])
        elif flag := _FLAG.fullmatch(word):
            takes = (
                following and (not following.startswith("-") or re.match(r"-\.?\d", following)) and "=" not in following
            )
            pairs.setdefault(flag[1], following if takes else "true")
    return pairs


def _settings(head: str) -> Pairs:
    flat = flatten(cast("dict[str, Any]", settings_in(head)))
    return {k: str(v) for k, v in flat.items() if isinstance(v, str | int | float | bool)}
