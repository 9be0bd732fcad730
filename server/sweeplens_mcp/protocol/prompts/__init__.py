"""`PROMPTS`, each from a Markdown file in this folder: a header with title, description and arguments, then the text.

In the text, ``{name}`` stands for an argument. A line with an argument that was not given is dropped.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from importlib import resources

from mcp.server.mcpserver.prompts import Prompt
from mcp.server.mcpserver.prompts.base import PromptArgument
from msgspec import Struct

from sweeplens_mcp.render.cells import clean

__all__ = ["PROMPTS", "PromptSpec", "prompt_of", "rendered"]

_FILES = ("analyze_sweep", "compare_two", "why_did_it_fail", "write_report")
_FIELD = re.compile(r"\{(\w+)\}")


class PromptSpec(Struct, frozen=True):
    """A prompt as its file defines it. ``arguments``: (name, description, required)."""

    name: str
    title: str
    description: str
    arguments: tuple[tuple[str, str, bool], ...]
    text: str


def rendered(spec: PromptSpec, **given: str) -> str:
    """Returns the text with its arguments filled in."""
    values = {name: clean(given.get(name, "").strip()) for name, _, _ in spec.arguments}
    kept = (line for line in spec.text.splitlines() if all(values.get(name) for name in _FIELD.findall(line)))
    return "\n".join(_FIELD.sub(lambda m: values[m.group(1)], line) for line in kept).strip()


def prompt_of(spec: PromptSpec) -> Prompt:
    """Makes the SDK's prompt."""
    return Prompt(
        name=spec.name,
        title=spec.title,
        description=spec.description,
        arguments=[PromptArgument(name=n, description=d, required=r) for n, d, r in spec.arguments],
        fn=partial(rendered, spec),
        context_kwarg=None,
    )


def _parsed(name: str, source: str) -> PromptSpec:
    """Parses ``title:``, ``description:``, then ``name: description`` or ``name (optional): description`` for each argument."""
    _, head, text = source.split("---\n", 2)
    fields = dict(line.split(": ", 1) for line in head.splitlines() if line)
    title, description = fields.pop("title"), fields.pop("description")
    return PromptSpec(name, title, description, tuple(_argument(k, v) for k, v in fields.items()), text.strip())


def _argument(key: str, description: str) -> tuple[str, str, bool]:
    name, optional, _ = key.partition(" (optional)")
    return name, description, not optional


def _load() -> Mapping[str, str]:
    folder = resources.files(__name__)
    return {name: folder.joinpath(f"{name}.md").read_text(encoding="utf-8") for name in _FILES}


PROMPTS: tuple[PromptSpec, ...] = tuple(_parsed(name, source) for name, source in _load().items())
