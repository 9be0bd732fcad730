"""Writes the reference of tools and resources from the code: `python -m sweeplens_mcp.cli.reference [FOLDER]`.

    readme_table()    the table between the marks of README.md
    tools_page()      the whole of docs/tools.md

A test compares both with the files, so a tool cannot change without its documentation.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sweeplens_mcp.execution.arguments import argument_schema
from sweeplens_mcp.protocol.prompts import PROMPTS
from sweeplens_mcp.protocol.resources import RESOURCES, TEMPLATES
from sweeplens_mcp.tools import TOOLS, ToolSpec

__all__ = ["BEGIN", "END", "readme_table", "tools_page", "with_table", "write"]

BEGIN, END = "<!-- tools -->", "<!-- /tools -->"


def readme_table() -> str:
    """Returns a line a tool: its name and what it answers."""
    lines = [f"| `{s.name}` | {_first_sentence(s.description)} |" for s in TOOLS]
    return "\n".join(["| tool | what it answers |", "|---|---|", *lines])


def with_table(readme: str) -> str:
    """Returns a README with the table between its marks."""
    before, rest = readme.split(BEGIN, 1)
    _, after = rest.split(END, 1)
    return f"{before}{BEGIN}\n{readme_table()}\n{END}{after}"


def tools_page() -> str:
    """Returns the page of every tool with its arguments, every resource, every prompt."""
    return "\n".join(_page()).rstrip() + "\n"


def write(folder: Path) -> None:
    """Writes both into a checkout of the project."""
    readme = folder / "README.md"
    readme.write_text(with_table(readme.read_text(encoding="utf-8")), encoding="utf-8")
    (folder / "docs").mkdir(exist_ok=True)
    (folder / "docs" / "tools.md").write_text(tools_page(), encoding="utf-8")


def _page() -> Iterator[str]:
    yield "# Tools, resources, prompts\n"
    yield "Written by `python -m sweeplens_mcp.cli.reference` from the tools themselves.\n"
    yield (
        "Every tool is read-only. Each answer is returned in two forms, each complete: structured content (`columns`, `rows`, "
        "`next_cursor`, `basis`) and text. Neither is longer than 8,000 bytes (`ANALYSIS_MAX_ANSWER_BYTES`): a page ends with "
        "a whole row, and `next_cursor` continues at the next row. `basis` names the data that the answer is based on: the "
        "folders, the data version, the runs used, the runs left out and why, and the Python line that gives the same answer.\n"
    )
    for spec in TOOLS:
        yield from _tool(spec)
    yield "## Resources\n\n| address | type | content |\n|---|---|---|"
    yield from (f"| `{r.uri}` | {r.mime_type} | {r.description} |" for r in (*RESOURCES, *TEMPLATES))
    yield "\nNames of runs and metrics are percent-encoded in addresses: `val/acc` is `val%2Facc`.\n"
    yield "## Prompts\n\n| prompt | arguments | what it asks for |\n|---|---|---|"
    for prompt in PROMPTS:
        names = ", ".join(name if required else f"{name} (optional)" for name, _, required in prompt.arguments)
        yield f"| `{prompt.name}` | {names} | {prompt.description} |"


def _tool(spec: ToolSpec) -> Iterator[str]:
    schema = argument_schema(spec)
    yield f"## `{spec.name}`\n\n{spec.description}\n"
    yield "| argument | type | default | |\n|---|---|---|---|"
    for name, part in schema["properties"].items():
        default = "**required**" if name in schema.get("required", ()) else f"`{_shown(part.get('default'))}`"
        yield f"| `{name}` | {_kind(part)} | {default} | {part.get('description', '').replace('|', chr(92) + '|')} |"
    yield ""


def _kind(part: Mapping[str, Any]) -> str:
    if "anyOf" in part:
        return " or ".join(_kind(option) for option in part["anyOf"])
    if "enum" in part:
        return " or ".join(f"`{value}`" for value in part["enum"])
    return f"list of {_kind(part['items'])}" if part["type"] == "array" else str(part["type"])


def _shown(value: object) -> str:
    return "null" if value is None else '""' if value == "" else str(value)


def _first_sentence(text: str) -> str:
    head, _, _ = text.partition(". ")
    return head.rstrip(".") + "."


if __name__ == "__main__":
    write(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
