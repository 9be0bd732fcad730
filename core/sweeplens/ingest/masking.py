"""Replaces values of hyperparameters and metadata with secrets' names by ``***``, before they are stored or shown.

A name is split into words (``hfToken``, ``HF_TOKEN`` and ``hf-token`` are ``hf token``). The last words decide:
``wandb_api_key`` is a secret, ``api_key_path`` and ``max_tokens`` are not. Text with ``name=value`` pairs or a command
line is searched for such names too. In a URL the password is a secret, and the signature that gives access to an object.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import cast

from msgspec.structs import replace

from sweeplens.readers.protocol import Problem, Reading, Resume, RunRecord

__all__ = ["MASK", "is_secret_name", "masked", "masked_problem", "without_secrets"]

MASK = "***"

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_ENDS = frozenset({
    "password", "passwords", "passwd", "passphrase", "secret", "secrets", "credential", "credentials", "auth", "authorization",
    "apikeys", "clientsecret", "oauth",
})  # fmt: skip
_KEYS = frozenset({
    "api", "access", "private", "secret", "encryption", "signing", "ssh", "account", "auth", "deploy", "storage", "service",
    "subscription", "master", "license", "gpg", "pgp", "rsa", "webhook", "host", "app", "admin", "client", "shared", "authorized",
})  # fmt: skip
"""Words before ``key`` that make it a secret; other keys (``sort_key``, ``image_key``) name a field."""
_OWNERS = frozenset({
    "access", "api", "auth", "bearer", "bot", "csrf", "github", "gitlab", "hf", "hub", "huggingface", "jwt", "oauth",
    "refresh", "sas", "secret", "security", "service", "session", "slack", "wandb",
})  # fmt: skip
"""Words before ``tokens`` that make them secrets; other tokens are the input of a model."""
_VOCABULARY = frozenset({
    "additional", "audio", "begin", "beginning", "bos", "class", "cls", "decoder", "dist", "distillation", "end", "eos", "eot",
    "every", "extra", "fill", "first", "image", "img", "last", "loss", "mask", "max", "min", "modality", "next", "num", "oov",
    "pad", "padding", "patch", "per", "prefix", "prompt", "query", "reg", "register", "sep", "separator", "sos", "special",
    "start", "stop", "suffix", "target", "text", "think", "time", "unk", "unknown", "video", "vision", "word",
})  # fmt: skip
"""Words before ``token`` that make it an entry of a vocabulary, or a unit: ``pad_token``, ``loss_per_token``."""
_PASS = frozenset({"admin", "db", "database", "ftp", "mysql", "postgres", "redis", "root", "smtp", "user"})
_KEPT_WITH = frozenset({"id", "value", "base", "hash", "str", "string", "text", "plain", "b64", "pem"})
"""Words after which a secret's name is still one: ``access_key_id``, ``password_hash``."""
_ENDINGS = (
    "apikey",
    "accesskey",
    "secretkey",
    "privatekey",
    "apitoken",
    "authtoken",
    "accesstoken",
    "password",
    "passwd",
)
_NUMBERS = frozenset({int, float, bool, type(None)})
_NAMED = re.compile(r"""(?<![\w.\-])(?:--[\w.\-]++(?=\s)\s*+|(?P<name>[\w.\-]++)["']?\s*+[=:]\s*+)""")
_VALUE = re.compile(
    r"""(?!--)(?:"[^"]*"|'[^']*'|(?:bearer|basic|token)\s+[^\s,;&"']+|[^\s,;&"'{}\[\]()]+)""", re.IGNORECASE
)

_USER = re.compile(r"""(?<=://)[^\s/?#"'<>]+(?=@)""")
"""Who a URL logs in as, with a password perhaps: ``postgres://me:word@host``."""
_LONG_USER = 20  # characters of a user without a password that is a token: ``https://ghp_...@github.com``
_SIGNATURE = re.compile(r"""(?<=[?&])((?i:sig|x-(?:amz|goog)-signature))=[^\s&"'<>]+""")
"""What gives access to one object of a bucket."""


@lru_cache(maxsize=16384)
def is_secret_name(name: str) -> bool:
    """Whether a value under this name is a secret. In a path, such as ``wandb.api_key``, one part is enough."""
    return any(_is_secret([w.lower() for w in _WORDS.findall(part)]) for part in re.split(r"[./]", name))


def _is_secret(words: Sequence[str]) -> bool:
    while len(words) > 1 and (words[-1].isdigit() or (words[-1] in _KEPT_WITH and words[-2] != "token")):
        words = words[:-1]
    if not words:
        return False
    *before, last = words
    above = before[-1] if before else ""
    if last in ("key", "keys"):
        return above in _KEYS
    if last == "token":
        return not _VOCABULARY & set(before)
    if last == "tokens":
        return above in _OWNERS
    if last in ("pwd", "pass"):  # alone they mean the working directory and a verb
        return above in _PASS
    return last in _ENDS or last.endswith(_ENDINGS) or words == ["cookie"]


def masked(value: object) -> object:
    """Returns text, a mapping or a list with secrets masked; the same object if it has none."""
    return _masked(value)


def without_secrets(reading: Reading) -> Reading:
    """Returns the reading with secrets masked; the same object if it has none."""
    runs, problems = tuple(map(_record, reading.runs)), tuple(map(masked_problem, reading.problems))
    resume = _resume(reading.resume)
    same = resume is reading.resume and all(a is b for a, b in zip(runs, reading.runs, strict=True))
    if same and all(a is b for a, b in zip(problems, reading.problems, strict=True)):
        return reading
    return replace(reading, runs=runs, problems=problems, resume=resume)


def _record(record: RunRecord) -> RunRecord:
    hyperparameters, metadata, tags = _masked(record.hyperparameters), _masked(record.metadata), _masked(record.tags)
    if hyperparameters is record.hyperparameters and metadata is record.metadata and tags is record.tags:
        return record
    return replace(
        record,
        hyperparameters=cast("Mapping[str, object]", hyperparameters),
        metadata=cast("Mapping[str, object]", metadata),
        tags=tuple(cast("Sequence[str]", tags)),
    )


def masked_problem(problem: Problem) -> Problem:
    """Returns the problem with secrets in its texts masked; the same object if it has none."""
    excerpt, reason = _in_text(problem.excerpt), _in_text(problem.reason)
    same = excerpt == problem.excerpt and reason == problem.reason
    return problem if same else replace(problem, excerpt=excerpt, reason=reason)


def _resume(resume: Resume | None) -> Resume | None:
    """Masks texts in a reader's saved state, which may hold configs; numbers there belong to the reader."""
    if resume is None:
        return None
    state = _masked(resume.state, texts_only=True)
    return resume if state is resume.state else replace(resume, state=cast("Mapping[str, object]", state))


def _masked(value: object, *, texts_only: bool = False) -> object:
    """Returns the value with secrets masked; the same object if it has none."""
    if isinstance(value, str):
        return _in_text(value)
    if isinstance(value, Mapping):
        return _in_mapping(cast("Mapping[object, object]", value), texts_only=texts_only)
    if isinstance(value, list | tuple):
        return _in_list(cast("Sequence[object]", value), texts_only=texts_only)
    return value


def _in_mapping(value: Mapping[object, object], *, texts_only: bool) -> Mapping[object, object]:
    changed: dict[object, object] = {}
    for key, item in value.items():
        if _could_be_secret(item, texts_only=texts_only) and is_secret_name(str(key)):
            changed[key] = MASK
        elif type(item) not in _NUMBERS:
            masked = _masked(item, texts_only=texts_only)
            if masked is not item:
                changed[key] = masked
    return {**value, **changed} if changed else value


def _could_be_secret(value: object, *, texts_only: bool) -> bool:
    """Whether a value could be a secret; None, booleans and empty text are not."""
    if value is None or isinstance(value, bool) or value in ("", MASK):
        return False
    return isinstance(value, str) or not texts_only


def _in_list(value: Sequence[object], *, texts_only: bool) -> Sequence[object]:
    """Masks a list, in which the argument after ``--api-key`` is a secret too."""
    found: list[object] = []
    for item in value:
        before = value[len(found) - 1] if found else None
        follows = isinstance(before, str) and before.startswith("-") and is_secret_name(before)
        is_value = follows and isinstance(item, str) and not item.startswith("--")
        found.append(MASK if is_value else _masked(item, texts_only=texts_only))
    return value if all(a is b for a, b in zip(found, value, strict=True)) else found


def _in_text(text: str) -> str:
    """Masks values in ``name=value``, ``"name": "value"`` and ``--name value`` where the name is a secret's; and in URLs."""
    if "=" not in text and ":" not in text and "--" not in text:
        return text
    if "://" in text:
        text = _SIGNATURE.sub(rf"\1={MASK}", _USER.sub(_without_password, text))
    parts: list[str] = []
    done = 0
    for named in _NAMED.finditer(text):
        if named.end() < done or not is_secret_name((named["name"] or named[0].strip()).lstrip("-")):
            continue
        value = _VALUE.match(text, named.end())
        if value is not None and value[0] != MASK:
            parts += [text[done : value.start()], MASK]
            done = value.end()
    return "".join([*parts, text[done:]]) if parts else text


def _without_password(user: re.Match[str]) -> str:
    name, has_password, _ = user[0].partition(":")
    if has_password:
        return f"{name}:{MASK}"
    return MASK if len(name) >= _LONG_USER else name
