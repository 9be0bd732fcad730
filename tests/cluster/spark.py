"""A standalone Spark cluster on this machine: a master, two workers, a Spark Connect server, each a process of its own.

Spark comes from PyPI into an environment of its own, because its package is named as the thin client's. Java comes from Debian
where this user may install it. Executors have the packages of this environment but not sweeplens: the client must send it.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sweeplens.engines.address import parse_address
from sweeplens.engines.spark_session import ClusterUnreachableError, SparkConnection

__all__ = ["JAVA", "LOCAL_CLUSTER", "VERSION", "SparkCluster", "missing", "spark_cluster"]

VERSION = "4.2.0"
_QUICK = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"  # of a JVM: short programs are not worth the best code
_HOME = Path("build/spark-venv")
JAVA = "openjdk-17-jre-headless"
LOCAL_CLUSTER = "local-cluster[2,1,1024]"
_DEPLOY = "org.apache.spark.deploy"
_FIRST = "SELECT id % 2 AS part, count(*) AS n FROM range(0, 1000, 1, 4) GROUP BY 1"
_START_SECONDS = 600  # of a machine that does much else


def missing(*, install: bool = True) -> str:
    """Why no cluster can be started here; empty if one can. ``install``: gets Spark from PyPI when it is not there yet."""
    if why := _no_java(install=install):
        return why
    if _spark_home() is not None:
        return ""
    if not install:
        return "Spark is not installed yet, `make cluster` does"
    print(f"Installing pyspark {VERSION} into {_HOME} ...", flush=True)
    made = subprocess.run([sys.executable, "-m", "venv", _HOME], capture_output=True, text=True, check=False)
    command = [_HOME / "bin" / "python", "-m", "pip", "install", "--quiet", f"pyspark[connect]=={VERSION}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False) if not made.returncode else made
    return "" if _spark_home() is not None else f"pyspark could not be installed: {done.stderr.strip()[-300:]}"


def _no_java(*, install: bool) -> str:
    """Why there is no Java; empty if there is. Debian's package is installed where this user may."""
    if shutil.which("java") is not None:
        return ""
    may = install and shutil.which("apt-get") is not None and hasattr(os, "geteuid") and os.geteuid() == 0
    if not may:
        return f"there is no Java (Debian: apt-get install {JAVA})"
    print(f"Installing {JAVA} ...", flush=True)
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (
        ["apt-get", "update", "-qq"],
        ["apt-get", "install", "-y", "-qq", "--no-install-recommends", JAVA],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=quiet)
    if shutil.which("java") is not None:
        return ""
    said = done.stderr.strip().splitlines()
    return f"there is no Java, and {JAVA} could not be installed: {said[-1] if said else 'apt-get says nothing'}"


def _spark_home() -> Path | None:
    found = sorted(Path(os.environ.get("SPARK_VENV", _HOME)).glob("lib/python3*/site-packages/pyspark/bin/spark-class"))
    return found[0].parents[1] if found else None


class SparkCluster:
    """The processes of a cluster. ``address``: for the setting ``engine``."""

    def __init__(self, home: Path, logs: Path) -> None:
        self._home, self._logs = home, logs
        self._started: dict[str, subprocess.Popen[bytes]] = {}
        self._url = ""
        self._python = _python_without_sweeplens(logs)
        self.port = _free_port()

    @property
    def address(self) -> str:
        """The address of the Connect server."""
        return f"sc://127.0.0.1:{self.port}"

    def start(self, master: str = "") -> None:
        """Starts everything and waits until the Connect server accepts connections.

        ``master``: one that starts its executors itself; by default a standalone master and two workers.
        """
        self._connect(master or self._standalone())
        _await(self.port)

    def _standalone(self) -> str:
        """Starts a master and two workers; returns the master's address."""
        master, ui = _free_port(), _free_port()
        self._url = f"spark://127.0.0.1:{master}"
        self._spawn(
            "master", f"{_DEPLOY}.master.Master", "--host", "127.0.0.1", "--port", str(master), "--webui-port", str(ui)
        )
        _await(master)
        for name in ("worker-1", "worker-2"):
            self.start_worker(name)
        return self._url

    def start_worker(self, name: str) -> None:
        """Starts a worker with one core."""
        options = f"--cores 1 --memory 1g --webui-port 0 --host 127.0.0.1 --work-dir {self._logs / name}".split()
        self._spawn(name, f"{_DEPLOY}.worker.Worker", *options, self._url)

    def _connect(self, master: str) -> None:
        self._spawn(
            "connect", f"{_DEPLOY}.SparkSubmit", "--master", master, "--conf", f"spark.connect.grpc.binding.port={self.port}",
            "--conf", "spark.driver.host=127.0.0.1", "--conf", "spark.driver.bindAddress=127.0.0.1",
            "--conf", "spark.executor.memory=768m", "--conf", "spark.executor.cores=1", "--conf", "spark.ui.enabled=false",
            "--driver-java-options",
            _QUICK,
            "--conf",
            f"spark.executor.extraJavaOptions={_QUICK}",
            "--conf", f"spark.pyspark.python={self._python}", "--conf", "spark.connect.progress.reportInterval=200ms",
            "--conf", "spark.sql.shuffle.partitions=4", "--conf", "spark.sql.warehouse.dir=" + str(self._logs / "warehouse"),
            "--class", "org.apache.spark.sql.connect.service.SparkConnectServer", "spark-internal",
        )  # fmt: skip

    def executors(self) -> list[int]:
        """Process ids of the executors that run now."""
        workers = {p.pid for name, p in self._started.items() if name.startswith("worker")}
        return [pid for pid, parent in _parents() if parent in workers]

    def kill_executor(self) -> int:
        """Kills one executor at once; returns its process id."""
        pid = self.executors()[0]
        os.kill(pid, signal.SIGKILL)
        return pid

    def kill_worker(self, name: str) -> None:
        """Kills a worker and the executors that it started."""
        process = self._started.pop(name)
        mine = [pid for pid, parent in _parents() if parent == process.pid]
        process.kill()
        process.wait()
        for pid in mine:
            with suppress(ProcessLookupError):  # it noticed that its worker is gone
                os.kill(pid, signal.SIGKILL)

    def hang(self) -> None:
        """The Connect server accepts connections and answers nothing."""
        self._started["connect"].send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """The Connect server answers again."""
        self._started["connect"].send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """Ends what was started."""
        left = self.executors()
        for process in reversed(self._started.values()):
            process.send_signal(signal.SIGCONT)
            process.terminate()
        for process in self._started.values():
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
        for pid in {pid for pid, _ in _parents()} & set(left):
            os.kill(pid, signal.SIGKILL)

    def _spawn(self, name: str, *arguments: str) -> None:
        environment = {
            **os.environ,
            "SPARK_HOME": str(self._home),
            "SPARK_LOCAL_IP": "127.0.0.1",
            "SPARK_NO_DAEMONIZE": "1",
        }
        environment["PYSPARK_PYTHON"] = str(self._python)
        environment["SPARK_LOCAL_DIRS"] = str(self._logs / "local")
        environment["SPARK_DAEMON_JAVA_OPTS"] = _QUICK
        with (self._logs / f"{name}.log").open("wb") as log:
            command = [str(self._home / "bin" / "spark-class"), *arguments]
            self._started[name] = subprocess.Popen(command, stdout=log, stderr=log, env=environment)


@contextmanager
def spark_cluster(logs: Path, master: str = "") -> Iterator[SparkCluster]:
    """A running cluster for the length of a `with`; its logs are below the folder. ``master``: as in `SparkCluster.start`."""
    home = _spark_home()
    assert home is not None
    logs.mkdir(parents=True, exist_ok=True)
    cluster = SparkCluster(home, logs)
    try:
        cluster.start(master)
        _answering(cluster.address)
        yield cluster
    finally:
        cluster.stop()


def _python_without_sweeplens(folder: Path) -> Path:
    """Writes a command that starts this Python with the packages of this environment, but not with editable ones."""
    script = folder / "python"
    packages = sysconfig.get_path("purelib")
    script.write_text(f'#!/bin/sh\nPYTHONPATH="$PYTHONPATH:{packages}" exec {sys.executable} -S "$@"\n')
    script.chmod(0o755)
    return script.absolute()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def _await(port: int) -> None:
    until = time.monotonic() + _START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.2)
        else:
            return


def _answering(address: str) -> None:
    """Waits until a new server has answered a question that needs executors: on a busy machine that takes longer than a call
    waits, and a master that starts them itself begins with the first job."""
    until = time.monotonic() + _START_SECONDS
    while True:
        try:
            SparkConnection(parse_address(address)).collected(lambda session: session.sql(_FIRST))
        except ClusterUnreachableError:
            if time.monotonic() > until:
                raise
            time.sleep(1)
        else:
            return


def _parents() -> list[tuple[int, int]]:
    """Process ids with those of their parents."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    return [(int(pid), int(parent)) for pid, parent in (line.split() for line in listed.splitlines())]
