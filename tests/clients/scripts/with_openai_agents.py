"""openai-agents: its MCP client, without a model."""

import asyncio
import json
import sys

from agents.mcp import MCPServerStdio, MCPServerStreamableHttp

URL, COMMAND, *ARGUMENTS = sys.argv[1:]


async def main() -> None:
    stdio = {"command": COMMAND, "args": ARGUMENTS}
    server = (
        MCPServerStdio(params=stdio, client_session_timeout_seconds=60)
        if URL == "-"
        else MCPServerStreamableHttp(params={"url": URL}, client_session_timeout_seconds=60)
    )
    async with server:
        tools = await server.list_tools()
        answer = await server.call_tool("overview", {})
    print(json.dumps({"tools": [tool.name for tool in tools], "text": len(answer.content[0].text)}))


asyncio.run(main())
