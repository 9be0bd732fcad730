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

__all__ = ["HttpAccess", "any_host", "hosts_of", "http_access", "origins_of"]


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
    """The Host and Origin headers that are let in.

    On loopback: those of this machine, as any page in its browser could ask. Elsewhere every caller shows a token, which no
    foreign page has, and the names under which an address is reached are known to nobody here: any Host, unless some are named.
    """
    named = [host for name in options.allowed_hosts for host in _with_any_port(name)]
    local = [host for name in _local(options) for host in _with_any_port(name)]
    return TransportSecuritySettings(
        enable_dns_rebinding_protection=not any_host(options),
        allowed_hosts=[*local, *named],
        allowed_origins=origins_of(options),
    )


def any_host(options: HttpOptions) -> bool:
    """Whether clients may reach this server under any name."""
    return not is_loopback(options.host) and not options.allowed_hosts


def origins_of(options: HttpOptions) -> list[str]:
    """The web pages that may ask: those of this machine, and those that were named."""
    local = [f"{scheme}://{host}:*" for host in _local(options) for scheme in ("http", "https")]
    return [*local, *options.allowed_origins]


def _local(options: HttpOptions) -> list[str]:
    """The names of this machine for itself, and the address that is bound."""
    bound = [] if is_loopback(options.host) else [_bracketed(options.host)]
    return ["127.0.0.1", "localhost", "[::1]", *bound]


def _with_any_port(host: str) -> list[str]:
    """A host as it was named; one without a port stands for every port."""
    _, colon, port = host.rpartition(":")
    return [host] if colon and (port == "*" or port.isdecimal()) else [host, f"{host}:*"]


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
