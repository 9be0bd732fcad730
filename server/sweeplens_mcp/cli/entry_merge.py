"""Puts our entry into a client's configuration as data; other entries stay.

    merge_entry(document, client, launch)    changes ``document``: plain dictionaries, or those of tomlkit or ruamel.yaml
    served_before(document, client)          the folders of the entry that would be replaced

In an existing entry only the keys that start the server are replaced (`LAUNCH_KEYS`). All others stay: `env`, timeouts, whether
it is enabled, the allowed tools. Raises UnmergeableError if the file has another structure.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from itertools import pairwise
from typing import Any, cast

from sweeplens_mcp.cli.clients import SERVER_NAME, Client, LaunchCommand

__all__ = ["CONTINUE_HEAD", "LAUNCH_KEYS", "UnmergeableError", "merge_entry", "served_before"]

LAUNCH_KEYS = frozenset({"command", "args", "cmd", "type"})
CONTINUE_HEAD = {"name": SERVER_NAME, "version": "0.1.0", "schema": "v1"}
_VARIABLE = "ANALYSIS_EXPERIMENT_DIR"
_ADDRESS_KEYS = ("url", "serverUrl", "httpUrl", "uri")


class UnmergeableError(ValueError):
    """The file has no place for our entry; the message completes "FILE ..."."""


def merge_entry(document: object, client: Client, launch: LaunchCommand) -> None:
    """Puts our entry where the client looks for it."""
    *above, last = client.keys
    container = _mapping(document, "at its top")
    if client.name == "continue":
        for key, value in CONTINUE_HEAD.items():
            container.setdefault(key, value)
    for depth, key in enumerate(above):
        if container.get(key) is None:
            container[key] = {}
        container = _mapping(container[key], f"at {'.'.join(above[: depth + 1])}")
    entry = client.entry(launch)
    if isinstance(entry, list):
        _merge_into_list(container, last, cast("list[dict[str, Any]]", entry)[0])
    elif container.get(last) is None:
        container[last] = dict(cast("dict[str, Any]", entry))
    else:
        _merge_fields(_mapping(container[last], f"at {'.'.join(client.keys)}"), cast("dict[str, Any]", entry))


def served_before(document: object, client: Client) -> list[str]:
    """Returns the folders that our existing entry serves; none if there is no entry."""
    place = document
    for key in client.keys:
        place = cast("Mapping[str, Any]", place).get(key) if isinstance(place, Mapping) else None
    if isinstance(place, list):
        place = next((server for server in cast("list[Any]", place) if _is_ours(server)), None)
    if not isinstance(place, Mapping):
        return []
    entry = cast("Mapping[str, Any]", place)
    words = [str(word) for key in ("command", "args") for word in _words_of(entry.get(key))]
    named = [word.partition("=")[2] for word in words if word.startswith("--root=")]
    named += [after for word, after in pairwise(words) if word == "--root"]
    variables = entry.get("env")
    configured = cast("Mapping[str, Any]", variables).get(_VARIABLE) if isinstance(variables, Mapping) else None
    return named or ([str(configured)] if configured else [])


def _words_of(value: object) -> list[object]:
    return list(cast("list[object]", value)) if isinstance(value, list) else []


def _merge_into_list(container: MutableMapping[str, Any], key: str, entry: dict[str, Any]) -> None:
    """Merges our entry into a list of named servers, or adds it."""
    if container.get(key) is None:
        container[key] = [entry]
        return
    if not isinstance(container[key], list):
        raise UnmergeableError(f"holds no list at {key}")
    servers = cast("list[Any]", container[key])
    existing = next((server for server in servers if _is_ours(server)), None)
    if existing is not None:
        _merge_fields(_mapping(existing, f"at {key}"), entry)
    else:
        servers.append(entry)


def _is_ours(server: object) -> bool:
    return isinstance(server, Mapping) and cast("Mapping[str, Any]", server).get("name") == SERVER_NAME


def _merge_fields(existing: MutableMapping[str, Any], entry: Mapping[str, Any]) -> None:
    address = next((key for key in _ADDRESS_KEYS if existing.get(key)), None)
    if address:
        raise UnmergeableError(
            f"has an entry {SERVER_NAME!r} that connects to a server by {address!r}: remove it first"
        )
    for key, value in entry.items():
        if key not in existing or (key in LAUNCH_KEYS and existing[key] != value):
            existing[key] = value


def _mapping(value: object, where: str) -> MutableMapping[str, Any]:
    if not isinstance(value, MutableMapping):
        raise UnmergeableError(f"holds no object {where}")
    return cast("MutableMapping[str, Any]", value)
