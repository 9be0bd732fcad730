"""`HttpOptions`: the options for serving over HTTP. Wrong ones raise ConfigError before a port is opened.

On loopback, a correct Host and Origin header are enough. On any other address clients must authenticate: without tokens or an
OAuth issuer the server does not start.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self, cast

from msgspec import Struct

from sweeplens.errors import ConfigError
from sweeplens_mcp.http.tokens import TOKENS_VARIABLE
from sweeplens_mcp.settings import DEFAULT_HOST, DEFAULT_PORT

__all__ = ["HttpOptions", "is_loopback"]

_HIGHEST_PORT = 65535


class HttpOptions(Struct, frozen=True):
    """``allowed_hosts``: host names that clients use for this server (or for the proxy before it), with a port or ``:*``."""

    host: str = DEFAULT_HOST
    port: int = DEFAULT_PORT
    token_file: str = ""
    oauth_issuer: str = ""
    oauth_audience: str = ""
    oauth_jwks: str = ""
    oauth_scopes: tuple[str, ...] = ()
    oauth_roots_claim: str = ""
    tls_cert: str = ""
    tls_key: str = ""
    trusted_proxies: tuple[str, ...] = ()
    allowed_hosts: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    calls_per_minute: int = 1200
    sessions_per_grant: int = 1000
    metrics_port: int = 0
    stateless: bool = False

    def __post_init__(self) -> None:
        _check_ports(self)
        _check_oauth(self)
        _check_tls(self)
        if self.sessions_per_grant < 1:
            raise ConfigError(f"--sessions-per-grant {self.sessions_per_grant}: a client needs at least 1.")
        if not is_loopback(self.host) and not self.authenticated:
            raise ConfigError(
                f"Serving on {self.host} without authentication would open the experiments to everyone: pass --token-file, "
                f"{TOKENS_VARIABLE} or --oauth-issuer, or use 127.0.0.1."
            )

    @classmethod
    def typed(cls, given: Mapping[str, Any]) -> Self:
        """Takes the options from the parsed command line; lists become tuples."""
        named = {name: given[name] for name in cls.__struct_fields__}
        frozen: dict[str, Any] = {
            k: tuple(cast("list[str]", v)) if isinstance(v, list) else v for k, v in named.items()
        }
        return cls(**frozen)

    @property
    def authenticated(self) -> bool:
        """Whether clients must authenticate."""
        return bool(self.oauth_issuer or self.token_file or os.environ.get(TOKENS_VARIABLE, "").strip())

    @property
    def url(self) -> str:
        """The URL of the server."""
        scheme = "https" if self.tls_cert else "http"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{host}:{self.port}"


def _check_ports(options: HttpOptions) -> None:
    if not 1 <= options.port <= _HIGHEST_PORT:
        raise ConfigError(f"--port {options.port}: a port is a number from 1 to {_HIGHEST_PORT}.")
    if not 0 <= options.metrics_port <= _HIGHEST_PORT:
        raise ConfigError(
            f"--metrics-port {options.metrics_port}: a port is a number from 1 to {_HIGHEST_PORT}; 0: none."
        )


def is_loopback(host: str) -> bool:
    """Whether an address can be reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check_oauth(options: HttpOptions) -> None:
    given = {
        "--oauth-issuer": options.oauth_issuer,
        "--oauth-audience": options.oauth_audience,
        "--oauth-jwks": options.oauth_jwks,
    }
    missing = [name for name, value in given.items() if not value]
    if any(given.values()) and missing:
        raise ConfigError(f"OAuth needs {', '.join(given)}: {', '.join(missing)} is missing.")
    if options.oauth_issuer and options.token_file:
        raise ConfigError("Pass --token-file or --oauth-issuer, not both.")


def _check_tls(options: HttpOptions) -> None:
    if bool(options.tls_cert) != bool(options.tls_key):
        raise ConfigError("TLS needs both --tls-cert and --tls-key.")
    for file in (options.tls_cert, options.tls_key):
        if file and not Path(file).is_file():
            raise ConfigError(f"TLS file {file!r} does not exist.")
