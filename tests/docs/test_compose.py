"""The compose file starts what it says: its images are pinned, its names exist, its commands are ours. Nothing is started here."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.cluster import spark

from sweeplens.config_fields import unknown_variables
from sweeplens.engines.address import parse_address
from sweeplens_mcp.cli.commands import parser
from sweeplens_mcp.cli.ingest import ingest_parser
from sweeplens_mcp.settings import DEFAULT_PORT

PROJECT = Path(__file__).parents[2]
FOLDER = PROJECT / "packaging" / "compose"
COMPOSE: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OF_STORAGE = {"AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_ALLOW_HTTP"}


def environment(name: str) -> dict[str, str]:
    return SERVICES[name].get("environment", {})


@pytest.mark.parametrize("name", SERVICES)
def test_every_image_is_pinned_or_built_here(name: str) -> None:
    service = SERVICES[name]
    if "build" in service:
        context = (FOLDER / service["build"]["context"]).resolve()
        assert context == PROJECT
        assert (context / service["build"].get("dockerfile", "Dockerfile")).is_file()
    else:
        assert re.fullmatch(r"[a-z0-9./-]+:\d+\.\d+\.\d+[a-z0-9.-]*", service["image"])


@pytest.mark.parametrize("name", SERVICES)
def test_ports_are_published_on_this_machine_alone(name: str) -> None:
    for port in SERVICES[name].get("ports", []):
        assert re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port)


@pytest.mark.parametrize("name", SERVICES)
def test_what_a_service_waits_for_and_mounts_is_there(name: str) -> None:
    assert set(SERVICES[name].get("depends_on", ())) <= SERVICES.keys()
    for volume in SERVICES[name].get("volumes", []):
        source, _, target = re.sub(r"\$\{[^}]*\}", "EXPERIMENTS", volume).partition(":")
        assert source == "EXPERIMENTS" or (FOLDER / source).is_file()
        assert target.endswith(":ro")


@pytest.mark.parametrize("name", [n for n in SERVICES if environment(n)])
def test_every_variable_exists(name: str) -> None:
    given = environment(name)
    assert list(unknown_variables(given)) == []
    ours = {n for n in given if n.startswith(("ANALYSIS_", "SWEEPLENS_"))}
    assert set(given) - ours == OF_STORAGE
    assert all(isinstance(value, str) for value in given.values())
    assert ours <= {"ANALYSIS_CACHE_DIR", "ANALYSIS_ENGINE", "SWEEPLENS_TOKENS"}


def test_addresses_lead_to_services_and_to_the_bucket_that_is_made() -> None:
    given = environment("replica-1")
    assert parse_address(given["ANALYSIS_ENGINE"]).host in SERVICES
    made = SERVICES["bucket"]["command"][-1]
    assert made == f"{given['AWS_ENDPOINT_URL']}/{given['ANALYSIS_CACHE_DIR'].split('/')[2]}"
    assert re.fullmatch(r"http://(\w+):\d+/\w+", made)[1] in SERVICES  # type: ignore[index]
    assert environment("replica-1") == environment("replica-2") == environment("ingest")


def test_commands_of_the_server_are_commands_that_exist() -> None:
    options: argparse.Namespace = parser().parse_args(SERVICES["replica-1"]["command"])
    assert (options.http, options.stateless, options.host) == (True, True, "0.0.0.0")
    assert options.root == ["/experiments"]
    command, *rest = SERVICES["ingest"]["command"]
    assert command == "ingest"
    given = ingest_parser().parse_args(rest)
    assert (given.engine, given.root) == (environment("ingest")["ANALYSIS_ENGINE"], options.root)


def test_the_proxy_stands_before_every_replica() -> None:
    text = (FOLDER / "proxy.conf").read_text(encoding="utf-8")
    named = re.findall(r"server ([a-z0-9-]+):(\d+);", text)
    assert named == [(name, str(DEFAULT_PORT)) for name in SERVICES if name.startswith("replica-")]
    listens = re.findall(r"listen (\d+);", text)
    assert [port.rsplit(":", 1)[1] for port in SERVICES["proxy"]["ports"]] == listens
    assert text.count("{") == text.count("}")


def test_executors_have_the_python_of_the_server_and_the_spark_that_is_tested() -> None:
    server = (PROJECT / "Dockerfile").read_text(encoding="utf-8")
    executors = (FOLDER / "spark.Dockerfile").read_text(encoding="utf-8")
    (version,) = {
        *re.findall(r"^FROM python:(\d+\.\d+)", server, re.M),
        *re.findall(r"^FROM python:(\d+\.\d+)", executors, re.M),
    }
    assert f"python{version}/site-packages/pyspark/conf/" in executors
    assert f"pyspark[connect]=={spark.VERSION}" in executors
    assert spark.JAVA in executors.split()
    assert SERVICES["replica-1"]["build"]["args"]["EXTRAS"] == "[object-store,spark]"
