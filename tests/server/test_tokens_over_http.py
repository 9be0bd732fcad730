"""Status and header of an HTTP answer to a wrong token; no token is ever in the log."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from support.processes import serving
from support.serving import served

from sweeplens_mcp.http.options import HttpOptions
from sweeplens_mcp.http.serve import protected_app
from sweeplens_mcp.settings import Settings

pytestmark = pytest.mark.anyio
ISSUER, AUDIENCE, SCOPE = "https://login.example", "https://lab.example/mcp", "sweeplens:read"
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
DAY = 86_400  # tokens are made when tests are collected, and used when their turn comes
LIST = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
HEADERS = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}


def token(key: object = KEY, algorithm: str = "RS256", **claims: object) -> str:
    """Returns a valid token, but for the given claims."""
    now = int(time.time())
    right = {"iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "exp": now + 10 * DAY, "scope": SCOPE}
    whole = {name: value for name, value in (right | claims).items() if value is not None}
    return jwt.encode(whole, key, algorithm, {"kid": "first"})  # type: ignore[arg-type]


REFUSED = {
    "none": "",
    "nonsense": "nonsense",
    "expired": token(exp=int(time.time()) - DAY),
    "without an end": token(exp=None),
    "not yet valid": token(nbf=int(time.time()) + DAY),
    "of another audience": token(aud="https://other.example/mcp"),
    "of another issuer": token(iss="https://evil.example"),
    "unsigned": token(None, "none"),
    "signed with a shared secret": token("x" * 40, "HS256"),
    "signed by somebody else": token(OTHER_KEY),
}


@pytest.fixture(scope="module")
def keys() -> Iterator[str]:
    """The address of the issuer's keys."""
    public = {**json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(KEY.public_key())), "kid": "first", "use": "sig"}

    async def jwks(_: Request) -> JSONResponse:
        return JSONResponse({"keys": [public]})

    with served(Starlette(routes=[Route("/jwks", jwks)]), path="/jwks") as url:
        yield url


@asynccontextmanager
async def asking(sweep: Path, keys: str, presented: str) -> AsyncIterator[httpx2.AsyncClient]:
    options = HttpOptions(oauth_issuer=ISSUER, oauth_audience=AUDIENCE, oauth_jwks=keys, oauth_scopes=(SCOPE,))
    app = protected_app(Settings((str(sweep),)), options)
    headers = {**HEADERS, **({"Authorization": f"Bearer {presented}"} if presented else {})}
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://127.0.0.1", headers=headers) as http,
    ):
        yield http


@pytest.mark.parametrize("presented", REFUSED.values(), ids=REFUSED)
async def test_a_wrong_token_gets_401_and_the_address_of_the_resource_metadata(
    sweep: Path, keys: str, presented: str
) -> None:
    async with asking(sweep, keys, presented) as http:
        answer = await http.post("/mcp", json=LIST)
        told = answer.headers["www-authenticate"]
        assert answer.status_code == 401
        assert told.startswith("Bearer ")
        assert 'error="invalid_token"' in told
        where = "https://lab.example/.well-known/oauth-protected-resource/mcp"
        assert f'resource_metadata="{where}"' in told
        assert not presented or presented not in answer.text + told
        metadata = (await http.get("/.well-known/oauth-protected-resource/mcp")).json()
    assert metadata["resource"] == AUDIENCE
    assert [url.rstrip("/") for url in metadata["authorization_servers"]] == [ISSUER]
    assert metadata["scopes_supported"] == [SCOPE]


async def test_a_token_without_the_scope_gets_403_and_the_name_of_the_scope(sweep: Path, keys: str) -> None:
    async with asking(sweep, keys, token(scope="openid")) as http:
        answer = await http.post("/mcp", json=LIST)
    assert answer.status_code == 403
    assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]


async def test_a_right_token_is_answered(sweep: Path, keys: str) -> None:
    async with asking(sweep, keys, token()) as http:
        hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
        answer = await http.post("/mcp", json={**LIST, "method": "initialize", "params": hello})
    assert answer.status_code == 200
    assert '"sweeplens"' in answer.text


@pytest.mark.parametrize("kind", ["static", "OAuth"])
def test_no_token_right_or_wrong_ever_reaches_the_log(sweep: Path, tmp_path: Path, keys: str, kind: str) -> None:
    right = token() if kind == "OAuth" else "a-right-token-that-is-secret"
    (tmp_path / "tokens").write_text(f"alice {right}\n")
    oauth = ["--oauth-issuer", ISSUER, "--oauth-audience", AUDIENCE, "--oauth-jwks", keys, "--oauth-scope", SCOPE]
    options = oauth if kind == "OAuth" else ["--token-file", str(tmp_path / "tokens")]
    wrong = ["a-wrong-token-that-is-secret", *filter(None, REFUSED.values()), "\xff\xfe-secret", "x" * 20_000]
    with serving(sweep, tmp_path / "log", "--log-level", "debug", *options) as server:
        codes: list[int] = []
        for presented in (right, *wrong):
            headers = {**HEADERS, "Authorization": f"Bearer {presented}".encode("latin-1")}
            codes.append(httpx2.post(server.url, json={**LIST, "method": "ping"}, headers=headers).status_code)  # type: ignore[arg-type]
            httpx2.post(f"{server.url}?access_token={quoted(presented)}", json=LIST, headers=HEADERS)
        server.process.send_signal(signal.SIGTERM)
        server.process.wait(15)
        log = server.errors.read_text(encoding="utf-8")
    assert codes[0] != 401
    assert set(codes[1:]) <= {401, 431, 400}
    assert any(json.loads(line)["level"] == "debug" for line in log.splitlines())
    for presented in (right, *wrong):
        assert presented not in log
        assert presented.split(".")[-1][:40] == "" or presented.split(".")[-1][:40] not in log


def quoted(text: str) -> str:
    """A token as it might stand in an address, cut to what a server takes."""
    return httpx2.QueryParams({"t": text}).__str__()[2:2000]
