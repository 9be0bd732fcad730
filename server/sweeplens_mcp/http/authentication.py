"""Options -> what the SDK needs to let nobody in who has not said who they are."""

from __future__ import annotations

from mcp.server.auth.provider import TokenVerifier
from mcp.server.auth.settings import AuthSettings
from mcp.server.transport_security import TransportSecuritySettings
from msgspec import Struct
from pydantic import AnyHttpUrl

from sweeplens_mcp.grants import SCOPE
from sweeplens_mcp.http.oauth import OAuthSettings, OAuthTokens
from sweeplens_mcp.http.options import HttpOptions, is_loopback
from sweeplens_mcp.http.tokens import load_tokens

__all__ = ["HttpAccess", "hosts_of", "http_access"]


class HttpAccess(Struct, frozen=True):
    """A verifier of tokens and the SDK's settings for it."""

    verifier: TokenVerifier
    settings: AuthSettings


def http_access(options: HttpOptions) -> HttpAccess | None:
    """How callers are told apart; None where they need not be. Raises ConfigError."""
    if options.oauth_issuer:
        scopes = list(options.oauth_scopes)
        known = OAuthSettings(
            options.oauth_issuer,
            options.oauth_audience,
            options.oauth_jwks,
            options.oauth_scopes,
            options.oauth_roots_claim,
        )
        return HttpAccess(OAuthTokens(known), _settings(options.oauth_issuer, options.oauth_audience, scopes))
    tokens = load_tokens(options.token_file)
    return HttpAccess(tokens, _settings(options.url, None, [SCOPE])) if tokens else None


def hosts_of(options: HttpOptions) -> TransportSecuritySettings:
    """The Host and Origin headers that are let in: loopback's on loopback, and those that were named."""
    local = ["127.0.0.1", "localhost", "[::1]"] if is_loopback(options.host) else [_bracketed(options.host)]
    return TransportSecuritySettings(
        allowed_hosts=[*(f"{h}:*" for h in local), *local, *options.allowed_hosts],
        allowed_origins=[
            *(f"{scheme}://{h}:*" for h in local for scheme in ("http", "https")),
            *options.allowed_origins,
        ],
    )


def _settings(issuer: str, resource: str | None, scopes: list[str]) -> AuthSettings:
    """The verifier checks the audience of JWTs itself; static tokens have none."""
    return AuthSettings(
        issuer_url=AnyHttpUrl(issuer),
        resource_server_url=AnyHttpUrl(resource) if resource else None,
        required_scopes=scopes,
        validate_token_resource=False,
    )


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
