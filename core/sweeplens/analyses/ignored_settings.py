"""Finds the hyperparameters that a printed message calls ignored, unknown, unused or without effect.

``ignoring unknown config keys ['mixup_alpha']`` names ``mixup_alpha``; ``momentum has no effect with adam`` names ``momentum``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

__all__ = ["MAY_IGNORE", "names_by_word", "settings_ignored_in"]

MAY_IGNORE = (
    "(?i)ignor|unknown|unused|recogni|unexpected|support|applied|used|no effect|overridden|accept|does ?n.t|do not"
)
"""A Polars pattern: each message that names an ignored setting matches it."""

_OBJECTS = re.compile(
    r"\b(?:ignor(?:ed|ing|es)|unknown|unused|unrecogni[sz]ed|unexpected|unsupported|not (?:applied|used|supported)|"
    r"(?:does not|doesn't|do not) (?:support|use|accept|know))\b(.*)",
    re.IGNORECASE,
)
_SUBJECT = re.compile(
    r"(.*?)\b(?:(?:(?:is|are|was|were|will be|be|been|being)\s+(?:\w+ )?)?(?:ignored|unused|overridden)|"
    r"(?:is|are|was|were)\s+(?:\w+ )?(?:unknown|unsupported|unrecogni[sz]ed)|(?:has|have|had) no effect|"
    r"(?:(?:is|are|was|were|will) )?not (?:be )?(?:used|applied|supported|recogni[sz]ed))\b",
    re.IGNORECASE,
)
_REASON = re.compile(
    r"\b(?:because|when|since|as|for|if|unless|with|due|while|in favou?r|instead|using|by|from|falling|fall)\b|;|\. ",
    re.IGNORECASE,
)
_WEIGHTS = re.compile(r"state_dict|\.(?:weight|bias)\b|\bcolumns?\b", re.IGNORECASE)
_TOKEN = re.compile(r"(?P<mark>['\"`\[({]|--)?(?<![\w.])(?P<name>[A-Za-z_][\w.\-/]*)(?P<value>\s?=)?")
_USUAL = frozenset(
    "args argument arguments batch batches config configs configuration data dataset device epoch epochs eval field "
    "fields file files group id input key keys label labels layer layers loss metric mode model name option options "
    "output parameter parameters path run samples seed setting settings step steps task test train trainer type "
    "user val validation value values version weights".split()
)  # words of messages that may be names of settings too; they count where they are quoted


def names_by_word(hparams: Iterable[str]) -> dict[str, list[str]]:
    """Returns the word by which a message names each hyperparameter -> its columns: the whole name, and its last part."""
    found: dict[str, list[str]] = {}
    for name in hparams:
        for word in dict.fromkeys((name, re.split(r"[./]", name)[-1])):
            found.setdefault(_plain(word), []).append(name)
    return found


def settings_ignored_in(text: str, words: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Yields the hyperparameters that a message calls ignored. ``words``: see `names_by_word`."""
    if _WEIGHTS.search(text):
        return
    for part, is_subject in _parts(text):
        found = list(_named_in(part, words, is_subject=is_subject))
        yield from found
        if found:
            return


def _named_in(part: str, words: Mapping[str, Sequence[str]], *, is_subject: bool) -> Iterator[str]:
    tokens = list(_TOKEN.finditer(part))
    for i, token in enumerate(tokens):
        last = is_subject and i == len(tokens) - 1
        word = _plain(token["name"])
        if word in words and (_is_marked(token) or (word not in _USUAL and (last or not is_subject))):
            yield from words[word]


def _parts(text: str) -> Iterator[tuple[str, bool]]:
    """Yields the parts of a message that name what is ignored, without the reason; whether it is the subject of the sentence."""
    if found := _SUBJECT.match(text):
        yield re.split(r";|\. |: ", found[1].strip())[-1], True
    if found := _OBJECTS.search(text):
        yield _REASON.split(found[1], maxsplit=1)[0], False


def _is_marked(token: re.Match[str]) -> bool:
    """Whether a word is written as the name of a setting: quoted, with a value, or with an underscore or a dot."""
    return bool(token["mark"] or token["value"]) or "_" in token["name"].strip("_") or "." in token["name"].rstrip(".")


def _plain(word: str) -> str:
    return word.lower().strip("_.-/").replace("-", "_")
