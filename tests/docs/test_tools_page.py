"""The written reference equals the tools: `python -m sweeplens_mcp.cli.reference` writes both pages."""

from __future__ import annotations

from pathlib import Path

from sweeplens_mcp.cli.reference import tools_page, with_table

PROJECT = Path(__file__).parents[2]


def test_the_readmes_table_of_tools_is_made_from_the_tools() -> None:
    readme = (PROJECT / "README.md").read_text(encoding="utf-8")
    assert readme == with_table(readme)


def test_the_page_of_tools_is_made_from_the_tools() -> None:
    assert (PROJECT / "docs" / "tools.md").read_text(encoding="utf-8") == tools_page()
