"""The ways into the server that tests share."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from mcp import StdioServerParameters
from mcp.types import CallToolResult, ImageContent, TextContent

ERAS = ("auto", "legacy")
BUDGET = 8_000


def text_of(result: CallToolResult) -> str:
    """The text channel of a result, which is one block beside a picture, if it has one."""
    (block,) = (b for b in result.content if not isinstance(b, ImageContent))
    assert isinstance(block, TextContent)
    return block.text


def stdio(*roots: Path) -> StdioServerParameters:
    """The server as an editor starts it."""
    given = [part for root in roots for part in ("--root", str(root))]
    command = ["-m", "sweeplens_mcp", "serve", *given]
    return StdioServerParameters(command=sys.executable, args=command, env=dict(os.environ))


def data_of(result: CallToolResult) -> dict[str, Any]:
    """The structured channel of a result that is no error."""
    assert not result.is_error, text_of(result)
    assert result.structured_content is not None
    return result.structured_content


def sizes(result: CallToolResult) -> tuple[int, int]:
    """Bytes of both channels, structured content in its longest usual form."""
    return len(json.dumps(result.structured_content).encode()), len(text_of(result).encode())
