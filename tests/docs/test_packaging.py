"""What is published beside the code (metadata, registry entry, bundle, workflows) agrees with the package."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

PROJECT = Path(__file__).parents[2]
NAME = re.compile(r"^[a-zA-Z0-9.-]+/[a-zA-Z0-9._-]+$")


def project() -> dict[str, Any]:
    return tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_the_metadata_is_complete() -> None:
    from trove_classifiers import classifiers

    held = project()
    assert set(held["classifiers"]) <= classifiers
    assert held["authors"] == [{"name": "sweeplens maintainers"}]
    assert held["keywords"]
    assert all(url.startswith("https://") for url in held["urls"].values())
    assert not any(c.startswith("License ::") for c in held["classifiers"])  # an index refuses both forms together


def test_every_version_is_the_same() -> None:
    version = project()["version"]
    registry = json.loads((PROJECT / "server.json").read_text(encoding="utf-8"))
    citation = yaml.safe_load((PROJECT / "CITATION.cff").read_text(encoding="utf-8"))
    manifest = json.loads((PROJECT / "packaging" / "manifest.json").read_text(encoding="utf-8"))
    assert {registry["version"], *(p["version"] for p in registry["packages"])} == {version}
    assert (citation["version"], manifest["version"]) == (version, version)


ENTRY: dict[str, Any] = {
    "$schema": str, "name": str, "description": str, "version": str,
    "title?": str, "websiteUrl?": str, "repository?": dict, "packages?": list,
}  # fmt: skip
PACKAGE: dict[str, Any] = {
    "registryType": str, "identifier": str, "version": str, "transport": dict,
    "registryBaseUrl?": str, "runtimeHint?": str, "packageArguments?": list, "environmentVariables?": list,
}  # fmt: skip
INPUT: dict[str, Any] = {
    "description?": str, "format?": str, "isRequired?": bool, "isSecret?": bool, "value?": str, "default?": str,
    "choices?": list,
}  # fmt: skip
POSITIONAL = {**INPUT, "type": str, "valueHint?": str, "isRepeated?": bool}
NAMED = {**INPUT, "type": str, "name": str, "isRepeated?": bool}
VARIABLE = {**INPUT, "name": str}


def check_form(value: dict[str, Any], form: dict[str, Any]) -> None:
    """The fields that the registry requires are there, each known field has its type, and no other is."""
    types = {name.removesuffix("?"): kind for name, kind in form.items()}
    assert {name for name in form if not name.endswith("?")} <= set(value) <= set(types)
    assert all(isinstance(field, types[name]) for name, field in value.items())
    assert value.get("format", "string") in ("string", "number", "boolean", "filepath")


def test_the_registry_entry_has_the_form_of_its_schema() -> None:
    entry = json.loads((PROJECT / "server.json").read_text(encoding="utf-8"))
    check_form(entry, ENTRY)
    assert entry["$schema"] == "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json"
    assert NAME.match(entry["name"])
    assert 3 <= len(entry["name"]) <= 200
    assert 1 <= len(entry["description"]) <= 100
    assert 1 <= len(entry["title"]) <= 100
    (package,) = entry["packages"]
    check_form(package, PACKAGE)
    assert package["transport"] == {"type": "stdio"}
    assert package["identifier"] == project()["name"]
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*", package["version"])  # ranges and `latest` are refused
    for argument in package["packageArguments"]:
        check_form(argument, POSITIONAL if argument["type"] == "positional" else NAMED)
        assert argument["type"] == "named" or {"value", "valueHint"} & set(argument)
    for variable in package["environmentVariables"]:
        check_form(variable, VARIABLE)


def test_the_registry_starts_the_server_and_its_readme_names_the_entry() -> None:
    entry = json.loads((PROJECT / "server.json").read_text(encoding="utf-8"))
    (package,) = entry["packages"]
    first, *others = package["packageArguments"]
    words = [first["value"], *(part for a in others for part in (a["name"], "x"))]
    done = subprocess.run([sys.executable, "-m", "sweeplens_mcp", words[0], "--help"], capture_output=True, check=True)
    assert all(word.encode() in done.stdout for word in words if word.startswith("--"))
    assert f"mcp-name: {entry['name']} " in (PROJECT / "README.md").read_text(encoding="utf-8")


def test_the_bundle_starts_the_server_of_this_version(tmp_path: Path) -> None:
    command = [sys.executable, str(PROJECT / "packaging" / "bundle.py"), str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True)
    with zipfile.ZipFile(tmp_path / "sweeplens.mcpb") as archive:
        manifest = json.loads(archive.read("manifest.json"))
        pinned = tomllib.loads(archive.read("pyproject.toml").decode())["project"]["dependencies"]
        assert manifest["server"]["entry_point"] in archive.namelist()
        compile(archive.read("main.py"), "main.py", "exec")
    assert pinned == [f"sweeplens=={manifest['version']}"]
    assert "${user_config.experiments}" in manifest["server"]["mcp_config"]["args"]


@pytest.mark.parametrize("path", sorted((PROJECT / ".github").rglob("*.yml")), ids=lambda p: p.name)
def test_workflows_and_templates_are_yaml_and_grant_little(path: Path) -> None:
    held = yaml.safe_load(path.read_text(encoding="utf-8"))
    if path.parent.name == "workflows":
        assert held["permissions"] == {"contents": "read"}
        assert all("runs-on" in job and job["steps"] for job in held["jobs"].values())


def test_tests_run_on_every_version_and_system_that_the_metadata_names() -> None:
    held = yaml.safe_load((PROJECT / ".github" / "workflows" / "tests.yml").read_text(encoding="utf-8"))
    matrix = held["jobs"]["tests"]["strategy"]["matrix"]
    named = [c.rsplit(" ", 1)[1] for c in project()["classifiers"] if re.search(r"Python :: 3\.\d+$", c)]
    assert matrix["python"] == named
    assert len(matrix["os"]) == 3


def test_the_image_runs_as_a_user_without_rights_and_knows_its_health() -> None:
    lines = (PROJECT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    assert "USER sweeplens" in lines
    assert any(line.startswith("HEALTHCHECK") for line in lines)
    assert not any(line.startswith("ADD ") for line in lines)
