"""Warnings that a session has read already are only named again.

Each session (stdio and stateful HTTP with the handshake) keeps the warnings of its answers, for one version of the data. The
first answer has a warning in full; later ones have its first clause, which holds the counts. Requests without a session
always get it in full.
"""

from __future__ import annotations

import re
from collections.abc import MutableMapping
from typing import Any, cast

from mcp.server.session import ServerSession
from msgspec.structs import replace

from sweeplens.errors import LOAD_FAILED
from sweeplens_mcp.render.answers import ToolReply
from sweeplens_mcp.render.basis import BasisJson, warnings_text

__all__ = ["said_once", "session_state"]

_KEY = "sweeplens.warnings"
_LONG = 100  # characters; shorter warnings are repeated as they are
_CLAUSE = re.compile(r": |; | \(")
_FEWEST = 15  # characters of a first clause
_MOST = 200  # warnings that a session keeps; then it begins again


def session_state(session: ServerSession) -> MutableMapping[str, Any]:
    """Returns what the SDK keeps for the session; empty for each request where there is no session."""
    return session._connection.state  # pyright: ignore[reportPrivateUsage]  # the SDK has no public way to it from a tool


def said_once(reply: ToolReply, state: MutableMapping[str, Any]) -> ToolReply:
    """Returns the reply with warnings that the session has read in short, and remembers its other warnings."""
    found = reply.structured.get("basis") if reply.structured else None
    if reply.structured is None or not isinstance(found, dict):  # the basis of a chart is its sentence
        return reply
    basis = cast("BasisJson", found)
    version, said = state.get(_KEY, ("", set[str]()))
    said = said if version == basis["data_version"] and len(said) < _MOST else set[str]()
    warnings = basis["warnings"]
    brief = [_first_clause(w) if w in said else w for w in warnings]
    repeated = {w for w in warnings if len(w) > _LONG and not w.startswith(LOAD_FAILED)}  # every answer says that whole
    state[_KEY] = (basis["data_version"], said | repeated)
    if brief == warnings:
        return reply
    structured = {**reply.structured, "basis": {**basis, "warnings": brief}}
    return replace(reply, structured=structured, text=reply.text.replace(warnings_text(warnings), warnings_text(brief)))


def _first_clause(warning: str) -> str:
    """Returns the warning up to its first colon, semicolon or bracket."""
    end = next((m.start() for m in _CLAUSE.finditer(warning) if m.start() >= _FEWEST), None)
    return warning if end is None else f"{warning[:end]} (as said before)"
