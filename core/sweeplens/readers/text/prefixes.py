"""Finds the parts of a printed line before its values: time, level, logger, and the rank of the process.

without_prefix(text)  -> the rest of a line; the index of the time; the logger; the rank
rank_place(text)      -> the index of a number that is a rank; each rank of a job gets names of its own
"""

from __future__ import annotations

import re

from sweeplens.readers.text.fields import CLOCK, DATE, NUM, place_of

__all__ = ["rank_place", "without_prefix"]

_LEVEL = r"(?:DEBUG|INFO|WARN(?:ING)?|ERROR|CRITICAL|NOTICE|TRACE|SUCCESS|I|W)"
_WORD_LEVEL = r"(?:DEBUG|INFO|WARN(?:ING)?|ERROR|CRITICAL|NOTICE|TRACE|SUCCESS)"
_PREFIXES = tuple(
    re.compile(p)
    for p in (
        rf"\s*(?:ts|time|timestamp)=\"?[{DATE}]\"?\s+",
        rf"\s*\(\w+ pid=[{NUM}](?:, ip=[^)]*)?\)\s*",
        r"\s*\[?node_?\d+\]?:\s*",
        rf"\s*[IWEF]\d{{4}} [{CLOCK}]\s+[{NUM}]\s+\S+?:[{NUM}]\]\s*",
        rf"\s*(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)\w* )?[A-Z][a-z][a-z]\s+[{NUM}]\s+[{CLOCK}]\s*(?:[A-Z]{{3,4}} )?(?:[{NUM}])?[:\s]*",
        rf"\s*[\[(]?(?:[{DATE}]|[{NUM}](?:[/.\-][{NUM}]){{1,2}}[ |T,]+[{CLOCK}]|[{CLOCK}])(?:[.,][{NUM}])?"
        rf"(?:[ ,]+{_LEVEL}\b)?(?:\s+[\w.]+)?(?=[\])])[\])]?[\s:\-|]*",
        rf"\s*[\[(]?(?:[{DATE}]|[{NUM}](?:[/.\-][{NUM}]){{1,2}}[ |T,]+[{CLOCK}]|[{CLOCK}])(?:[.,][{NUM}])?[\])]?[\s:\-|,]*",
        rf"\s*(?:-\s*)?[\w.\\/]+ (?:-|\|) {_LEVEL} (?:-|\|) ",
        rf"\s*\(\w+:[{NUM}]\)\s*{_LEVEL}:\s*",
        rf"\s*[\w.]+ {_LEVEL}:\s*",
        rf"(?:[^\t=]{{1,40}}\t){{1,3}}{_WORD_LEVEL}\t",
        rf"\s*\(?[\w./\\\-]+\.py[: ][{NUM}]\)?:?\s*{_WORD_LEVEL}:?\s*",
        rf"\s*[\[<(]?{_LEVEL}[\])>]?\s*(?:\|\s*[\w.]+(?::[\w<>]+:[{NUM}])?\s*[|-]\s|:[\w.]+:|[:|\-]\s|\s*\(\w[\w.]*:[{NUM}]\):?|(?<=\]))\s*",
        rf"\s*\[[\w.\-]+\](?=\s*[{DATE}])\s*",
        rf"\s*\[[\w/.\-]+\.py:[{NUM}][^\]]*\]\s*",
        rf"DLLL?\s+(?=[{DATE}])",
        rf"\s*{_WORD_LEVEL}\s+(?=\S)",
        r"\s*[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+ [-|] (?=[A-Za-z\[({*#])",
        rf"\s*\[?[\w./\\\-]+\.py(?::[{NUM}])?(?::\w+)?[\]):]*\s*(?:[-|]\s)?(?=\S)",
    )
)
_LOGGER = re.compile(rf"{_LEVEL} \| ([\w.]+) \| ")
_NEAR = 80  # a rank within so many first characters is a prefix
_RANK_NUMBER = tuple(
    re.compile(p)
    for p in (
        rf"[^{NUM}]{{0,80}}?(?i:\brank)[ _:=]?([{NUM}])",
        rf"\s*\[[{NUM}],([{NUM}])\]<std\w+>:",
        rf"(?i)\s*\[?(?:default|trainer|worker|gpu|proc(?:ess)?|device)[ _#]?([{NUM}])(?:\]:?|:)\s",
        rf"(?i).*[\s,;|(\[]rank[ :=]?([{NUM}])[)\]]?\s*$",
    )
)
_NUMBERED = re.compile(
    rf"\s*(?:([{NUM}])\s?: +|\[([{NUM}])\]:? +|\(([{NUM}])/[{NUM}]\) +)(?=[A-Za-z\[{{{DATE}{CLOCK}])"
)
_COUNTS = re.compile(
    rf"(?i)(?<![\w.])(?:epoch|iter|iteration|step|global_step|update)['\"]?\s*[:=#]?\s*[\[(]?\s*[{NUM}]"
)
_RANK = tuple(
    re.compile(p)
    for p in (
        rf"\s*\[?(?i:rank)[ _:=]?(\d+|[{NUM}])\]?:?\s+",
        rf"\s*\[[{NUM}],(\d+)\]<std\w+>:\s*",
        r"(?i)\s*\[?(?:default|trainer|worker|gpu|proc(?:ess)?|device)[ _#-]?(\d+)(?:\]:?|:)\s+",
        rf"\s*(\d+)\s?: +|\s*\[(\d+)\]:? +|\s*\((\d+)/[{NUM}]\) +",
    )
)
_RANK_BEHIND = re.compile(r"(?i)[\s,;|(\[]+rank[ :=]?(\d+)[)\]]?\s*$")


def rank_place(text: str) -> int | None:
    """Returns the index of the number that is the rank of a line; None where there is none.

    A number alone at the front is a rank only if the line counts by a name of its own: ``0: step 5 loss 0.1``.
    """
    for pattern in _RANK_NUMBER:
        found = pattern.match(text)
        if found and (found.end() < _NEAR or found.end() == len(text)):
            return place_of(found[1])
    found = _NUMBERED.match(text)
    if found and _COUNTS.search(text, found.end()):
        return place_of(found[1] or found[2] or found[3])
    return None


def without_prefix(text: str) -> tuple[str, int | None, str, str]:
    """Returns the text after time, level, logger and rank; the index of the time; the logger; the rank."""
    wall: int | None = None
    logger = rank = ""
    for _ in range(6):
        found: re.Match[str] | None = next((m for p in _RANK if (m := p.match(text))), None)
        if found:
            named = str(found[found.lastindex or 0])
            rank = named if named.isdigit() else ""
        else:
            found = next((m for p in _PREFIXES if (m := p.match(text)) and m.end()), None)
        if found is None:
            break
        if wall is None and (date := re.search(f"[{DATE}]", found.group())):
            wall = place_of(date.group())
        if of := _LOGGER.search(found.group()):
            logger = of[1]
        text = text[found.end() :]
    if behind := _RANK_BEHIND.search(text):
        text, rank = text[: behind.start()], behind[1]
    return text, wall, logger, rank
