"""Introductions of a server: to a client, in a browser, and at a terminal."""

from __future__ import annotations

import os
import re
import socket
import urllib.request
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from urllib.parse import unquote

import pytest
from mcp import Client
from support.terminal import at_terminal

from sweeplens_mcp.http.front_page import connecting

posix = pytest.mark.skipif(os.name == "nt", reason="terminals of POSIX")


@pytest.mark.anyio
async def test_the_server_introduces_itself_with_title_description_page_and_icon(client: Client) -> None:
    about = client.server_info
    assert (about.name, about.title) == ("sweeplens", "Sweeplens")
    assert about.description
    assert about.website_url == "https://pypi.org/project/sweeplens/"
    (icon,) = about.icons or ()
    kind, _, drawing = icon.src.partition(",")
    assert kind == "data:image/svg+xml"
    assert ElementTree.fromstring(unquote(drawing)).tag.endswith("svg")


def _get(url: str, accept: str) -> tuple[str, str]:
    with urllib.request.urlopen(urllib.request.Request(url, headers={"Accept": accept})) as answer:
        return answer.headers["Content-Type"], answer.read().decode()


def test_the_front_page_says_what_this_is_and_names_no_folder(http_url: str, sweep: Path) -> None:
    root = http_url.removesuffix("mcp")
    kind, page = _get(root, "text/html,application/xhtml+xml")
    assert kind.startswith("text/html")
    kind, text = _get(root, "*/*")
    assert kind.startswith("text/plain")
    for shown in (page, text):
        assert "an MCP server" in shown
        assert http_url in shown
        assert "claude mcp add" in shown
        assert str(sweep) not in shown
    assert set(re.findall(r"(?:src|href)=\"([^\"]*)\"", page)) == {"/healthz", "/readyz", "/ui"}


def test_lines_for_clients_carry_a_header_only_where_tokens_are_asked_for() -> None:
    assert "Authorization" not in connecting("http://x:1", has_tokens=False)
    lines = connecting("http://x:1", has_tokens=True).splitlines()
    assert [line.split()[0] for line in lines] == ["claude", "code", "codex", "gemini"]
    assert all("http://x:1/mcp" in line for line in lines)


@posix
def test_serve_at_a_terminal_greets_the_user_and_ctrl_c_ends_it_at_once(sweep: Path) -> None:
    shown = at_terminal(["serve", str(sweep)], columns=200, keys={"Ctrl-C ends it.": "\x03"}, seconds=20)
    assert shown.code == 130
    assert "an MCP server over stdio" in shown.text
    assert str(sweep) in shown.text
    assert "sweeplens config CLIENT" in shown.text
    assert "Traceback" not in shown.raw


@posix
def test_serve_over_http_at_a_terminal_prints_its_address(sweep: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = ["serve", str(sweep), "--http", "--port", str(port)]
    shown = at_terminal(command, columns=200, keys={"Ctrl-C ends it.": "\x03"}, seconds=20)
    assert f"an MCP server at http://127.0.0.1:{port}/mcp" in shown.text
    assert f"claude mcp add --transport http sweeplens http://127.0.0.1:{port}/mcp" in shown.text
    assert "Traceback" not in shown.raw
    assert shown.code == 130
