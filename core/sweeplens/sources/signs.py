"""Files beside a log that say how its run ended: what people, schedulers and launchers leave; and its printed output.

    signs_of(folder, claim)   -> the files that may say it, by name alone
    end_by_signs(source)      -> what they say: one of frames.STATUSES, "" where they say nothing, and the words for a bad end

What counts, the first that says something:

    an exit code      ``exit_code``, ``returncode.txt``: 0 finished; 130, 137, 143 (signals) killed; else failed
    a status          ``status.json``, ``status.txt``, ``state``: a word that is known, or an exit code under a name of one
    a fact            ``"state": "finished"`` in ``result.json``, ``run_info.json`` and alike (`sources.run_facts`), after markers
    a marker          ``.done``, ``_SUCCESS``, ``FAILED``, ``CANCELLED``, ``<log>.done``: its name says it, never its content
    the last lines    of ``slurm-*.out``, ``*_log.err`` (submitit), ``*.log`` ...: of the newest job only; W&B says its end itself
    a result          ``*_result.pkl`` (submitit): finished, where the lines say nothing else; it is never opened

A sign counts for the only run of its folder, or for the log that it is named after; where a run's folder has none, those of
the folder above count, if the run's folder is named after logs (``exp/status.json`` over ``exp/logs/``) or is the only one
there. A sign much older than the log is of an earlier attempt. "running" is no sign: a program that was killed leaves it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from pathlib import PurePath

from sweeplens.readers.boundary import Failure, guarded
from sweeplens.readers.decoding import compression
from sweeplens.readers.decoding.fact_names import REPORT_FOLDERS, is_facts
from sweeplens.readers.decoding.values import as_step, status_of
from sweeplens.readers.protocol import Claim, FileStat, Source
from sweeplens.readers.text.ending import LogEnd, end_of, log_end
from sweeplens.sources.walk import WalkedFolder

__all__ = ["end_by_signs", "is_printed_log", "is_printed_or_marker", "is_sign", "signs_of"]

_TEXT = re.compile(
    r"(?:slurm[-_].*|.*_\d+_log)\.(?:out|err)|.*\.(?:out|err|log)|.*\.[oe]\d+|(?:nohup|stdout|stderr|output|console|cout|log|train_log)(?:\.txt)?",
    re.IGNORECASE,
)
_EXIT = re.compile(r"\.?(?:.*[._-])?(?:exit_?(?:code|status)|return_?code|rc)(?:\.(?:txt|json|log))?", re.IGNORECASE)
_STATUS = re.compile(r"\.?(?:.*[._-])?(?:status|state|job_status|run_status)(?:\.(?:txt|json))?", re.IGNORECASE)
_MARKER = re.compile(
    r"(?:[._]+|.*\.)?(?P<word>done|finished|success|succeeded|completed?|failed|failure|crashed|killed|cancell?ed|interrupted|"
    r"timeout|preempted|aborted)(?:\.(?:txt|flag|marker))?|[._]error|ERROR",
    re.IGNORECASE,
)
_RESULT = re.compile(r"\d+(?:_\d+)*_result\.pkl")
_NAMED_LOGS = re.compile(
    r"(?:.*_)?(?:logs?|logging|metrics|tensorboard|tb|csv|events|wandb|results?|output|stats|summary)(?:_.*)?|version_\d+"
)
_CODES = ("exit_code", "exitcode", "returncode", "return_code", "exit_status", "code")
_WORDS = ("status", "state", "run_status", "job_status", "result")
_SIGNALS = frozenset({130, 137, 143, -2, -9, -15})
_LOGS = (".jsonl", ".csv", ".tsv", ".wandb", ".log")
_GUILD_ATTRIBUTES = "attrs"  # the folder in which Guild AI keeps what it knows of a run
_CONSOLE = ("files/output.log", "files\\output.log")  # what W&B keeps of the printed output
_MOST = 16  # signs of one run
_SMALL = 1 << 16  # bytes of a file that holds a status
_UP = 3  # folders on the way up
_STALE = 600 * 10**9  # a sign that is older than the log by so much is of an earlier attempt


def signs_of(folder: WalkedFolder, claim: Claim) -> tuple[FileStat, ...]:
    """The files that may say how the run of a claim ended."""
    above = claim.files[0].rpartition("/")[0] if not claim.is_folder else ""
    home = folder.child(above) if above else folder
    alone = home is folder and sum(bool(c.files) and not c.copy_of for _, c in folder.claims or ()) == 1
    stem = "" if claim.is_folder or alone or home is not folder else PurePath(claim.files[0]).stem
    path = "" if home is folder else above + "/"
    others = {n for _, c in folder.claims or () if not (c.is_folder or c.copy_of or c is claim) for n in c.files}
    for _ in range(_UP):
        if home is None:
            return ()
        free = (n for n in sorted(home.files) if path + n not in claim.files and path + n not in others)
        names = [n for n in free if is_sign(n) and not (_TEXT.fullmatch(n) and b"\0" in home.head(n))]
        mine = [n for n in names if not stem or n.startswith((f"{stem}.", f"{stem}_", f"{stem}-"))]
        below = () if stem else _reports_below(home, {*claim.files, *claim.copies, *claim.belongs})
        if mine or below or stem or not _stands_for(home):
            return (*(home.files[n] for n in mine[:_MOST]), *below)
        home, path = home.child(".."), "/"  # asked for, so that the claim is looked at again when it changes
    return ()


def _reports_below(home: WalkedFolder, claimed: Collection[str]) -> tuple[FileStat, ...]:
    """The reports in a run's folders for results (``eval/results.json``) or saved files (W&B's ``files/``), where no log is; and
    the exit status that Guild AI keeps."""
    found: list[FileStat] = []
    if home.name == ".guild":
        home.shared.asked.add(_GUILD_ATTRIBUTES)
        found += [f for f in (home.find(f"{_GUILD_ATTRIBUTES}/exit_status"),) if f is not None]
    for name in REPORT_FOLDERS:
        child = home.folders.get(name)
        home.shared.asked.add(name)
        console = home.find(_CONSOLE[0]) if child and name == "files" and _CONSOLE[0] not in claimed else None
        found += [console] if console else []
        if child is None or any(n.endswith(_LOGS) or "tfevents" in n for n in child.files):
            continue
        files = [f for n in sorted(child.files) if is_facts(n) and n.endswith(".json") and not n.startswith("wandb-")
                 and f"{name}/{n}" not in claimed and (f := home.find(f"{name}/{n}"))]  # fmt: skip
        found += files
    return tuple(found[:_MOST])


def is_sign(name: str) -> bool:
    """Whether a file may say how a run ended, by its name."""
    return is_facts(name) or any(kind.fullmatch(name) for kind in (_EXIT, _STATUS, _MARKER, _TEXT, _RESULT))


def is_printed_or_marker(name: str) -> bool:
    """Whether a file is named like a program's output, or says by its name alone how a run ended."""
    return any(kind.fullmatch(name) for kind in (_EXIT, _MARKER, _TEXT))


def is_printed_log(name: str) -> bool:
    """Whether a file is called like the printed output of a program."""
    return bool(_TEXT.fullmatch(name)) and not _MARKER.fullmatch(name)


def _stands_for(folder: WalkedFolder) -> bool:
    """Whether a folder holds the logs of the one above: by its name, or since there is no other."""
    above = folder.parent
    if above is None or any(c.files for _, c in above.claims or ()):
        return False
    return bool(_NAMED_LOGS.fullmatch(folder.name.lower())) or len(above.folders) == 1


def end_by_signs(source: Source) -> LogEnd:
    """How the run ended as the files beside its log say it; a sign that cannot be read says nothing."""
    newest = max((f.mtime_ns for f in source.files), default=0)
    signs = [s for s in source.signs if s.mtime_ns >= newest - _STALE]
    texts = [s for s in signs if is_printed_log(_name(s)) and not s.path.endswith(_CONSOLE)]
    printed, status = _end_of_newest(texts), _status_of(signs)
    if status and status != printed.status:
        return LogEnd(status, printed.words if status not in ("finished", "pruned") else "")
    results = any(_RESULT.fullmatch(_name(s)) for s in signs)
    return printed if printed.status or not results else LogEnd("finished")


def _status_of(signs: Sequence[FileStat]) -> str:
    """The status in the files that hold one."""
    for kind, told in ((_EXIT, _exit_status), (_STATUS, _status_in), (_MARKER, _marker)):
        found = [status for s in _latest_first(signs) if kind.fullmatch(_name(s)) and (status := _said(s, told))]
        if found:
            return found[0]
    facts = (status for s in _latest_first(signs) if is_facts(_name(s)) and (status := _said(s, _status_in)))
    return next(facts, "")


def _said(sign: FileStat, told: Callable[[FileStat], str]) -> str:
    found = guarded(partial(told, sign), sign.path, "cannot be read")
    return "" if isinstance(found, Failure) else found


def _name(sign: FileStat) -> str:
    return sign.path.replace("\\", "/").rsplit("/", 1)[-1]


def _latest_first(signs: Iterable[FileStat]) -> list[FileStat]:
    return sorted(signs, key=lambda s: (s.mtime_ns // 10**9, _numbers(_name(s))), reverse=True)


def _numbers(name: str) -> tuple[int, ...]:
    return tuple(int(n) for n in re.findall(r"\d{1,18}", name))


def _exit_status(sign: FileStat) -> str:
    text = compression.head(sign.path, _SMALL).decode("utf-8", "replace").strip()
    number = re.fullmatch(r"(?:[\w ]*[:=]\s*)?(-?\d{1,4})", text)
    return _of_code(int(number[1])) if number else _status_in(sign)


def _of_code(code: int) -> str:
    return "finished" if code == 0 else "killed" if code in _SIGNALS else "failed"


def _status_in(sign: FileStat) -> str:
    """The status in a file: JSON with a word or a code, or a text that begins with a word."""
    text = compression.head(sign.path, _SMALL).decode("utf-8", "replace").strip()
    try:
        value: object = json.loads(text)
    except ValueError:
        value = re.split(r"[\s,;]", re.sub(r"^(?:status|state)\s*[:=]\s*", "", text.lower()), maxsplit=1)[0]
    if not isinstance(value, dict):
        return _known(value)
    fields: dict[str, object] = {str(k).lower(): v for k, v in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    words = (status for name in _WORDS if (status := _known(fields.get(name))))
    codes = (_of_code(code) for name in _CODES if (code := as_step(fields.get(name))) is not None)
    return next(words, "") or next(codes, "")


def _known(word: object) -> str:
    status = status_of(word) if isinstance(word, str) else ""
    return "" if status == "running" else status


def _marker(sign: FileStat) -> str:
    found = _MARKER.fullmatch(_name(sign))
    return status_of((found and found["word"]) or "error") if found else ""


def _end_of_newest(texts: Iterable[FileStat]) -> LogEnd:
    """What the last lines of the newest job say; its output and its errors are one job."""
    jobs: dict[str, list[FileStat]] = {}
    for text in _latest_first(texts):
        jobs.setdefault(re.sub(r"(?i)\.(?:out|err|log)$|\.[oe](?=\d+$)", "", _name(text)), []).append(text)
    for job in jobs.values():
        said = {end.status: end for text in job if (end := _last_lines(text)).status}
        if said or _is_scheduled(_name(job[0])):
            return next((said[s] for s in ("failed", "killed", "pruned", "finished") if s in said), LogEnd())
    return LogEnd()


def _last_lines(text: FileStat) -> LogEnd:
    found = guarded(lambda: log_end(end_of(text.path)), text.path, "cannot be read")
    return LogEnd() if isinstance(found, Failure) else found


def _is_scheduled(name: str) -> bool:
    """Whether a text is what a scheduler keeps for each job, so that an older one is of an earlier attempt."""
    return bool(re.match(r"(?i)slurm[-_]|.*_log\.(?:out|err)$|.*\.[oe]\d+$", name))
