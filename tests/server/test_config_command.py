"""`sweeplens config`: what it prints, which files it writes, and which it refuses to edit."""

from __future__ import annotations

import json
import shlex
import tomllib
from pathlib import Path

import pytest

from sweeplens_mcp.cli.commands import main

OURS = "sweeplens"


@pytest.fixture(autouse=True)
def experiments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of experiments in a working directory of the test's own."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "experiments"
    folder.mkdir()
    return folder


def test_it_prints_absolute_paths_and_where_they_go(capsys: pytest.CaptureFixture[str], experiments: Path) -> None:
    assert main(["config", "vscode", "--root", "experiments"]) == 0
    printed = capsys.readouterr()
    entry = json.loads(printed.out)["servers"][OURS]
    assert Path(entry["command"]).is_absolute()
    assert entry["args"][:3] == ["serve", "--root", str(experiments)]
    assert str(Path(".vscode/mcp.json")) in printed.err


def test_without_a_client_it_lists_all_with_their_files(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) >= 14
    assert any(line.startswith("codex") and "config.toml" in line for line in lines)


def test_an_unknown_client_is_answered_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "vs-code"]) == 2
    assert "Nearest: 'vscode'" in capsys.readouterr().err


def test_a_root_that_is_not_there_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "cursor", "--root", "nowhere"]) == 2
    assert "No folder" in capsys.readouterr().err


def test_several_roots_stand_in_one_entry(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "more runs").mkdir()
    assert main(["config", "cursor", "--root", "experiments", "--root", "more runs"]) == 0
    assert json.loads(capsys.readouterr().out)["mcpServers"][OURS]["args"].count("--root") == 2


def test_writing_keeps_the_other_servers_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / ".cursor" / "mcp.json"
    path.parent.mkdir()
    before = json.dumps({"mcpServers": {"other": {"command": "x"}, OURS: {"command": "old"}}, "more": 1})
    path.write_text(before)
    assert main(["config", "cursor", "--write"]) == 0
    held = json.loads(path.read_text(encoding="utf-8"))
    assert held["mcpServers"]["other"] == {"command": "x"}
    assert held["mcpServers"][OURS]["args"][0] == "serve"
    assert held["more"] == 1
    assert sorted(p.name for p in path.parent.iterdir()) == ["mcp.json", "mcp.json.bak"]
    assert path.with_name("mcp.json.bak").read_text() == before


def test_writing_twice_changes_nothing(tmp_path: Path) -> None:
    for client, name in (("jupyter-ai", "a.json"), ("codex", "b.toml"), ("continue", "c.yaml"), ("goose", "d.yaml")):
        assert main(["config", client, "--write", "--file", name]) == 0
        once = (tmp_path / name).read_text(encoding="utf-8")
        assert main(["config", client, "--write", "--file", name]) == 0
        assert (tmp_path / name).read_text(encoding="utf-8") == once


def test_toml_is_appended_to_and_its_comments_stay(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text('# mine\nmodel = "m"\n\n[mcp_servers.other]\ncommand = "x"\n')
    assert main(["config", "codex", "--write", "--file", str(path)]) == 0
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# mine\n")
    assert set(tomllib.loads(text)["mcp_servers"]) == {"other", OURS}


@pytest.mark.parametrize(
    ("client", "text", "why"),
    [
        ("cursor", '{"mcpServers": ["odd"]}', "holds no object at mcpServers"),
        ("cursor", '["odd"]', "holds no object at its top"),
        ("cursor", '{"mcpServers": {"sweeplens": {"url": "http://lab"}}}', "connects to a server by 'url'"),
        ("zed", "{'single': 1}", "a key in double quotes"),
        ("zed", '{\n"a": 1\n"b": 2}', "line 3"),
        ("codex", "not = toml = at all\n", "line 1"),
        ("codex", "mcp_servers = 3\n", "holds no object at mcp_servers"),
        ("goose", "extensions: [\n", "cannot be read"),
        ("goose", "extensions: none of mine\n", "holds no object at extensions"),
        ("jupyter-ai", '{"mcp_servers": {}}', "holds no list at mcp_servers"),
    ],
)
def test_a_file_that_could_lose_something_is_left_alone(
    client: str, text: str, why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "settings"
    path.write_text(text)
    assert main(["config", client, "--write", "--file", str(path)]) == 2
    assert path.read_text(encoding="utf-8") == text
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == ["settings"]
    message = capsys.readouterr().err
    assert "nothing was changed" in message
    assert why in message
    assert '"serve"' in message or "- serve" in message
    assert str(path) in message


def test_a_program_is_printed_and_never_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "emacs", "--write", "--file", str(tmp_path / "init.el")]) == 2
    assert not (tmp_path / "init.el").exists()
    assert "mcp-hub-servers" in capsys.readouterr().err


def test_a_file_of_one_project_comes_with_the_command_for_all_projects(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    assert main(["config", "cursor", "experiments", "--write"]) == 0
    said = capsys.readouterr().err
    assert said.endswith("For all: sweeplens config cursor experiments --write --file ~/.cursor/mcp.json\n")
    assert main(["config", "cursor", "experiments", "--write", "--file", "~/.cursor/mcp.json"]) == 0
    assert "For all" not in capsys.readouterr().err
    assert OURS in (tmp_path / "home" / ".cursor" / "mcp.json").read_text()


def test_a_file_without_writing_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["config", "cursor", "experiments", "--file", "x.json"])
    assert "add --write, or --dry-run" in capsys.readouterr().err


@pytest.mark.parametrize("client", ["cursor", "codex", "continue", "opencode", "goose", "zed", "jupyter-ai"])
def test_an_entry_that_served_other_folders_is_replaced_with_the_command_for_both(
    client: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, other, file = tmp_path / "first", tmp_path / "the other", tmp_path / "config.file"
    for folder in (first, other):
        folder.mkdir()
    assert main(["config", client, str(first), "--write", "--file", str(file)]) == 0
    assert "served" not in capsys.readouterr().err
    assert main(["config", client, str(other), "--dry-run", "--file", str(file)]) == 0
    assert f"The entry would be replaced: it served {first}, and now {other}" in capsys.readouterr().err
    assert main(["config", client, str(other), "--write", "--file", str(file)]) == 0
    said = capsys.readouterr()
    assert "Replaced the entry sweeplens" in said.out
    both = shlex.split(said.err.partition("For all: ")[2].splitlines()[0])
    assert main(both[1:]) == 0
    assert str(first) in file.read_text(encoding="utf-8")
    assert str(other) in file.read_text(encoding="utf-8")
    assert "served" not in capsys.readouterr().err
