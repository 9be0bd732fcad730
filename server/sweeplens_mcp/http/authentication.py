"""Makes the SDK's settings for authentication and for Host and Origin headers from the options."""

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
    """A token verifier and the SDK's settings for it."""

    verifier: TokenVerifier
    settings: AuthSettings


def http_access(options: HttpOptions) -> HttpAccess | None:
    """The authentication of callers; None if the server needs none. Raises ConfigError."""
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
    """The accepted Host and Origin headers.

    On loopback: those of this machine, because any web page in its browser could send requests. Elsewhere every caller needs a
    token, which a foreign web page does not have, and the server cannot know its host names: any Host, unless some are given.
    """
    named = [host for name in options.allowed_hosts for host in _with_any_port(name)]
    local = [host for name in _local(options) for host in _with_any_port(name)]
    return TransportSecuritySettings(
        enable_dns_rebinding_protection=not any_host(options),
        allowed_hosts=[*local, *named],
        allowed_origins=origins_of(options),
    )


def any_host(options: HttpOptions) -> bool:
    """Whether any Host header is accepted."""
    return not is_loopback(options.host) and not options.allowed_hosts


def origins_of(options: HttpOptions) -> list[str]:
    """The accepted Origins: those of this machine, and those given as options."""
    local = [f"{scheme}://{host}:*" for host in _local(options) for scheme in ("http", "https")]
    return [*local, *options.allowed_origins]


def _local(options: HttpOptions) -> list[str]:
    """The loopback names, and the address that is bound."""
    bound = [] if is_loopback(options.host) else [_bracketed(options.host)]
    return ["127.0.0.1", "localhost", "[::1]", *bound]


def _with_any_port(host: str) -> list[str]:
    """A host as given; one without a port matches every port."""
    _, colon, port = host.rpartition(":")
    return [host] if colon and (port == "*" or port.isdecimal()) else [host, f"{host}:*"]


def _settings(issuer: str, resource: str | None, scopes: list[str]) -> AuthSettings:
    """Makes the SDK's settings. The verifier itself checks the audience of JWTs; static tokens have none."""
    return AuthSettings(
        issuer_url=AnyHttpUrl(issuer),
        resource_server_url=AnyHttpUrl(resource) if resource else None,
        required_scopes=scopes,
        validate_token_resource=False,
    )


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
