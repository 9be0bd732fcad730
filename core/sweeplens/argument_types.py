"""Checks the types of arguments where Python code enters, so that a wrong one is a sentence and not an error from inside.

    checks_arguments(cls)                      a class whose public methods first check their arguments by their annotations
    checked_argument(name, annotation, value)  one value, checked

One text, one text or several, and numbers are checked. Values are checked where they are used, with the nearest valid ones.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, wraps
from numbers import Integral, Real
from os import PathLike
from typing import Any, TypeVar, cast

from sweeplens.errors import InputError

__all__ = ["checked_argument", "checks_arguments"]

Checked = TypeVar("Checked")
_SHOWN = 60


def checks_arguments(cls: type[Checked]) -> type[Checked]:
    """Returns the class with methods that raise InputError for an argument of a wrong type."""
    for name, method in list(vars(cls).items()):
        if inspect.isfunction(method) and not name.startswith("_"):
            setattr(cls, name, _checking(method))
    return cls


def checked_argument(name: str, annotation: str, value: object) -> Any:
    """Returns a value of the annotated type; several names of any kind become a list. Raises InputError."""
    wanted, fits = _KINDS.get(annotation, ("", _anything))
    value = _as_list(value) if wanted == _NAMES else value
    if not fits(value):
        raise InputError(f"{name} is {_shown(value)}: it takes {wanted}{_advice(wanted, value)}.")
    return [value] if annotation == "Sequence[str]" and isinstance(value, str) else value


def _checking(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def checked(self: object, *args: Any, **options: Any) -> Any:
        known = _parameters(method)
        given = [checked_argument(name, kind, value) for (name, kind), value in zip(known.items(), args, strict=False)]
        named = {name: checked_argument(name, known.get(name, ""), value) for name, value in options.items()}
        return method(self, *given, *args[len(given) :], **named)

    return checked


@cache
def _parameters(method: Callable[..., Any]) -> Mapping[str, str]:
    """Returns the annotation of each parameter, without ``self``; annotations are text in these modules."""
    parameters = list(inspect.signature(method).parameters.values())[1:]
    return {p.name: str(p.annotation) for p in parameters}


def _as_list(value: object) -> object:
    """Returns a set, a column of a frame or a generator as a list."""
    if isinstance(value, str | bytes | Mapping | list | tuple) or not isinstance(value, Iterable):
        return cast("object", value)
    return list(cast("Iterable[object]", value))


def _shown(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}..."


def _advice(wanted: str, value: object) -> str:
    is_several = wanted == _TEXT and not isinstance(value, str) and value not in ([], ()) and _texts(value)
    return ": call once for each" if is_several else ""


def _anything(value: object) -> bool:
    return True


def _text(value: object) -> bool:
    return isinstance(value, str)


def _texts(value: object) -> bool:
    if isinstance(value, list | tuple):
        return all(isinstance(item, str) for item in cast("Iterable[object]", value))
    return isinstance(value, str)


def _whole(value: object) -> bool:
    return isinstance(value, Integral) and value is not True and value is not False


def _number(value: object) -> bool:
    return isinstance(value, Real) and value is not True and value is not False


def _ends(value: object) -> bool:
    ends = cast("Sequence[object]", value) if isinstance(value, list | tuple) else ()
    return len(ends) == 2 and all(end is None or _whole(end) for end in ends)


def _or_none(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or fits(value)


_TEXT, _NAMES, _WHOLE = "one text", "one name or a list of names", "a whole number"
_KINDS: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    **dict.fromkeys(("str", "AskedGoal", "RankedBy", "ChartKind"), (_TEXT, _text)),
    **dict.fromkeys(("Names", "Sequence[str]", "str | Sequence[str]"), (_NAMES, _texts)),
    **dict.fromkeys(("Names | None", "str | Sequence[str] | None"), (_NAMES, _or_none(_texts))),
    "int": (_WHOLE, _whole),
    "float": ("a number", _number),
    "float | None": ("a number", _or_none(_number)),
    "str | int": ("a text or a whole number", lambda value: _text(value) or _whole(value)),
    "int | Callable[[int], int]": (_WHOLE, lambda value: _whole(value) or callable(value)),
    "str | Path": ("the path of a file", lambda value: isinstance(value, str | PathLike)),
    "tuple[int | None, int | None] | None": ("a pair of steps, as in (0, 100)", _or_none(_ends)),
}
"""By annotation: what an argument takes in words, and whether a value is that."""
