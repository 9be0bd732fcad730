"""One server for a lab: callers without a token are kept out, and a token that is limited to a root sees no other one's runs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from support.doors import ERAS, text_of
from support.lab import EVERYTHING, PUBLIC, asking, lab, web

from sweeplens.errors import ConfigError
from sweeplens.sources.given_roots import below_root, given_root
from sweeplens_mcp.http.options import HttpOptions
from sweeplens_mcp.tools import TOOLS

__all__ = ["lab"]  # a fixture
pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("token", ["", "wrong-token-0000001", EVERYTHING + "x"])
async def test_without_a_right_token_nothing_is_answered_and_the_header_says_what_is_missing(
    lab: Path, token: str
) -> None:
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    async with web(lab, token) as client:
        answer = await client.post("/mcp", json=message, headers={"Accept": "application/json, text/event-stream"})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer ")
    assert "run" not in answer.text


async def test_a_load_balancer_asks_for_health_without_a_token_and_learns_nothing_else(lab: Path) -> None:
    async with web(lab) as client:
        for path in ("/healthz", "/readyz"):
            answer = await client.get(path)
            assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


async def test_a_foreign_host_or_origin_is_refused(lab: Path) -> None:
    async with web(lab, EVERYTHING) as client:
        assert (await client.post("/mcp", json={}, headers={"Host": "evil.example"})).status_code == 421
        assert (await client.post("/mcp", json={}, headers={"Origin": "https://evil.example"})).status_code == 403


HELLO = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}},
}
JSON = {"Accept": "application/json, text/event-stream"}


@pytest.mark.parametrize("bound", ["0.0.0.0", "::", "192.0.2.7", "lab.example"])
@pytest.mark.parametrize("name", ["lab.example", "lab.example:8917", "192.0.2.7:8917", "[2001:db8::1]:8917", "pod-7"])
async def test_off_loopback_a_client_with_a_token_is_served_under_every_name_of_the_machine(
    lab: Path, bound: str, name: str
) -> None:
    async with web(lab, EVERYTHING, host=bound) as client:
        assert (await client.post("/mcp", json=HELLO, headers={**JSON, "Host": name})).status_code == 200
        foreign = {**JSON, "Host": name, "Origin": "https://evil.example"}
        assert (await client.post("/mcp", json=HELLO, headers=foreign)).status_code == 403
        nobody = {**JSON, "Host": name, "Authorization": ""}
        assert (await client.post("/mcp", json=HELLO, headers=nobody)).status_code == 401


async def test_names_that_were_given_are_the_only_ones_and_stand_for_every_port(lab: Path) -> None:
    async with web(lab, EVERYTHING, host="0.0.0.0", allowed_hosts=("lab.example", "other.example:8917")) as client:
        codes = {
            name: (await client.post("/mcp", json=HELLO, headers={**JSON, "Host": name})).status_code
            for name in (
                "lab.example",
                "lab.example:8917",
                "other.example:8917",
                "127.0.0.1:8917",
                "other.example:1",
                "evil.example",
            )
        }
    assert list(codes.values()) == [200, 200, 200, 200, 421, 421]


async def test_the_rate_limit_refuses_one_client_with_a_retry_time_and_no_other(lab: Path) -> None:
    async with web(lab, PUBLIC, calls_per_minute=3) as client:
        codes = [(await client.post("/mcp", json={})).status_code for _ in range(5)]
        assert codes[3:] == [429, 429]
        other = await client.post("/mcp", json={}, headers={"Authorization": f"Bearer {EVERYTHING}"})
        assert other.status_code != 429
        refused = await client.post("/mcp", json={})
        assert int(refused.headers["retry-after"]) >= 1


CALLS: dict[str, dict[str, object]] = {
    "get_run": {"run_id": "secret_run0"},
    "query_metrics": {"metrics": ["secret/acc"]},
    "rank_runs": {"metric": "secret/acc"},
    "compare_runs": {"a": "secret_run0", "b": "secret_run1"},
    "hparam_effects": {"metric": "secret/acc"},
    "query_sql": {"query": "SELECT run_id, metric FROM series"},
    "list_runs": {"where": '"secret_lr" > 0'},
    "summarize_by_hparams": {"hparams": ["secret_lr"]},
    "list_metrics": {"pattern": "secret"},
}


@pytest.mark.parametrize("era", ERAS)
async def test_a_token_limited_to_a_root_sees_no_other_roots_runs_in_any_tool(lab: Path, era: str) -> None:
    async with asking(lab, PUBLIC, era) as client:
        for spec in TOOLS:
            for arguments in ({}, CALLS.get(spec.name, {})):
                result = await client.call_tool(spec.name, arguments)
                said = text_of(result) + json.dumps(result.structured_content or {})
                asked = json.dumps(arguments)
                for name in ("secret_run0", "secret_run1", "secret/acc", "secret_lr"):
                    assert name not in said or (result.is_error and name in asked), (spec.name, arguments, said)
                assert str(lab / "secret") not in said


@pytest.mark.parametrize("era", ERAS)
async def test_a_token_limited_to_a_root_sees_no_other_roots_runs_in_resources_and_completions(
    lab: Path, era: str
) -> None:
    from mcp.types import ResourceTemplateReference

    async with asking(lab, PUBLIC, era) as client:
        for resource in (await client.list_resources()).resources:
            (content,) = (await client.read_resource(str(resource.uri))).contents
            assert "secret" not in content.text  # type: ignore[union-attr]
        with pytest.raises(Exception, match="secret_run0"):
            await client.read_resource("experiments://runs/secret_run0")
        reference = ResourceTemplateReference(type="ref/resource", uri="experiments://runs/{run_id}")
        completed = await client.complete(reference, {"name": "run_id", "value": ""})
        assert completed.completion.values == ["public_run0", "public_run1"]


@pytest.mark.parametrize("era", ERAS)
async def test_a_token_without_limits_sees_every_root(lab: Path, era: str) -> None:
    async with asking(lab, EVERYTHING, era) as client:
        said = text_of(await client.call_tool("list_runs", {}))
        assert all(f"{root}_run{seed}" in said for root in ("public", "secret") for seed in (0, 1))


async def test_a_grant_outside_the_served_roots_is_refused_without_naming_folders(lab: Path) -> None:
    (lab / "tokens").write_text(f"astray {PUBLIC} /somewhere/else\n", encoding="utf-8")
    async with asking(lab, PUBLIC, "auto") as client:
        result = await client.call_tool("list_runs", {})
        assert result.is_error
        assert "none of the folders" in text_of(result)
        assert str(lab) not in text_of(result)


def test_off_loopback_a_server_without_tokens_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SWEEPLENS_TOKENS", raising=False)
    with pytest.raises(ConfigError, match="--token-file"):
        HttpOptions(host="0.0.0.0")
    with pytest.raises(ConfigError, match="--oauth-jwks is missing"):
        HttpOptions(oauth_issuer="https://a.example", oauth_audience="https://b.example")
    with pytest.raises(ConfigError, match="both --tls-cert and --tls-key"):
        HttpOptions(tls_cert="cert.pem")


@pytest.fixture
def lab_with_places(lab: Path) -> Path:
    """The same lab, where the secret root is an archive, and tokens name addresses."""
    shutil.make_archive(str(lab / "secret"), "zip", lab / "secret")
    shutil.rmtree(lab / "secret")
    (lab / "secret.zip").rename(lab / "secret.tmp.zip")
    (lab / "tokens").write_text(
        f"all {EVERYTHING} '{lab / 'secret.tmp.zip'}'\npub {PUBLIC} s3://bucket/other\n", encoding="utf-8"
    )
    return lab


async def test_a_token_may_name_an_archive_that_is_served_and_no_address_that_is_not(lab_with_places: Path) -> None:
    served = ("public", "secret.tmp.zip")
    async with asking(lab_with_places, EVERYTHING, "auto", served) as client:
        said = text_of(await client.call_tool("list_runs", {}))
        assert "secret_run0" in said
        assert "public_run0" not in said
    async with asking(lab_with_places, PUBLIC, "auto", served) as client:
        result = await client.call_tool("list_runs", {})
        assert result.is_error
        assert "none of the folders" in text_of(result)


@pytest.mark.parametrize(
    ("wanted", "served", "found"),
    [
        ("s3://lab/exp", "s3://lab/exp", "s3://lab/exp"),
        ("s3://lab/exp/a", "s3://lab/exp", "s3://lab/exp/a"),
        ("S3://lab/exp/a/", "s3://lab/exp/", "s3://lab/exp/a"),
        ("sftp://me@host/exp/a", "sftp://me:pass@host/exp", "sftp://me:pass@host/exp/a"),
        ("mlflow+http://h:5000/one", "mlflow+http://h:5000", "mlflow+http://h:5000/one"),
        ("s3://lab/export", "s3://lab/exp", None),
        ("s3://lab/exp/../secret", "s3://lab/exp", None),
        ("s3://lab/exp/%2e%2e/secret", "s3://lab/exp", None),
        ("s3://lab/exp/a%2f..%2f..%2fsecret", "s3://lab/exp", None),
        ("s3://lab", "s3://lab/exp", None),
        ("s3://other/exp", "s3://lab/exp", None),
        ("/lab/exp", "s3://lab/exp", None),
    ],
)
def test_a_grant_reaches_a_served_address_and_what_is_below_it_alone(
    wanted: str, served: str, found: str | None
) -> None:
    assert below_root(wanted, given_root(served)) == found
