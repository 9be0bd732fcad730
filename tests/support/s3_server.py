"""An S3 server on loopback as a process of its own: moto's, made strict, with a log of requests.

``python s3_server.py PORT BUCKET LOG``. moto honours If-Match and If-None-Match but looks first and puts then; here one
request at a time is served, as if each were atomic, which S3 promises. Who comes without KEY is refused, and READER may only
read. Each request is a line of LOG: method, path and query, bytes that were sent.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

KEY = "sweeplens"
READER = "reader"

Start = Callable[..., Any]


def main(port: int, bucket: str, log: Path) -> None:
    """Serve until killed."""
    from moto.s3.models import s3_backends
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Handler(WSGIRequestHandler):
        protocol_version = "HTTP/1.1"

        def log(self, *_: object) -> None:
            """The log is ours."""

    s3_backends["123456789012"]["aws"].create_bucket(bucket, "us-east-1")
    app = Strict(DomainDispatcherApplication(create_backend_app), log)
    server = make_server("127.0.0.1", port, app, threaded=True, request_handler=Handler)
    print(server.server_port, flush=True)
    server.serve_forever()


class Strict:
    """A WSGI application that answers requests one after the other, only with the right key, and records each."""

    def __init__(self, app: Callable[[dict[str, Any], Start], Iterable[bytes]], log: Path) -> None:
        self._app = app
        self._lock = threading.Lock()
        self._log = log

    def __call__(self, environ: dict[str, Any], start: Start) -> list[bytes]:
        with self._lock:
            if not _may(environ):
                return _refused(environ, start)
            body = list(self._app(environ, start))
            with self._log.open("a") as log:
                query = environ["QUERY_STRING"]
                log.write(f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}?{query} {sum(map(len, body))}\n")
            return body


def _may(environ: dict[str, Any]) -> bool:
    said = environ.get("HTTP_AUTHORIZATION", "")
    return f"Credential={KEY}/" in said or (
        f"Credential={READER}/" in said and environ["REQUEST_METHOD"] in ("GET", "HEAD")
    )


def _refused(environ: dict[str, Any], start: Start) -> list[bytes]:
    environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    body = b"<Error><Code>AccessDenied</Code><Message>Not you.</Message></Error>"
    start("403 Forbidden", [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
    return [body]


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
