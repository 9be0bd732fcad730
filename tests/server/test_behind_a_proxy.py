"""The set-ups of docs/lab-server.md: behind a proxy, with TLS, with health checks and metrics."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from support.processes import Served, serving

TOKEN = "a-token-of-the-lab-0001"
HEADERS = {"Accept": "application/json, text/event-stream", "Authorization": f"Bearer {TOKEN}"}
PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}


@pytest.fixture
def tokens(tmp_path: Path) -> list[str]:
    (tmp_path / "tokens").write_text(f"alice {TOKEN}\n")
    return ["--token-file", str(tmp_path / "tokens")]


def _codes(server: Served, count: int, **headers: str) -> list[int]:
    """What requests get that say these headers."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return [httpx2.post(server.url, json=PING, headers={**HEADERS, **given}).status_code for _ in range(count)]


def test_behind_a_trusted_proxy_clients_are_identified_by_their_own_addresses(sweep: Path, tmp_path: Path) -> None:
    proxy = ["--trusted-proxy", "127.0.0.1", "--allowed-host", "lab.example", "--calls-per-minute", "3"]
    with serving(sweep, tmp_path / "log", *proxy) as server:
        anonymous = {"Host": "lab.example", "Authorization": ""}
        first = _codes(server, 5, X_Forwarded_For="10.0.0.1", **anonymous)
        other = _codes(server, 1, X_Forwarded_For="10.0.0.2", **anonymous)
    assert 429 not in first[:3] + other
    assert first[3:] == [429, 429]


def test_forwarded_addresses_from_other_hosts_are_ignored(sweep: Path, tmp_path: Path) -> None:
    with serving(sweep, tmp_path / "log", "--calls-per-minute", "3") as server:
        codes = [code for i in range(5) for code in _codes(server, 1, X_Forwarded_For=f"10.0.0.{i}", Authorization="")]
    assert codes[3:] == [429, 429]


def test_only_the_hosts_that_were_named_are_served(sweep: Path, tmp_path: Path, tokens: Sequence[str]) -> None:
    with serving(sweep, tmp_path / "log", *tokens, "--allowed-host", "lab.example") as server:
        assert 421 not in _codes(server, 1, Host="lab.example")
        assert _codes(server, 1, Host="evil.example") == [421]
        assert _codes(server, 1, Host="lab.example", Origin="https://evil.example") == [403]


def test_a_body_over_the_limit_is_refused(sweep: Path, tmp_path: Path, tokens: Sequence[str]) -> None:
    with serving(sweep, tmp_path / "log", *tokens) as server:
        headers = {**HEADERS, "Content-Type": "application/json"}
        assert httpx2.post(server.url, content=b" " * (4 << 20) + b" ", headers=headers).status_code == 413


def test_tls_is_served_with_a_certificate_of_ones_own(sweep: Path, tmp_path: Path, tokens: Sequence[str]) -> None:
    cert, key = _certificate(tmp_path)
    with serving(sweep, tmp_path / "log", *tokens, "--tls-cert", str(cert), "--tls-key", str(key)) as server:
        context = ssl.create_default_context(cafile=str(cert))
        answer = httpx2.get(f"https://127.0.0.1:{server.port}/healthz", verify=context)
        lines = server.logged()
    assert answer.json() == {"status": "ok"}
    assert f"https://127.0.0.1:{server.port}/mcp" in lines[0]["message"]


def test_figures_for_prometheus_stand_on_a_port_of_their_own_and_hold_no_name_of_a_client(
    sweep: Path, tmp_path: Path, tokens: Sequence[str]
) -> None:
    with serving(sweep, tmp_path / "free") as elsewhere:
        port = elsewhere.port  # free again as soon as that server has ended
    with serving(sweep, tmp_path / "log", *tokens, "--metrics-port", str(port)) as server:
        hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "spy", "version": "1"}}
        asked = {**PING, "method": "initialize", "params": hello}
        assert httpx2.post(server.url, json=asked, headers=HEADERS).status_code == 200
        figures = httpx2.get(f"http://127.0.0.1:{port}/metrics").text
        assert httpx2.get(f"http://127.0.0.1:{server.port}/metrics", headers=HEADERS).status_code == 404
    assert 'sweeplens_messages_total{method="initialize",outcome="ok",tool=""} 1.0' in figures
    assert not [word for word in ("spy", "alice", TOKEN, str(sweep)) if word in figures]


def test_readiness_says_when_a_folder_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    with serving(tmp_path / "runs", tmp_path / "log") as server:
        address = f"http://127.0.0.1:{server.port}"
        assert httpx2.get(f"{address}/readyz").status_code == 200
        (tmp_path / "runs").rmdir()
        answer = httpx2.get(f"{address}/readyz")
        assert httpx2.get(f"{address}/healthz").status_code == 200
    assert answer.status_code == 503
    assert "runs" not in answer.text


def test_an_address_other_than_loopback_needs_tokens(sweep: Path) -> None:
    command = [sys.executable, "-m", "sweeplens_mcp", "serve", "--http", "--host", "0.0.0.0", "--root", str(sweep)]
    environment = {k: v for k, v in os.environ.items() if k != "SWEEPLENS_TOKENS"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
    assert done.returncode == 2
    assert "--token-file" in done.stderr


def _certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "lab.example")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    kept = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "key.pem").write_bytes(kept)
    return folder / "cert.pem", folder / "key.pem"
