"""langchain-mcp-adapters: the server's tools as LangChain's."""

import asyncio
import json
import sys

from langchain_mcp_adapters.client import MultiServerMCPClient

URL, COMMAND, *ARGUMENTS = sys.argv[1:]


async def main() -> None:
    stdio = {"transport": "stdio", "command": COMMAND, "args": ARGUMENTS}
    http = {"transport": "streamable_http", "url": URL}
    client = MultiServerMCPClient({"sweeplens": stdio if URL == "-" else http})
    tools = await client.get_tools()
    (overview,) = [tool for tool in tools if tool.name == "overview"]
    answer = await overview.ainvoke({})
    print(json.dumps({"tools": [tool.name for tool in tools], "text": len(str(answer))}))


asyncio.run(main())
