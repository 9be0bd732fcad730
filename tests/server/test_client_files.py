"""`sweeplens config --write` in files that users have: comments, other servers, own keys, permissions, links."""

from __future__ import annotations

import json
import os
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from sweeplens.errors import ConfigError
from sweeplens_mcp.cli.client_files import planned, rendered, write
from sweeplens_mcp.cli.clients import CLIENTS, Client, LaunchCommand, client_named
from sweeplens_mcp.cli.commands import main
from sweeplens_mcp.cli.jsonc_edit import edited, parsed

LAUNCH = LaunchCommand("/opt/a b/sweeplens", ("serve", "--root", "/data/my Läufe"))
OURS = "sweeplens"
WRITABLE = [c for c in CLIENTS if c.form in ("json", "toml", "yaml")]
PROGRAMS = [c for c in CLIENTS if c.form in ("lua", "elisp")]
posix = pytest.mark.skipif(os.name == "nt", reason="permissions and links of POSIX")


def existing(client: Client) -> str:
    """A file of this client as users have it: comments everywhere, other servers, an older entry with keys of its own."""
    if client.form == "toml":
        return (
            '# my settings\nmodel = "m"   # fast\n\n[mcp_servers.other]  # keep\ncommand = "x"\nenv = { TOKEN = "t" }\n\n'
            '[mcp_servers.sweeplens] # ours\ncommand = "old"\nargs = [ "serve" ]\nstartup_timeout_sec = 99\n'
            '\n[mcp_servers.sweeplens.env]\nANALYSIS_CACHE_DIR = "/fast" # disk\n\n[tui]\nnotifications = true\n'
        )
    if client.name == "continue":
        return (
            "# mine\nname: my servers\nversion: 1.2.3\nschema: v1\n\nmcpServers:\n    # first\n"
            "    - name: other   # keep\n      command: 'x'\n    - name: sweeplens\n      command: old\n"
            '      env:\n        ANALYSIS_CACHE_DIR: "/fast" # disk\n# end\n'
        )
    if client.form == "yaml":
        return (
            "# mine\nGOOSE_MODEL: 'm'\nextensions:\n  # first\n  other:   # keep\n    cmd: x\n    args:\n    - a\n"
            "  sweeplens:\n    type: stdio\n    cmd: old\n    args: []\n    timeout: 999\n    envs:\n"
            '      ANALYSIS_CACHE_DIR: "/fast" # disk\n# end\nGOOSE_MODE: auto\n'
        )
    own = '"command": ["old"]' if client.name == "opencode" else '"command": "old"'
    entry = f'{{\n      {own},\n      "timeout": 7, // mine\n      "env": {{ "ANALYSIS_CACHE_DIR": "/fast" }} /* disk */\n    }}'
    if client.name == "jupyter-ai":
        named = entry.replace("{", f'{{ "name": "{OURS}",', 1)
        inner = f'[\n    {{"name": "other", "command": "x"}}, // keep\n    {named}\n  ]'
    else:
        inner = f'{{\n    "other": {{"command": "x"}}, // keep\n    "{OURS}": {entry},\n  }}'
    return f'// my settings\n{{\n  "theme" : "dark",\n  /* servers */\n  "{client.keys[0]}": {inner},\n  "last": [1,2, 3]\n}}\n'


def data_of(client: Client, text: str) -> Any:
    return {"json": parsed, "toml": tomllib.loads, "yaml": yaml.safe_load}[client.form](text)


def entry_of(client: Client, text: str) -> Any:
    found = data_of(client, text)
    for key in client.keys:
        found = found[key]
    return next(e for e in found if e["name"] == OURS) if isinstance(found, list) else found


def without_ours(client: Client, text: str) -> Any:
    """Everything but our entry."""
    found = data_of(client, text)
    place = found
    for key in client.keys[:-1]:
        place = place[key]
    last = place[client.keys[-1]]
    if isinstance(last, list):
        place[client.keys[-1]] = [e for e in last if e["name"] != OURS]
    else:
        del place[client.keys[-1]]
    return found


def comments_of(text: str) -> list[str]:
    return re.findall(r"//[^\n]*|/\*.*?\*/|#[^\n]*", text)


def refused(client: Client, path: Path) -> bool:
    """Whether the file was left alone, with the sentence that says so."""
    try:
        write(client, LAUNCH, path)
    except ConfigError as error:
        return "nothing was changed" in str(error)
    return False


def started(entry: dict[str, Any]) -> list[str]:
    command = entry.get("command", entry.get("cmd"))
    return command if isinstance(command, list) else [command, *entry["args"]]


@pytest.mark.parametrize("client", WRITABLE, ids=lambda c: c.name)
def test_everything_that_is_not_ours_stays(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "settings"
    before = existing(client)
    path.write_text(before, encoding="utf-8")
    write(client, LAUNCH, path)
    after = path.read_text(encoding="utf-8")
    entry = entry_of(client, after)
    assert started(entry) == [LAUNCH.command, *LAUNCH.args]
    assert without_ours(client, after) == without_ours(client, before)
    assert entry.get("env", entry.get("envs")) == {"ANALYSIS_CACHE_DIR": "/fast"}
    assert [entry[k] for k in ("timeout", "startup_timeout_sec") if k in entry][:1] in ([7], [99], [999], [])
    assert comments_of(after) == comments_of(before)
    lines = [line.replace(",", "") for line in after.splitlines()]  # a neighbour may get a comma
    changed = [line for line in before.splitlines() if line.replace(",", "") not in lines]
    assert all("old" in line or "args" in line for line in changed), changed


@pytest.mark.parametrize("client", WRITABLE, ids=lambda c: c.name)
@pytest.mark.parametrize("ends", ["\n", "\r\n"], ids=["lf", "crlf"])
def test_a_new_entry_is_added_beside_the_others_and_writing_again_changes_nothing(
    client: Client, ends: str, tmp_path: Path
) -> None:
    path = tmp_path / "settings"
    others = {
        "json": f'{{\n\t// mine\n\t"{client.keys[0]}": {{\n\t\t"other": {{}} // keep\n\t}}\n}}\n',
        "toml": '# mine\n[mcp_servers.other] # keep\ncommand = "x"\n',
        "yaml": f"# mine\n{client.keys[0]}:\n  other: # keep\n    cmd: x\nlast: 1\n",
    }[client.form]
    if client.name in ("jupyter-ai", "continue"):
        others = {
            "json": '{"mcp_servers": [\n  {"name": "other"} // keep\n]}\n',
            "yaml": "# mine\nmcpServers:\n- name: other # keep\n",
        }[client.form]
    path.write_bytes(others.replace("\n", ends).encode())
    write(client, LAUNCH, path)
    once = path.read_bytes()
    assert started(entry_of(client, once.decode())) == [LAUNCH.command, *LAUNCH.args]
    assert comments_of(once.decode().replace("\r", "")) == comments_of(others)
    assert once.count(b"\n") == once.count(ends.encode())
    for line in others.replace(" // keep", "").splitlines():
        assert line.encode() in once
    assert "nothing was changed" in write(client, LAUNCH, path)
    assert path.read_bytes() == once
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("client", WRITABLE, ids=lambda c: c.name)
@pytest.mark.parametrize("text", [None, "", "\n\n", "\ufeff", "# only\n", "// only\n"])
def test_a_file_without_content_becomes_ours_and_keeps_its_comments(
    client: Client, text: str | None, tmp_path: Path
) -> None:
    if text and text[0] in "#/" and (text[0] == "#") == (client.form == "json"):
        pytest.skip("the comment of another notation")
    path = tmp_path / "deep" / "er" / "settings"
    if text is not None:
        path.parent.mkdir(parents=True)
        path.write_text(text, encoding="utf-8")
    write(client, LAUNCH, path)
    after = path.read_text(encoding="utf-8")
    assert after.removeprefix("\ufeff") == (text if text and text[0] in "#/" else "") + rendered(client, LAUNCH)
    assert after.startswith("\ufeff") == (text == "\ufeff")


@posix
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664])
def test_permissions_stay_for_the_file_and_its_backup(mode: int, tmp_path: Path) -> None:
    path = tmp_path / "mcp.json"
    path.write_text('{"secret": "s"}')
    path.chmod(mode)
    before = os.umask(0)
    try:
        write(client_named("cursor"), LAUNCH, path)
    finally:
        os.umask(before)
    assert {p.name: p.stat().st_mode & 0o777 for p in tmp_path.iterdir()} == {"mcp.json": mode, "mcp.json.bak": mode}


@posix
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives files away")
def test_the_owner_stays(tmp_path: Path) -> None:
    path = tmp_path / "mcp.json"
    path.write_text("{}")
    os.chown(path, 1234, 5678)
    write(client_named("cursor"), LAUNCH, path)
    assert {(p.stat().st_uid, p.stat().st_gid) for p in tmp_path.iterdir()} == {(1234, 5678)}


@posix
def test_links_stay_links_and_their_target_is_written(tmp_path: Path) -> None:
    real = tmp_path / "dotfiles" / "mcp.json"
    real.parent.mkdir()
    real.write_text('{"mine": 1}')
    link = tmp_path / "home" / "mcp.json"
    link.parent.mkdir()
    link.symlink_to("../dotfiles/mcp.json")
    (tmp_path / "second").symlink_to(link)
    assert str(real) in write(client_named("cursor"), LAUNCH, tmp_path / "second")
    assert link.is_symlink()
    assert OURS in json.loads(real.read_text())["mcpServers"]
    shared = tmp_path / "shared.json"
    shared.hardlink_to(real)
    write(client_named("cursor"), LaunchCommand("/new", ()), link)
    assert shared.read_text() == real.read_text()
    assert "/new" in shared.read_text()


@posix
def test_a_read_only_file_and_one_that_is_not_text_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "mcp.json"
    path.write_text("{}")
    path.chmod(0o444)
    with pytest.raises(ConfigError, match=r"is read-only: nothing was changed\. Paste this into the object"):
        write(client_named("cursor"), LAUNCH, path)
    assert path.read_text() == "{}"
    other = tmp_path / "utf16.json"
    other.write_bytes("{}".encode("utf-16"))
    with pytest.raises(ConfigError, match="is not UTF-8"):
        write(client_named("cursor"), LAUNCH, other)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mcp.json", "utf16.json"]


def test_a_change_that_another_program_made_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    from sweeplens_mcp.cli.file_replacement import current, replace_text

    path = tmp_path / "mcp.json"
    path.write_text("{}")
    seen = current(path)
    path.write_text('{"theirs": 1}')
    with pytest.raises(ConfigError, match="changed by another program"):
        replace_text(seen, "{}")
    assert path.read_text() == '{"theirs": 1}'
    assert not [p for p in tmp_path.iterdir() if p.suffix == ".new"]


def test_a_dry_run_shows_the_difference_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "experiments").mkdir()
    path = tmp_path / "mcp.json"
    path.write_text('{\n  "mine": 1 // keep\n}\n')
    assert main(["config", "cursor", "--dry-run", "--file", str(path)]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == f"--- {path}"
    assert '+  "mcpServers": {' in shown
    assert '-  "mine": 1 // keep' in shown
    assert '+  "mine": 1, // keep' in shown
    assert path.read_text() == '{\n  "mine": 1 // keep\n}\n'
    assert len(list(tmp_path.glob("mcp*"))) == 1


@pytest.mark.parametrize("client", PROGRAMS, ids=lambda c: c.name)
def test_a_program_is_not_edited_and_the_text_to_paste_fits_into_it(client: Client, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as told:
        planned(client, LAUNCH, tmp_path / client.file)
    message = str(told.value)
    assert str(tmp_path / client.file) in message
    assert json.dumps(LAUNCH.command) in message
    code = re.sub(r'"(?:[^"\\]|\\.)*"', "s", message.split(":\n", 1)[1])
    assert all(code.count(a) == code.count(b) for a, b in ("()", "{}"))
    assert "setup(" not in code  # a second call would replace the first one's settings
    assert "setq" not in code


@pytest.mark.parametrize("client", WRITABLE, ids=lambda c: c.name)
def test_the_text_to_paste_is_valid_beside_other_servers(client: Client, tmp_path: Path) -> None:
    from sweeplens_mcp.cli.client_files import pasted

    _, fragment = pasted(client, LAUNCH, tmp_path / "settings").split(":\n", 1)
    key = client.keys[0]
    if client.form == "toml":
        whole = f'[mcp_servers.other]\ncommand = "x"\n{fragment}'
    elif client.form == "yaml" and client.name == "continue":
        whole = f"{key}:\n- name: other\n{fragment}"
    elif client.form == "yaml":
        whole = f"{key}:\n  other: {{}}\n" + "".join(f"  {line}\n" for line in fragment.splitlines())
    else:
        left, right, other = (
            ("[", "]", '{"name": "other"}') if client.name == "jupyter-ai" else ("{", "}", '"other": {}')
        )
        whole = f'{{"{key}": {left}{other},\n{fragment}{right}}}'
    assert started(entry_of(client, whole)) == [LAUNCH.command, *LAUNCH.args]


@pytest.mark.parametrize(
    "text",
    [
        'mcp_servers = { other = { command = "x" } }\n',
        '[mcp_servers]\nother = { command = "x" } # keep\n',
        '[mcp_servers.a]\ncommand = "x"\n\n[tui]\nx = 1\n\n[mcp_servers.b]\ncommand = "y"\n',
        'mcp_servers.other.command = "x"\nlast = 1\n',
        "[[projects]]\na = 1\n[[projects]]\na = 2 # keep\n",
        '"mcp_servers".sweeplens.command = "old"\n"mcp_servers".sweeplens.env.A = "1"\n',
    ],
)
def test_every_notation_of_toml_is_edited_or_refused_and_never_damaged(text: str, tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(text)
    client = client_named("codex")
    if refused(client, path):
        assert path.read_text() == text
        return
    after = path.read_text()
    assert started(entry_of(client, after)) == [LAUNCH.command, *LAUNCH.args]
    assert comments_of(after) == comments_of(text)
    left = without_ours(client, after)
    before = tomllib.loads(text)
    before.get("mcp_servers", {}).pop(OURS, None)
    assert {k: v for k, v in left.items() if v} == {k: v for k, v in before.items() if v}


@pytest.mark.parametrize(
    "text",
    [
        "extensions:\n    other:\n        cmd:   x    # wide\n        args: [a,   b]\nlast:  >\n  folded\n  text\n",
        "a: &x {k: 1}\nb: *x\nextensions:\n  other: {cmd: x}\n",
        'long: "' + "word " * 60 + '"\nextensions: {}\n',
        "---\n# top\nextensions:   # ours\n",
        "extensions: {other: {cmd: x}}   # flow\n",
        "list:\n    -   a\n    -   b   # far\nextensions:\n  other:\n    args:\n      - a\n",
        "a: 1\n---\nb: 2\n",
        "time: 2024-01-01\nyes: no\noctal: 0o17\nextensions:\n  other:\n    on: 012\n# end",
    ],
)
def test_every_notation_of_yaml_is_edited_or_refused_and_never_damaged(text: str, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    client = client_named("goose")
    if refused(client, path):
        assert path.read_text() == text
        return
    after = path.read_text()
    assert started(entry_of(client, after)) == [LAUNCH.command, *LAUNCH.args]
    kept = [line for line in text.splitlines() if "extensions" not in line]
    assert all(line in after.splitlines() for line in kept)
    assert comments_of(after) == comments_of(text)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from(["", "a", 'q"\\', "// no comment", "ä"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcde"), inner, max_size=3),
    max_leaves=8,
)


@given(JSON_VALUES, JSON_VALUES, st.sampled_from([None, 2, "\t"]), st.data())
@settings(max_examples=150)
def test_an_edited_text_has_the_wanted_value_and_every_comment(
    before: object, wanted: object, indent: int | str | None, data: st.DataObject
) -> None:
    text = json.dumps(before, indent=indent, ensure_ascii=False)
    for place in sorted(data.draw(st.sets(st.integers(0, text.count(",")), max_size=3)), reverse=True):
        parts = text.split(", " if indent is None else ",\n")
        if place < len(parts) - 1 and indent is not None:
            text = ",\n".join([*parts[:place], parts[place] + ", // c", *parts[place + 1 :]]).replace(
                ", // c,\n", ", // c\n"
            )
    merged = {**before, **wanted} if isinstance(before, dict) and isinstance(wanted, dict) else wanted
    assert parsed(text) == before
    after = edited(text, merged)
    assert json.dumps(parsed(after), sort_keys=True) == json.dumps(merged, sort_keys=True)
    assert edited(after, merged) == after
