"""Ask a folder of experiments from a script, over stdio: ``python examples/scripted_client.py DIR [METRIC]``."""

import asyncio
import os
import sys

from mcp import Client, StdioServerParameters
from mcp.types import CallToolResult


def text_of(result: CallToolResult) -> str:
    """The text of an answer; `result.structured_content` has the same for programs."""
    return "\n".join(block.text for block in result.content if block.type == "text")


async def main(folder: str, metric: str) -> None:
    """Start the server on the folder, ask three questions, print the answers."""
    server = StdioServerParameters(command=sys.executable, args=["-m", "sweeplens_mcp", "serve", "--root", folder])
    async with Client(server) as client:
        print(text_of(await client.call_tool("overview", {})), end="\n\n")
        varying = await client.call_tool("find_varying_hparams", {})
        if varying.is_error or not varying.structured_content:
            sys.exit(text_of(varying))
        columns, rows = varying.structured_content["columns"], varying.structured_content["rows"]
        found = [dict(zip(columns, row, strict=True)) for row in rows]
        hparams = [h["hparam"] for h in found if not h["replicate"] and h["n_values"] > 1]
        summary = await client.call_tool("summarize_by_hparams", {"hparams": hparams, "metrics": [metric]})
        print(text_of(summary))


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit("usage: python examples/scripted_client.py DIR [METRIC], a folder of experiments")
    try:
        asyncio.run(main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "val/acc"))
        sys.stdout.flush()
    except* BrokenPipeError:  # the program that reads our output has ended, as in `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
