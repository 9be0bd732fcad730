"""The setting ``engine``: empty or ``polars`` for this machine, or a cluster's address as Spark Connect spells it.

sc://host                                   port 15002
sc://host:443/;use_ssl=true;token=abc       with TLS and a token; a token is never shown

parse_address(setting)    the parts of an address; ValueError says what is wrong with it
is_cluster(setting)       whether it names a cluster
shown_address(setting)    the address without its parameters, for messages
"""

from __future__ import annotations

import re

from msgspec import Struct

__all__ = ["LOCAL_ENGINES", "ClusterAddress", "is_cluster", "parse_address", "shown_address"]

LOCAL_ENGINES = ("", "polars")
PORT = 15002
_SCHEME = "sc://"
_FORM = "sc://host:15002, or sc://host:443/;use_ssl=true;token=... as Spark Connect spells it"
_HOST = re.compile(r"(?P<host>\[[0-9A-Fa-f:.%]+\]|[^\s:/;\[\]@?#]+)(?::(?P<port>[^/;]*))?(?P<rest>.*)", re.DOTALL)


class ClusterAddress(Struct, frozen=True):
    """A Spark Connect server. ``url`` is the whole address and may hold a token: it is never shown."""

    host: str
    port: int
    url: str

    @property
    def shown(self) -> str:
        """The address without its parameters."""
        return f"{_SCHEME}{self.host}:{self.port}"


def is_cluster(setting: str) -> bool:
    """Whether the setting names a cluster."""
    return setting not in LOCAL_ENGINES


def shown_address(setting: object) -> str:
    """Returns the setting without what may be secret: the parameters after the host, and names before an @."""
    scheme, separator, rest = str(setting).partition("://")
    host = re.split(r"[/;?#]", rest, maxsplit=1)[0].rpartition("@")[2]
    return f"{scheme}{separator}{host}" if separator else scheme.partition(";")[0]


def parse_address(setting: str) -> ClusterAddress:
    """Returns the parts of a cluster's address. Raises ValueError: what is wrong, and the form of an address."""
    if not setting.startswith(_SCHEME):
        scheme = setting.partition("://")[0] if "://" in setting else ""
        why = f"the scheme {scheme!r} is not known" if scheme else "it is neither 'polars' nor an address"
        raise ValueError(f"{why}: an engine is 'polars' (this machine, the default) or {_FORM}")
    found = _HOST.fullmatch(setting[len(_SCHEME) :])
    if found is None:
        raise ValueError(f"no host was found after sc://: {_FORM}")
    _check_parameters(found["rest"])
    return ClusterAddress(found["host"].strip("[]"), _port(found["port"]), setting)


def _port(digits: str | None) -> int:
    if digits is None:
        return PORT
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= 5 and 0 < int(digits) < 65536):
        raise ValueError(f"the port {digits[:20]!r} is not a number from 1 to 65535: {_FORM}")
    return int(digits)


def _check_parameters(rest: str) -> None:
    """Raises ValueError unless the rest is empty or ``/;name=value;name=value``. Values are not repeated: one is a token."""
    if rest in ("", "/"):
        return
    parts = [p for p in rest.removeprefix("/;").split(";") if p]
    if not rest.startswith("/;") or not all(re.fullmatch(r"[A-Za-z0-9_.-]+=.+", p, re.DOTALL) for p in parts):
        raise ValueError(f"what follows the port is not of the form /;name=value;name=value: {_FORM}")
