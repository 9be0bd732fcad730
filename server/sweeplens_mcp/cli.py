"""The command line: `sweeplens serve | call | demo | doctor | config`.

Nothing heavy is imported before it is known what is wanted, and nothing but the protocol or the answer goes to stdout.
Errors are one sentence on stderr and exit code 2.
"""

from __future__ import annotations

import argparse
import gc
import io
import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

from sweeplens_mcp.settings import DEFAULT_HOST, DEFAULT_PORT, HTTP_PATH, Settings

__all__ = ["main", "parser"]

# Options of these commands are parsed by their own modules: here, none may be taken for one of ours.
_THEIRS: dict[str, Any] = {"add_help": False, "prefix_chars": "\0"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code is 0, or 2 with a sentence on stderr."""
    _speak_utf8()
    given = parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = given.command
    try:
        return command(given)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        sys.stderr.close()  # whoever read our output has gone: nothing is left to be said
        return 0


def parser() -> argparse.ArgumentParser:
    """What can be typed."""
    top = argparse.ArgumentParser(prog="sweeplens", description="Ask what happened in folders of experiments.")
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    serve = commands.add_parser("serve", help="serve the Model Context Protocol over stdio, or over HTTP")
    _takes_roots(serve)
    serve.add_argument("--http", action="store_true", help="streamable HTTP instead of stdio")
    serve.add_argument("--host", default=DEFAULT_HOST, help=f"default {DEFAULT_HOST}")
    serve.add_argument("--port", type=int, default=DEFAULT_PORT, help=f"default {DEFAULT_PORT}; 0: any free port")
    serve.set_defaults(command=_serve)
    call = commands.add_parser("call", help="the answer of one tool, without a client")
    call.add_argument("tool", metavar="TOOL")
    call.add_argument("values", nargs="*", metavar="name=value", help="lists as a,b or as JSON")
    call.add_argument("--json", action="store_true", help="the structured content instead of the text")
    _takes_roots(call)
    call.set_defaults(command=_call)
    doctor = commands.add_parser("doctor", help="what would be read, what not, and why")
    _takes_roots(doctor)
    doctor.set_defaults(command=_doctor)
    demo = commands.add_parser("demo", help="write a small sweep and show a client asking about it", **_THEIRS)
    demo.add_argument("rest", nargs=argparse.REMAINDER)
    demo.set_defaults(command=_demo)
    config = commands.add_parser("config", help="a client's configuration with absolute paths", **_THEIRS)
    config.add_argument("rest", nargs=argparse.REMAINDER)
    config.set_defaults(command=_config)
    return top


def _takes_roots(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--root", action="append", default=[], metavar="DIR", help="a folder of experiments; may be given several times"
    )


def _serve(given: argparse.Namespace) -> int:
    gc.disable()  # hundreds of thousands of objects are made while importing, and none of them is garbage
    from sweeplens_mcp.app import build_server

    server = build_server(Settings(tuple(given.root)))
    gc.enable()
    gc.freeze()
    if not given.http:
        server.run()
        return 0
    from sweeplens_mcp.http import serve_http

    print(f"sweeplens serves on http://{given.host}:{given.port}{HTTP_PATH}", file=sys.stderr)
    return serve_http(server, given.host, given.port)


def _call(given: argparse.Namespace) -> int:
    from sweeplens.errors import SweeplensError
    from sweeplens_mcp.direct import call_tool

    try:
        made = call_tool(given.tool, given.values, Settings(tuple(given.root)))
    except SweeplensError as error:
        return _fail(str(error))
    print(json.dumps(made.structured, ensure_ascii=False) if given.json else made.text)
    return 0


def _doctor(given: argparse.Namespace) -> int:
    from sweeplens.errors import SweeplensError
    from sweeplens_mcp.doctor import report

    try:
        print("\n".join(report(Settings(tuple(given.root)))))
    except SweeplensError as error:
        return _fail(str(error))
    return 0


def _demo(given: argparse.Namespace) -> int:
    from sweeplens_mcp.demo import main as demo

    return demo(given.rest)


def _config(given: argparse.Namespace) -> int:
    from sweeplens_mcp.clients import main as config

    return config(given.rest)


def _fail(sentence: str) -> int:
    from sweeplens_mcp.cells import clean

    print(f"sweeplens: {clean(sentence)}", file=sys.stderr)
    return 2


def _speak_utf8() -> None:
    """UTF-8 on every stream, whatever the locale says."""
    for stream, errors in ((sys.stdin, "replace"), (sys.stdout, "replace"), (sys.stderr, "backslashreplace")):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors=errors)


if __name__ == "__main__":
    sys.exit(main())
