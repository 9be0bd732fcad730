"""The command line: `sweeplens overview | ls | show | rank | ... | call | plot | report | serve | demo | doctor | config`.

Heavy modules are imported after the arguments are parsed. Only the protocol or the answer goes to stdout. An error is one
sentence on stderr and exit code 2.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import shlex
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, NoReturn

from sweeplens_mcp.cli.parsing import CommandListFormatter, SentenceParser, parser_of, unrecognized
from sweeplens_mcp.cli.question_names import QUESTIONS, command_for
from sweeplens_mcp.cli.streams import discard_stdout, open_closed_streams, use_utf8
from sweeplens_mcp.logs import LEVELS
from sweeplens_mcp.settings import DEFAULT_HOST, DEFAULT_PORT, Settings

__all__ = ["main", "parser", "run"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command. Exit code 0; 2 with a sentence on stderr; 1 if stdout cannot be written; 130 after Ctrl-C."""
    open_closed_streams()
    use_utf8()
    try:
        code = _run(sys.argv[1:] if arguments is None else arguments)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return 130
    except (BrokenPipeError, ExceptionGroup) as error:  # a client writes within a group of tasks
        if isinstance(error, ExceptionGroup) and error.split(BrokenPipeError)[1] is not None:
            raise
        discard_stdout()  # the reader of our output is gone
        return 0
    except OSError as error:
        discard_stdout()
        subject = f"{error.filename}: " if error.filename else "Cannot write: "
        return _fail(f"{subject}{error.strerror or error}", 1)


def run() -> NoReturn:
    """Runs the console script. It exits without the interpreter's clean-up, which takes longer than many answers."""
    code = main()
    with suppress(OSError):
        sys.stderr.flush()
    if threading.active_count() > 1:
        sys.exit(code)
    os._exit(code)


def _run(arguments: Sequence[str]) -> int:
    options = _parsed(arguments)
    command: Callable[[argparse.Namespace], int] = options.command
    from sweeplens.errors import SweeplensError

    try:
        _warn_of_unknown_settings()
        return command(options)
    except SweeplensError as error:
        return _fail(_with_folders(str(error), options))
    finally:
        gc.enable()  # commands that answer once turn it off, because they make little garbage


def _with_folders(sentence: str, options: argparse.Namespace) -> str:
    """Returns the message of an error; a command that it advises has the folders that were typed."""
    if "`sweeplens " not in sentence:
        return sentence
    from sweeplens.sources.given_roots import shown_root
    from sweeplens_mcp.cli.command_hints import with_folders

    typed: list[str] = [*getattr(options, "folders", ()), *getattr(options, "root", ())]
    return with_folders(sentence, [shown_root(root) for root in typed])


def _parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """Returns the parsed arguments. Values and folders may follow options too, which argparse does not support."""
    top = parser()
    if arguments and not arguments[0].startswith("-"):
        _check_command(top, arguments)
    elif len(arguments) > 1:
        _check_order(top, arguments)
    options, rest = top.parse_known_args(arguments)
    if rest and "values" in options:
        _check_rest_of_call(top, rest)
        options.values += rest
    elif rest and "folders" in options and not any(r.startswith("-") for r in rest):
        options.folders += rest
    elif rest:
        parser_of(top, arguments[0]).error(unrecognized(rest))
    return options


def _check_order(top: argparse.ArgumentParser, arguments: Sequence[str]) -> None:
    """Ends with an error if options stand before the command."""
    known = [*(question.name for question in QUESTIONS), *_OTHER_COMMANDS]
    at = next((i for i, word in enumerate(arguments) if word in known), 0)
    if at:
        moved = shlex.join([arguments[at], *arguments[at + 1 :], *arguments[:at]])
        top.error(f"Options follow the command: sweeplens {moved}")


def _check_rest_of_call(top: argparse.ArgumentParser, rest: Sequence[str]) -> None:
    """Ends with an error if `call` is used with options of the other commands."""
    option = next((word for word in rest if word.startswith("-")), "")
    if not option:
        return
    from sweeplens_mcp.cli.call import argument_for

    name = argument_for(option)
    if name:
        top.error(f"unrecognized arguments: {option}. With `call`, arguments are name=value: {name}=...")
    parser_of(top, "call").error(unrecognized(rest))


def _check_command(top: argparse.ArgumentParser, arguments: Sequence[str]) -> None:
    """Ends with an error for an unknown command: it names the nearest, a tool's command, or `overview` for a folder."""
    known = [*(question.name for question in QUESTIONS), *_OTHER_COMMANDS]
    typed = arguments[0]
    if typed in known:
        return
    known.remove("__complete")  # of the shell, not of a person
    if typed == "help":
        top.error(f"Help is an option: sweeplens {' '.join(arguments[1:2])} --help".replace("  ", " "))
    from sweeplens.errors import nearest

    if command_for(typed):
        top.error(f"{typed!r} is a tool: sweeplens {command_for(typed)}, or sweeplens call {typed}")
    from sweeplens.sources.given_roots import is_root, shown_root

    if is_root(typed):
        top.error(f"No command {shown_root(typed)!r}. To see what is there: sweeplens overview {shown_root(typed)}")
    near = nearest(typed, known)
    top.error(f"No command {typed!r}." + (f" Nearest: {', '.join(near)}." if near else f" One of: {', '.join(known)}."))


def parser() -> argparse.ArgumentParser:
    """Returns the parser of all commands."""
    top = SentenceParser(
        prog="sweeplens", description="Ask what happened in folders of experiments.", epilog=_FIRST_STEPS,
        formatter_class=CommandListFormatter,
    )  # fmt: skip
    top.add_argument(
        "--version", action="store_const", const=_version, dest="command", help="print the installed version"
    )
    top.set_defaults(command=partial(_help, top))
    commands = top.add_subparsers(metavar="COMMAND", title="commands")
    for question in QUESTIONS:
        _takes_rest(commands, question.name, partial(_ask, question.name), question.help)
    serve = commands.add_parser("serve", help="serve the Model Context Protocol over stdio, or over HTTP")
    _takes_roots(serve)
    serve.add_argument("folders", nargs="*", default=[], metavar="DIR", help="a folder of experiments, as --root")
    serve.add_argument("--log-level", choices=LEVELS, default="warning", help="least level of the JSON lines on stderr")
    _takes_http(serve)
    serve.set_defaults(command=_serve)
    call = commands.add_parser("call", help="call one tool without a client and print its answer")
    call.add_argument("tool", nargs="?", default="", metavar="TOOL", help="without one, the tools are listed")
    call.add_argument("values", nargs="*", metavar="name=value", help="lists as a,b or as JSON")
    call.add_argument("--json", action="store_true", help="print the structured content instead of the text")
    _takes_roots(call)
    call.set_defaults(command=_call)
    _takes_pictures(commands)
    _takes_rest(commands, "ingest", _ingest, "read logs into the store now, here or on a Spark cluster")
    doctor = commands.add_parser("doctor", help="show which files are read, which not, and why")
    _takes_roots(doctor)
    doctor.add_argument("folders", nargs="*", default=[], metavar="DIR", help="a folder of experiments, as --root")
    doctor.add_argument("--files", action="store_true", help="list every file, one a line")
    doctor.set_defaults(command=_doctor)
    _takes_rest(commands, "demo", _demo, "write a small sweep and show a client asking about it")
    _takes_rest(commands, "config", _config, "print or write a client's configuration with absolute paths")
    completion = commands.add_parser("completion", help="print the completion script of a shell: bash, zsh or fish")
    completion.add_argument("shell", choices=("bash", "zsh", "fish"))
    completion.set_defaults(command=_completion)
    _takes_rest(commands, "__complete", _complete)
    return top


def _takes_rest(
    commands: Any, name: str, command: Callable[[argparse.Namespace], int], text: str | None = None
) -> None:
    """Adds a command whose arguments its own module parses, options included; without ``text`` it is not listed."""
    texts = {} if text is None else {"help": text}
    parser = commands.add_parser(name, add_help=False, prefix_chars="\0", **texts)
    parser.add_argument("rest", nargs=argparse.REMAINDER)
    parser.set_defaults(command=command)


def _takes_pictures(commands: Any) -> None:
    _takes_rest(commands, "plot", _plot, "draw a chart to a file")
    report = commands.add_parser("report", help="write a report: one page for any browser, offline")
    report.add_argument("folders", nargs="*", default=[], metavar="DIR", help="a folder of experiments, as --root")
    report.add_argument("-o", "--output", default="report.html", metavar="FILE", help="default report.html")
    report.add_argument("--where", default="", metavar="CONDITION", help="only these runs")
    report.add_argument("--open", action="store_true", help="open the page")
    _takes_roots(report)
    report.set_defaults(command=_report)


_FIRST_STEPS = (
    "First steps: `sweeplens demo sweep --write-only` writes a sweep, `sweeplens overview sweep` says what is in it, and "
    "`sweeplens config vscode sweep --write` connects an editor. `sweeplens COMMAND --help` explains a command."
)
_OTHER_COMMANDS = ("serve", "call", "plot", "report", "ingest", "doctor", "demo", "config", "completion", "__complete")


def _takes_roots(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--root", action="append", default=[], metavar="DIR", help="a folder of experiments; may be given several times"
    )


def _takes_http(serve: argparse.ArgumentParser) -> None:
    """Adds the options of HTTP; docs/lab-server.md shows examples. Options of lists may be given several times."""
    group = serve.add_argument_group("over HTTP")
    group.add_argument("--http", action="store_true", help="streamable HTTP instead of stdio")
    group.add_argument(
        "--host", default=DEFAULT_HOST, help=f"default {DEFAULT_HOST}; any other than loopback needs tokens or OAuth"
    )
    group.add_argument("--port", type=int, default=DEFAULT_PORT, help=f"default {DEFAULT_PORT}")
    for name, metavar, text in _HTTP_TEXTS:
        group.add_argument(name, default="", metavar=metavar, help=text)
    for name, setting, metavar, text in _HTTP_LISTS:
        group.add_argument(name, dest=setting, action="append", default=[], metavar=metavar, help=text)
    group.add_argument(
        "--calls-per-minute", type=int, default=1200, metavar="N", help="limit for one client; 0: no limit"
    )
    group.add_argument(
        "--sessions-per-grant",
        type=int,
        default=1000,
        metavar="N",
        help="limit on sessions of the older protocol; one more ends the oldest",
    )
    group.add_argument(
        "--stateless", action="store_true", help="no sessions: one of several replicas behind a load balancer"
    )
    group.add_argument(
        "--metrics-port", type=int, default=0, metavar="PORT", help="serve Prometheus metrics on loopback"
    )


_HTTP_TEXTS = (
    ("--token-file", "FILE", "bearer tokens: lines of name, token, roots (none: all)"),
    ("--oauth-issuer", "URL", "authorization server whose JWTs are accepted"),
    ("--oauth-audience", "URL", "the audience (aud) that tokens must have: this server"),
    ("--oauth-jwks", "URL", "the issuer's keys"),
    ("--oauth-roots-claim", "CLAIM", "claim that lists the roots a token may see"),
    ("--tls-cert", "FILE", "certificate chain"),
    ("--tls-key", "FILE", "its private key"),
)
_HTTP_LISTS = (
    ("--oauth-scope", "oauth_scopes", "SCOPE", "scope that a token must have"),
    ("--trusted-proxy", "trusted_proxies", "ADDRESS", "proxy whose X-Forwarded-For is trusted"),
    ("--allowed-host", "allowed_hosts", "HOST", "host name by which clients reach this server"),
    ("--allowed-origin", "allowed_origins", "ORIGIN", "origin of web pages that may send requests"),
)


def _help(top: argparse.ArgumentParser, _: argparse.Namespace) -> int:
    top.print_help()
    return 0


def _version(options: argparse.Namespace) -> int:
    from importlib.metadata import version

    print(f"sweeplens {version('sweeplens')}")
    return 0


def _serve(options: argparse.Namespace) -> int:
    from sweeplens_mcp.logs import log_to_stderr

    log_to_stderr(options.log_level)
    from sweeplens_mcp.cli.serving import serve_at_http, serve_at_stdio

    settings = Settings((*options.folders, *options.root))
    return serve_at_http(options, settings) if options.http else serve_at_stdio(settings)


def _ask(name: str, options: argparse.Namespace) -> int:
    gc.disable()
    from sweeplens_mcp.cli.questions import main as ask

    return ask(name, options.rest)


def _call(options: argparse.Namespace) -> int:
    gc.disable()
    from sweeplens_mcp.cli.call import call_tool, listed

    if not options.tool:
        print(listed())
        return 0
    reply = call_tool(options.tool, options.values, Settings(tuple(options.root)))
    if options.json and reply.structured is None:
        return _fail(
            f"{options.tool} has no structured content; `sweeplens plot -o chart.json` writes the specification."
        )
    print(json.dumps(reply.structured, ensure_ascii=False) if options.json else reply.text)
    return 0


def _plot(options: argparse.Namespace) -> int:
    from sweeplens_mcp.cli.plot import main as plot

    return plot(options.rest)


def _report(options: argparse.Namespace) -> int:
    from sweeplens.sources.given_roots import is_root
    from sweeplens_mcp.cli.command_hints import quoted
    from sweeplens_mcp.cli.draw import report_to_file
    from sweeplens_mcp.cli.missing_quotes import check_condition

    if options.where:
        odd = [word for word in options.folders if not is_root(word)]
        folders = [word for word in options.folders if word not in odd]
        check_condition(
            options.where, odd, " ".join(map(quoted, ["sweeplens", "report", *folders, "-o", options.output]))
        )
    settings = Settings((*options.folders, *options.root))
    print(report_to_file(options.output, settings, where=options.where, opened=options.open))
    return 0


def _ingest(options: argparse.Namespace) -> int:
    from sweeplens_mcp.cli.ingest import main as ingest

    return ingest(options.rest)


def _doctor(options: argparse.Namespace) -> int:
    from sweeplens_mcp.cli.doctor import report

    print("\n".join(report(Settings((*options.folders, *options.root)), files=options.files)))
    return 0


def _completion(options: argparse.Namespace) -> int:
    from sweeplens_mcp.cli.completion import script

    print(script(options.shell), end="")
    return 0


def _complete(options: argparse.Namespace) -> int:
    from sweeplens_mcp.cli.completion import candidates

    print("\n".join(candidates(options.rest)))
    return 0


def _demo(options: argparse.Namespace) -> int:
    from sweeplens_mcp.cli.demo import main as demo

    return demo(options.rest)


def _config(options: argparse.Namespace) -> int:
    from sweeplens_mcp.cli.configure import main as config

    return config(options.rest)


def _fail(sentence: str, code: int = 2) -> int:
    from sweeplens_mcp.render.cells import clean

    print(f"sweeplens: {clean(sentence)}", file=sys.stderr)
    return code


def _warn_of_unknown_settings() -> None:
    """Warns of misspelt ``ANALYSIS_*`` variables, which have no effect."""
    if any(name.upper().startswith("ANALYSIS_") for name in os.environ):
        from sweeplens.config_fields import unknown_variables

        for sentence in unknown_variables(os.environ):
            _fail(sentence)


if __name__ == "__main__":
    run()
