"""pydantic-ai: an agent with a scripted model calls a tool of the server."""

import asyncio
import json
import sys

from fastmcp.client.transports import StdioTransport
from pydantic_ai import Agent
from pydantic_ai.mcp import MCPToolset
from pydantic_ai.messages import ModelResponse, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import FunctionModel

URL, COMMAND, *ARGUMENTS = sys.argv[1:]
FOUND: dict[str, object] = {}


def scripted(messages, info) -> ModelResponse:
    """First call the tool, then end with what it returned."""
    FOUND["tools"] = sorted(tool.name for tool in info.function_tools)
    returned = [part for message in messages for part in message.parts if isinstance(part, ToolReturnPart)]
    if not returned:
        return ModelResponse(parts=[ToolCallPart("overview", {})])
    FOUND["text"] = len(str(returned[-1].content))
    return ModelResponse(parts=[TextPart("done")])


async def main() -> None:
    source = StdioTransport(command=COMMAND, args=ARGUMENTS) if URL == "-" else URL
    agent = Agent(FunctionModel(scripted), toolsets=[MCPToolset(source)])
    async with agent:
        await agent.run("What happened?")
    print(json.dumps(FOUND))


asyncio.run(main())
