"""A bucket for tests: a server that can be stopped and restarted, its environment variables, and the requests it got."""

from __future__ import annotations

import signal
import subprocess
import sys
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import quote

from support.s3_server import KEY, READER

__all__ = ["Server"]

_SCRIPT = Path(__file__).with_name("s3_server.py")


class Server:
    """An S3 server with one empty bucket. ``port`` stays the same after restarts."""

    bucket = "lab"

    def __init__(self, home: Path) -> None:
        self._log = home / "requests.log"
        self._process: subprocess.Popen[str] | None = None
        self.port = 0

    def begin(self) -> None:
        """A server with nothing in it."""
        command = [sys.executable, "-W", "ignore", str(_SCRIPT), str(self.port), self.bucket, str(self._log)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self._process.stdout
        self.port = int(self._process.stdout.readline())

    def end(self) -> None:
        """Nobody listens, and nothing is kept."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()

    def hang(self) -> None:
        """It takes connections, and answers nothing."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """It answers again, with all that it had."""
        assert self._process
        self._process.send_signal(signal.SIGCONT)

    @property
    def environment(self) -> dict[str, str]:
        """The variables that everything which speaks S3 knows."""
        return self.environment_of(KEY)

    @property
    def reading_environment(self) -> dict[str, str]:
        """Returns the variables of a user who may only read."""
        return self.environment_of(READER)

    def environment_of(self, key: str) -> dict[str, str]:
        """Returns the variables of a user with this key."""
        return {
            "AWS_ACCESS_KEY_ID": key,
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_ALLOW_HTTP": "true",
        }

    def put_key(self, key: str, data: bytes) -> None:
        """Puts an object under any key, also under one that clients refuse, such as `a//b`."""
        connection = HTTPConnection("127.0.0.1", self.port)
        authorization = (
            f"AWS4-HMAC-SHA256 Credential={KEY}/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"
        )
        connection.request("PUT", f"/{self.bucket}/{quote(key)}", data, {"Authorization": authorization})
        assert connection.getresponse().status == 200
        connection.close()

    def asked(self) -> list[tuple[str, str, int]]:
        """Returns the requests since the last call: method, path, bytes of the answer."""
        lines = self._log.read_text().splitlines() if self._log.exists() else []
        self._log.write_text("")
        return [(line.partition(" ")[0], *_path_and_size(line.partition(" ")[2])) for line in lines]


def _path_and_size(rest: str) -> tuple[str, int]:
    path, _, size = rest.rpartition(" ")  # a path may contain blanks
    return path, int(size)
