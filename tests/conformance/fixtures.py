"""What the conformance suite asks of a server under test: its tools, resources and prompts, added to the server that ships.

`conformance_app(root)` is `build_app(build_server(...))` with these registered; nothing else differs.
Names, texts and shapes are the suite's; what is checked is how the stack carries them.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.prompts.base import Message, UserMessage
from mcp.shared.exceptions import MCPError
from mcp.types import (
    AudioContent,
    ClientCapabilities,
    CreateMessageRequest,
    CreateMessageRequestParams,
    CreateMessageResult,
    ElicitationCapability,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitResult,
    EmbeddedResource,
    ImageContent,
    InputRequiredResult,
    ListRootsRequest,
    ListRootsResult,
    SamplingCapability,
    SamplingMessage,
    TextContent,
    TextResourceContents,
)
from mcp_types import MISSING_REQUIRED_CLIENT_CAPABILITY
from starlette.applications import Starlette

from sweeplens_mcp.protocol.app import build_app, build_server
from sweeplens_mcp.settings import Settings

__all__ = ["add_fixtures", "conformance_app"]

_PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
_SILENCE = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA="
Ctx = Context[Any, Any]


def conformance_app(root: Path) -> Starlette:
    """The application that ships over a folder, with the fixtures."""
    server = build_server(Settings((str(root),)))
    add_fixtures(server)
    return build_app(server)


def add_fixtures(server: MCPServer[Any]) -> None:
    """Register everything in this file."""
    for tool in _TOOLS:
        server.add_tool(tool)
    for uri, mime_type, resource in _RESOURCES:
        server.resource(uri, mime_type=mime_type)(resource)
    for prompt in _PROMPTS:
        server.prompt()(prompt)


# ---------------------------------------------------------------- plain tools


def test_simple_text() -> str:
    """Text."""
    return "This is a simple text response for testing."


def test_image_content() -> list[ImageContent]:
    """An image."""
    return [ImageContent(type="image", data=_PIXEL, mime_type="image/png")]


def test_audio_content() -> list[AudioContent]:
    """A sound."""
    return [AudioContent(type="audio", data=_SILENCE, mime_type="audio/wav")]


def test_embedded_resource() -> list[EmbeddedResource]:
    """A resource within the answer."""
    return [_embedded("test://embedded-resource", "text/plain", "This is an embedded resource content.")]


def test_multiple_content_types() -> list[TextContent | ImageContent | EmbeddedResource]:
    """Text, image and resource in one answer."""
    return [
        TextContent(type="text", text="Multiple content types test:"),
        ImageContent(type="image", data=_PIXEL, mime_type="image/png"),
        _embedded("test://mixed-content-resource", "application/json", '{"test":"data","value":123}'),
    ]


def test_error_handling() -> str:
    """An error, always."""
    raise RuntimeError("This tool intentionally returns an error for testing")


async def test_tool_with_progress(ctx: Ctx) -> str:
    """Three reports of progress."""
    for done in (0, 50, 100):
        await ctx.report_progress(done, 100, f"Completed step {done} of 100")
        await asyncio.sleep(0.05)
    return "done"


async def test_tool_with_logging(ctx: Ctx) -> str:
    """Three lines of log."""
    for line in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        await ctx.info(line)
        await asyncio.sleep(0.05)
    return "Tool with logging executed successfully"


async def test_logging_tool(ctx: Ctx) -> str:
    """A line of log that only a request which asked for logs may see."""
    await ctx.info("a line of log")
    return "logged"


# ------------------------------------- tools that ask the client, older era


async def test_sampling(prompt: str, ctx: Ctx) -> str:
    """Ask the client's model."""
    asked = [SamplingMessage(role="user", content=TextContent(type="text", text=prompt))]
    answer = await ctx.session.create_message(asked, max_tokens=100, related_request_id=ctx.request_id)
    return f"LLM response: {_text(answer)}"


async def test_elicitation(message: str, ctx: Ctx) -> str:
    """Ask the user."""
    return f"User response: {await _elicited(ctx, message, _USER)}"


async def test_elicitation_sep1034_defaults(ctx: Ctx) -> str:
    """Ask the user, with defaults."""
    return f"Elicitation completed: {await _elicited(ctx, 'Please provide user information', _DEFAULTS)}"


async def test_elicitation_sep1330_enums(ctx: Ctx) -> str:
    """Ask the user to choose."""
    return f"Elicitation completed: {await _elicited(ctx, 'Please choose', _CHOICES)}"


# ------------------------------------- tools that ask the client, newer era


def test_input_required_result_elicitation(ctx: Ctx) -> str | InputRequiredResult:
    """Ask for a name."""
    answer = (ctx.input_responses or {}).get("user_name")
    if not isinstance(answer, ElicitResult) or not (answer.content or {}).get("name"):
        return InputRequiredResult(input_requests={"user_name": _form("What is your name?", name="string")})
    return f"Hello, {(answer.content or {})['name']}!"


def test_input_required_result_sampling(ctx: Ctx) -> str | InputRequiredResult:
    """Ask the client's model."""
    answer = (ctx.input_responses or {}).get("capital_question")
    if not isinstance(answer, CreateMessageResult):
        return InputRequiredResult(input_requests={"capital_question": _sampled("What is the capital of France?")})
    return _text(answer)


def test_input_required_result_list_roots(ctx: Ctx) -> str | InputRequiredResult:
    """Ask for the client's roots."""
    answer = (ctx.input_responses or {}).get("client_roots")
    if not isinstance(answer, ListRootsResult):
        return InputRequiredResult(input_requests={"client_roots": ListRootsRequest()})
    return ", ".join(str(root.uri) for root in answer.roots)


def test_input_required_result_request_state(ctx: Ctx) -> str | InputRequiredResult:
    """Ask for a confirmation, with state."""
    if ctx.request_state != "asked" or not (ctx.input_responses or {}).get("confirm"):
        return InputRequiredResult(
            input_requests={"confirm": _form("Please confirm", ok="boolean")}, request_state="asked"
        )
    return "state-ok"


def test_input_required_result_tampered_state(ctx: Ctx) -> str | InputRequiredResult:
    """State that nobody may change on its way."""
    return test_input_required_result_request_state(ctx)


def test_input_required_result_multiple_inputs(ctx: Ctx) -> str | InputRequiredResult:
    """Three questions at once."""
    answers = ctx.input_responses or {}
    asked = {
        "user_name": _form("What is your name?", name="string"),
        "greeting": _sampled("Generate a greeting"),
        "client_roots": ListRootsRequest(),
    }
    missing = {key: question for key, question in asked.items() if key not in answers}
    return InputRequiredResult(input_requests=missing, request_state="asked") if missing else "all answered"


def test_input_required_result_multi_round(ctx: Ctx) -> str | InputRequiredResult:
    """Two questions, one after the other."""
    answers = ctx.input_responses or {}
    if ctx.request_state == "2" and "step2" in answers:
        return "both answered"
    if ctx.request_state == "1" and "step1" in answers:
        question = _form("Step 2: What is your favorite color?", color="string")
        return InputRequiredResult(input_requests={"step2": question}, request_state="2")
    question = _form("Step 1: What is your name?", name="string")
    return InputRequiredResult(input_requests={"step1": question}, request_state="1")


def test_input_required_result_capabilities(ctx: Ctx) -> str | InputRequiredResult:
    """Ask only what the client can answer."""
    able = ctx.client_capabilities or ClientCapabilities()
    asked: dict[str, Any] = {}
    if able.elicitation is not None:
        asked["user_name"] = _form("What is your name?", name="string")
    if able.sampling is not None:
        asked["greeting"] = _sampled("Generate a greeting")
    return InputRequiredResult(input_requests=asked) if asked and not ctx.input_responses else "done"


def test_missing_capability(ctx: Ctx) -> str:
    """Needs sampling, and says so to a client that has not declared it."""
    if not ctx.session.check_client_capability(ClientCapabilities(sampling=SamplingCapability())):
        needed = {"requiredCapabilities": {"sampling": {}}}
        raise MCPError(MISSING_REQUIRED_CLIENT_CAPABILITY, "This tool needs sampling", needed)
    return "sampling is there"


def test_streaming_elicitation(ctx: Ctx) -> str | InputRequiredResult:
    """A question that must come as a result, not as a request on the stream."""
    able = ctx.client_capabilities or ClientCapabilities()
    if able.elicitation is None:
        needed = {"requiredCapabilities": {"elicitation": ElicitationCapability().model_dump(exclude_none=True)}}
        raise MCPError(MISSING_REQUIRED_CLIENT_CAPABILITY, "This tool needs elicitation", needed)
    return test_input_required_result_elicitation(ctx)


async def test_trigger_tool_change(ctx: Ctx) -> str:
    """Tell that the tools changed."""
    await ctx.notify_tools_changed()
    return "told"


async def test_trigger_prompt_change(ctx: Ctx) -> str:
    """Tell that the prompts changed."""
    await ctx.notify_prompts_changed()
    return "told"


# ---------------------------------------------------------------- resources


def static_text() -> str:
    """Text."""
    return "This is the content of the static text resource."


def static_binary() -> bytes:
    """A pixel."""
    return base64.b64decode(_PIXEL)


def watched_resource() -> str:
    """A resource to subscribe to."""
    return "Watched resource content"


def template_resource(id: str) -> str:
    """A resource with a parameter."""
    return json.dumps({"id": id, "templateTest": True, "data": f"Data for ID: {id}"})


# ------------------------------------------------------------------ prompts


def test_simple_prompt() -> str:
    """A prompt without arguments."""
    return "This is a simple prompt for testing."


def test_prompt_with_arguments(arg1: str, arg2: str) -> str:
    """A prompt with two arguments."""
    return f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"


def test_prompt_with_embedded_resource(resourceUri: str) -> list[Message]:  # noqa: N803
    """A prompt that holds a resource."""
    held = _embedded(resourceUri, "text/plain", "Embedded resource content for testing.")
    return [UserMessage(held), UserMessage("Please process the embedded resource above.")]


def test_prompt_with_image() -> list[Message]:
    """A prompt that holds an image."""
    image = ImageContent(type="image", data=_PIXEL, mime_type="image/png")
    return [UserMessage(image), UserMessage("Please analyze the image above.")]


def test_input_required_result_prompt(ctx: Ctx) -> list[Message] | InputRequiredResult:
    """A prompt that asks first."""
    answer = (ctx.input_responses or {}).get("user_context")
    if not isinstance(answer, ElicitResult):
        question = _form("What context should the prompt use?", context="string")
        return InputRequiredResult(input_requests={"user_context": question})
    return [UserMessage(f"Use this context: {(answer.content or {}).get('context')}")]


# ------------------------------------------------------------------ helpers


def _embedded(uri: str, mime_type: str, text: str) -> EmbeddedResource:
    return EmbeddedResource(type="resource", resource=TextResourceContents(uri=uri, mime_type=mime_type, text=text))


def _text(answer: CreateMessageResult) -> str:
    return answer.content.text if isinstance(answer.content, TextContent) else "no text"


def _form(message: str, **fields: str) -> ElicitRequest:
    return ElicitRequest(params=ElicitRequestFormParams(message=message, requested_schema=_schema(**fields)))


def _schema(**fields: str) -> dict[str, Any]:
    properties = {name: {"type": kind} for name, kind in fields.items()}
    return {"type": "object", "properties": properties, "required": list(fields)}


def _sampled(question: str) -> CreateMessageRequest:
    asked = SamplingMessage(role="user", content=TextContent(type="text", text=question))
    return CreateMessageRequest(params=CreateMessageRequestParams(messages=[asked], max_tokens=100))


async def _elicited(ctx: Ctx, message: str, schema: Mapping[str, Any]) -> str:
    answer = await ctx.session.elicit_form(message, dict(schema), ctx.request_id)
    return f"action={answer.action}, content={json.dumps(answer.content or {})}"


_USER = _schema(username="string", email="string")
_DEFAULTS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "default": "John Doe"},
        "age": {"type": "integer", "default": 30},
        "score": {"type": "number", "default": 95.5},
        "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
        "verified": {"type": "boolean", "default": True},
    },
}
_OPTIONS = ["option1", "option2", "option3"]
_TITLED = [{"const": "value1", "title": "First"}, {"const": "value2", "title": "Second"}]
_CHOICES: dict[str, Any] = {
    "type": "object",
    "properties": {
        "untitledSingle": {"type": "string", "enum": _OPTIONS},
        "titledSingle": {"type": "string", "oneOf": _TITLED},
        "legacyEnum": {"type": "string", "enum": _OPTIONS, "enumNames": ["One", "Two", "Three"]},
        "untitledMulti": {"type": "array", "items": {"type": "string", "enum": _OPTIONS}},
        "titledMulti": {"type": "array", "items": {"anyOf": _TITLED}},
    },
}

_TOOLS = (
    test_simple_text, test_image_content, test_audio_content, test_embedded_resource, test_multiple_content_types,
    test_error_handling, test_tool_with_progress, test_tool_with_logging, test_logging_tool, test_sampling,
    test_elicitation, test_elicitation_sep1034_defaults, test_elicitation_sep1330_enums,
    test_input_required_result_elicitation, test_input_required_result_sampling, test_input_required_result_list_roots,
    test_input_required_result_request_state, test_input_required_result_tampered_state,
    test_input_required_result_multiple_inputs, test_input_required_result_multi_round,
    test_input_required_result_capabilities, test_missing_capability, test_streaming_elicitation,
    test_trigger_tool_change, test_trigger_prompt_change,
)  # fmt: skip
_RESOURCES = (
    ("test://static-text", "text/plain", static_text),
    ("test://static-binary", "image/png", static_binary),
    ("test://watched-resource", "text/plain", watched_resource),
    ("test://template/{id}/data", "application/json", template_resource),
)
_PROMPTS = (
    test_simple_prompt, test_prompt_with_arguments, test_prompt_with_embedded_resource, test_prompt_with_image,
    test_input_required_result_prompt,
)  # fmt: skip
