"""fastmcp's client: URL or "-" for stdio, then the command."""

import asyncio
import json
import sys

from fastmcp import Client
from fastmcp.client.transports import StdioTransport

URL, COMMAND, *ARGUMENTS = sys.argv[1:]


async def main() -> None:
    source = StdioTransport(command=COMMAND, args=ARGUMENTS) if URL == "-" else URL
    async with Client(source) as client:
        tools = await client.list_tools()
        answer = await client.call_tool("overview", {})
        resources = await client.list_resources()
        contents = await client.read_resource("experiments://runs")
        wrong = await client.call_tool("get_run", {"run_id": "no such run"}, raise_on_error=False)
    found = {
        "tools": [tool.name for tool in tools],
        "text": len(answer.content[0].text),
        "structured": len(answer.structured_content),
        "resources": len(resources),
        "read": len(contents[0].text),
        "refused": wrong.is_error,
    }
    print(json.dumps(found))


asyncio.run(main())
