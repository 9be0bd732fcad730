"""Who may ask: a token is let in when it is ours, whole, in time and meant for us; everything else is refused."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from sweeplens.errors import ConfigError
from sweeplens_mcp.http.oauth import OAuthSettings, OAuthTokens
from sweeplens_mcp.http.tokens import TOKENS_VARIABLE, load_tokens

pytestmark = pytest.mark.anyio
ISSUER, AUDIENCE = "https://login.example", "https://lab.example/mcp"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Issuer:
    """An authorization server reduced to its keys."""

    def __init__(self) -> None:
        self.fetches = 0
        self.keys = {"first": rsa.generate_private_key(public_exponent=65537, key_size=2048)}

    async def fetch(self, url: str) -> Mapping[str, Any]:
        self.fetches += 1
        assert url == f"{ISSUER}/jwks"
        public = [(kid, jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key())) for kid, key in self.keys.items()]
        return {"keys": [{**json.loads(text), "kid": kid, "use": "sig"} for kid, text in public]}

    def token(self, kid: str = "first", **claims: object) -> str:
        now = int(time.time())
        whole = {"iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "exp": now + 300, "scope": "sweeplens:read", **claims}
        return jwt.encode({k: v for k, v in whole.items() if v is not None}, self.keys[kid], "RS256", {"kid": kid})


@pytest.fixture
def issuer() -> Issuer:
    return Issuer()


def verifier(issuer: Issuer, **more: str) -> OAuthTokens:
    return OAuthTokens(OAuthSettings(ISSUER, AUDIENCE, f"{ISSUER}/jwks", **more), issuer.fetch)


async def test_a_right_token_is_let_in_under_its_subject(issuer: Issuer) -> None:
    access = await verifier(issuer).verify_token(issuer.token())
    assert access is not None
    assert (access.client_id, access.scopes, access.resource) == ("alice", ["sweeplens:read"], AUDIENCE)


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": 1},
        {"exp": None},
        {"nbf": 4_000_000_000},
        {"aud": "https://other.example/mcp"},
        {"aud": None},
        {"iss": "https://evil.example"},
        {"iss": None},
    ],
)
async def test_expired_early_or_misdirected_tokens_are_refused(issuer: Issuer, claims: dict[str, object]) -> None:
    assert await verifier(issuer).verify_token(issuer.token(**claims)) is None


async def test_unsigned_tampered_and_senseless_tokens_are_refused(issuer: Issuer) -> None:
    tokens = verifier(issuer)
    whole = issuer.token()
    head, body, signature = whole.split(".")
    claims = {"iss": ISSUER, "aud": AUDIENCE, "exp": int(time.time()) + 300}
    unsigned = jwt.encode(claims, None, "none", {"kid": "first"})
    shared = jwt.encode(claims, "x" * 40, "HS256", {"kid": "first"})
    for bad in (unsigned, shared, f"{head}.{body}x.{signature}", f"{head}.{body}.", "", "nonsense", "a.b.c"):
        assert await tokens.verify_token(bad) is None


async def test_keys_are_cached_and_a_new_key_is_fetched_but_not_at_every_forged_id(issuer: Issuer) -> None:
    now = [0.0]
    tokens = OAuthTokens(OAuthSettings(ISSUER, AUDIENCE, f"{ISSUER}/jwks"), issuer.fetch, lambda: now[0])
    for _ in range(5):
        assert await tokens.verify_token(issuer.token())
    assert issuer.fetches == 1
    issuer.keys["second"] = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    for _ in range(5):
        assert await tokens.verify_token(issuer.token("second")) is None  # fetched a moment ago: not yet again
    assert issuer.fetches == 1
    now[0] += 11
    assert await tokens.verify_token(issuer.token("second")) is not None
    assert issuer.fetches == 2


async def test_a_token_that_must_name_its_roots_and_does_not_is_refused(issuer: Issuer) -> None:
    tokens = verifier(issuer, roots_claim="roots")
    assert await tokens.verify_token(issuer.token()) is None
    access = await tokens.verify_token(issuer.token(roots=["/experiments/public"]))
    assert access is not None
    assert access.claims == {"sweeplens_roots": ["/experiments/public"]}


@pytest.mark.parametrize("roots", [[], [""], ["."], ["/a", "b"], [None], [1], "/a", {"/a": 1}, None])
async def test_a_token_whose_roots_are_not_folders_is_refused(issuer: Issuer, roots: object) -> None:
    assert await verifier(issuer, roots_claim="roots").verify_token(issuer.token(roots=roots)) is None


@pytest.mark.parametrize(
    ("claims", "scopes"),
    [
        ({"scope": "a b"}, ["a", "b"]),
        ({"scope": None, "scp": "a b"}, ["a", "b"]),
        ({"scope": None, "scp": ["a", 1, None, "b"]}, ["a", "b"]),
        ({"scope": None, "scp": 5}, []),
        ({"scope": 5, "scp": None}, []),
        ({"scope": {"a": 1}, "scp": True}, []),
        ({"scope": ["a"]}, ["a"]),
        ({"scope": "", "scp": "a"}, ["a"]),
    ],
)
async def test_scopes_are_texts_and_lists_of_texts_and_nothing_else(
    issuer: Issuer, claims: dict[str, object], scopes: list[str]
) -> None:
    access = await verifier(issuer).verify_token(issuer.token(**claims))
    assert access is not None
    assert access.scopes == scopes


@pytest.mark.parametrize("exp", [1e300, float("inf"), -1, "soon", [1], {}, True, 10**400])
async def test_an_odd_expiry_is_no_error(issuer: Issuer, exp: object) -> None:
    access = await verifier(issuer).verify_token(issuer.token(exp=exp))
    assert access is None or access.expires_at


@pytest.mark.parametrize("claim", ["sub", "client_id", "azp", "nbf", "iat", "jti", "aud"])
@pytest.mark.parametrize("value", [5, [], {}, [1], "\x00", True, 1e300])
async def test_a_claim_of_another_kind_is_no_error(issuer: Issuer, claim: str, value: object) -> None:
    access = await verifier(issuer).verify_token(issuer.token(**{claim: value}))
    assert access is None or access.client_id


def _encoded(value: object) -> str:
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


async def test_forged_headers_are_refused(issuer: Issuer) -> None:
    tokens = verifier(issuer)
    head, body, signature = issuer.token().split(".")
    for forged in (
        {"alg": "none"},
        {"alg": "None"},
        {"alg": ["RS256"]},
        {"alg": {"RS256": 1}, "kid": "first"},
        {"alg": "ES256", "kid": "first"},
        {"alg": "HS256", "kid": "first"},
        {"alg": "RS256", "kid": "first", "crit": ["exp"]},
        {"alg": "RS256", "kid": ["first"]},
        {"alg": "RS256", "kid": "../../first"},
        {"alg": "RS256", "kid": "second", "jwk": {"kty": "RSA"}},
        {"alg": "RS256", "kid": "x" * 100_000},
        {},
        [],
        b"\xff\xfe",
        b"[" * 100_000,
    ):
        assert await tokens.verify_token(f"{_encoded(forged)}.{body}.{signature}") is None
    for forged in (b"[" * 100_000, b"\xff", [], 5, "x"):
        assert await tokens.verify_token(f"{head}.{_encoded(forged)}.{signature}") is None
    for bad in (f"{head}.{body}", f"{head}.{body}.{signature}.", f".{body}.{signature}", "." * 1000, "\ud800.a.b"):
        assert await tokens.verify_token(bad) is None
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    own = {"kid": "first", "jku": "https://evil.example", "x5u": "https://evil.example"}
    claims = {"iss": ISSUER, "aud": AUDIENCE, "exp": int(time.time()) + 300}
    assert await tokens.verify_token(jwt.encode(claims, stranger, "RS256", own)) is None


async def test_keys_of_an_unknown_kind_do_not_keep_the_others_out(
    issuer: Issuer, caplog: pytest.LogCaptureFixture
) -> None:
    odd = [{"kty": "AKP", "kid": "pq"}, {"kty": "RSA", "kid": "torn", "n": "!", "e": "AQAB"}, {"kid": "none"}, 5, None]

    async def fetch(url: str) -> Mapping[str, Any]:
        return {"keys": [*odd, *(await issuer.fetch(url))["keys"]]}

    tokens = OAuthTokens(OAuthSettings(ISSUER, AUDIENCE, f"{ISSUER}/jwks"), fetch)
    assert await tokens.verify_token(issuer.token()) is not None
    assert len([r for r in caplog.records if "is skipped" in r.message]) == len(odd)


@pytest.mark.parametrize(
    "answer", [[], {}, {"keys": 5}, {"keys": {"a": 1}}, {"keys": [5]}, None, "x", {"keys": [{"kty": "oct", "k": "a"}]}]
)
async def test_a_malformed_key_set_refuses_tokens_with_a_line_in_the_log(
    issuer: Issuer, caplog: pytest.LogCaptureFixture, answer: object
) -> None:
    async def fetch(url: str) -> Mapping[str, Any]:
        return answer  # type: ignore[return-value]

    tokens = OAuthTokens(OAuthSettings(ISSUER, AUDIENCE, f"{ISSUER}/jwks"), fetch)
    assert await tokens.verify_token(issuer.token()) is None
    assert any("cannot be used" in record.message for record in caplog.records)


async def test_a_key_set_that_became_malformed_leaves_the_keys_from_before_good(issuer: Issuer) -> None:
    now, broken = [0.0], list[bool]()

    async def fetch(url: str) -> Mapping[str, Any]:
        return {"keys": "gone"} if broken else await issuer.fetch(url)

    tokens = OAuthTokens(OAuthSettings(ISSUER, AUDIENCE, f"{ISSUER}/jwks"), fetch, lambda: now[0])
    assert await tokens.verify_token(issuer.token()) is not None
    broken.append(True)
    now[0] += 1000
    for _ in range(3):
        assert await tokens.verify_token(issuer.token()) is not None
        await anyio.sleep(0)


async def test_an_issuer_that_does_not_answer_holds_up_no_token_whose_key_is_known(issuer: Issuer) -> None:
    now, hanging = [0.0], list[bool]()

    async def fetch(url: str) -> Mapping[str, Any]:
        if hanging:
            await anyio.sleep(60)
        return await issuer.fetch(url)

    tokens = OAuthTokens(OAuthSettings(ISSUER, AUDIENCE, f"{ISSUER}/jwks"), fetch, lambda: now[0])
    good = issuer.token()
    assert await tokens.verify_token(good) is not None
    hanging.append(True)
    issuer.keys["second"] = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    for later in (11, 1000):
        now[0] += later
        async with anyio.create_task_group() as group:
            group.start_soon(tokens.verify_token, issuer.token("second"))  # its key must be asked for
            await anyio.sleep(0.05)
            with anyio.fail_after(1):
                for _ in range(5):
                    assert await tokens.verify_token(good) is not None
            group.cancel_scope.cancel()


async def test_static_tokens_know_their_names_and_roots(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text(f"# the lab\nalice  alices-secret-0001\nci bots-secret-000002 '{tmp_path}'\n", encoding="utf-8")
    tokens = load_tokens(str(file))
    assert tokens is not None
    access = await tokens.verify_token("bots-secret-000002")
    assert access is not None
    assert (access.client_id, access.claims) == ("ci", {"sweeplens_roots": [str(tmp_path.resolve())]})
    assert "bots-secret" not in access.token
    for bad in ("", "alices-secret-000", "alices-secret-0001 ", "\ud800"):
        assert await tokens.verify_token(bad) is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("alice\n", "a name, a token"),
        ("alice short\n", "fewer than 16"),
        ("", "has no token"),
        ("a same-secret-000001\nb same-secret-000001", "two names"),
    ],
)
def test_a_token_file_that_cannot_be_used_says_why_and_shows_no_token(tmp_path: Path, text: str, reason: str) -> None:
    file = tmp_path / "tokens"
    file.write_text(text)
    with pytest.raises(ConfigError, match=reason) as caught:
        load_tokens(str(file))
    assert "secret" not in str(caught.value)


def test_tokens_come_from_the_environment_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TOKENS_VARIABLE, raising=False)
    assert load_tokens() is None
    monkeypatch.setenv(TOKENS_VARIABLE, "alice alices-secret-0001")
    assert load_tokens() is not None
