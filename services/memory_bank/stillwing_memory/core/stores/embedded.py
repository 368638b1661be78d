"""A private PostgreSQL in a folder: made, started, watched, started again and stopped by the service that owns it.

The server listens on a Unix socket only, in a folder that only it and its owner can enter. Whoever has
the data folder's lock owns it. A killed service takes its server along: a guard
process waits on a pipe that only the service holds open, and stops the server when the pipe closes. A server that
was left all the same is stopped at the next start; a server that dies under the service is started again.

It knows nothing of keyframes, tables or SQL beyond making its one database.
"""

import hashlib
import logging
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import IO

import psutil
import psycopg
from psycopg.conninfo import make_conninfo

from stillwing_common.errors import StoreUnavailable
from stillwing_memory.core.stores.binaries import find_binaries, open_path_for_others, server_user
from stillwing_memory.core.stores.folder_lock import take_folder_lock

DATABASE = "stillwing"
_OWNER = "postgres"
_START_LIMIT_S = 60.0
_STOP_LIMIT_S = 20.0
_POLL_S = 0.05
_RESTART_WAIT_S = 1.0
_MAX_LOG_BYTES = 4 * 1024 * 1024
# 107 bytes is the kernel's limit for a socket's path, to which the server appends its own file name; and its setting is
# a list, in which some characters mean something.
_SOCKET_FOLDER = re.compile(r"[\w./+-]{1,85}", re.ASCII)

_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "30",
    "shared_buffers": "64MB",
    "max_wal_size": "256MB",
    "jit": "off",
    "log_checkpoints": "off",
    "log_min_messages": "warning",
}

# Reads until the service's end of the pipe closes, however the service ended; then asks for a fast shutdown.
_GUARD = 'read -r line; kill -INT "$1" 2>/dev/null'

_log = logging.getLogger(__name__)


class EmbeddedPostgres:
    """One server in one folder. `start`, `stop` and `dsn` may be called from any thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.expanduser().resolve()
        self._data = self._folder / "postgres"
        self._binaries = find_binaries()
        self._user = server_user()
        self._lock_file: IO[str] | None = None
        self._socket_folder: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self._monitor: threading.Thread | None = None
        self._stopping = threading.Event()
        self._change = threading.Lock()

    @property
    def dsn(self) -> str:
        """Where clients connect; the same for as long as this object lives."""
        return self._dsn_of(DATABASE)

    def _dsn_of(self, database: str) -> str:
        return make_conninfo(host=str(self._socket_folder), user=_OWNER, dbname=database)

    @property
    def pid(self) -> int | None:
        """Of the server's first process, or None while there is none."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def start(self) -> None:
        """Make the database if the folder is new, and run it. Raises StoreInUse, StoreUnavailable."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            if self._user is not None:
                open_path_for_others(self._data)
                open_path_for_others(self._binaries / "postgres")
            self._lock_file = take_folder_lock(self._folder)
            self._clear_leftovers()
            if not (self._data / "PG_VERSION").exists():
                self._make_data_folder()
            self._socket_folder = self._choose_socket_folder()
            self._launch()
            self._make_database()
        except (OSError, psycopg.Error) as error:
            self.stop()
            raise StoreUnavailable(f"no server runs in {self._folder}: {error}", folder=self._folder) from error
        except BaseException:
            self.stop()
            raise
        self._monitor = threading.Thread(target=self._watch, name="postgres-monitor", daemon=True)
        self._monitor.start()

    def stop(self) -> None:
        """Stop the server and give the folder back; what was committed is on disk. Stopping twice does nothing."""
        self._stopping.set()
        if self._monitor is not None and self._monitor is not threading.current_thread():
            # The monitor sees the end of the process that is stopped below, or the flag between two starts.
            self._end_process()
            self._monitor.join()
            self._monitor = None
        self._end_process()
        if self._socket_folder is not None and self._socket_folder != self._data:
            shutil.rmtree(self._socket_folder, ignore_errors=True)
        if self._lock_file is not None:
            self._lock_file.close()
            self._lock_file = None

    def discard(self) -> None:
        """Stop what a killed process left running here, and delete the folder. Raises StoreInUse, StoreUnavailable."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with take_folder_lock(self._folder):
            self._clear_leftovers()
            shutil.rmtree(self._folder)

    # Owning the folder

    @cached_property
    def _cluster(self) -> str:
        """What every process of this server carries in its title, whoever is allowed to look at what else.

        The inode is part of it, because a container may have a folder of the same path.
        """
        identity = f"{self._data} {self._folder.stat().st_ino}"
        return "stillwing-" + hashlib.sha256(identity.encode()).hexdigest()[:12]

    def _clear_leftovers(self) -> None:
        """Stop what a killed service left running here. With the lock held nobody else may be using it."""
        leftovers = self._server_processes()
        if leftovers:
            _log.warning("stopping %d server processes that an earlier service left behind", len(leftovers))
        # A fast shutdown is asked of the first process, which ends the others; without it they can only be ended.
        first = [process for process in leftovers if self._is_postmaster(process)]
        if first:
            leftovers = self._end_all(first, signal.SIGINT, _STOP_LIMIT_S)
        for send in (signal.SIGQUIT, signal.SIGKILL):
            if leftovers:
                leftovers = self._end_all(leftovers, send, 5.0)
        if leftovers:
            raise StoreUnavailable("an earlier server does not end", pids=[process.pid for process in leftovers])
        # Nothing of this server lives, so a number in these files is that of a stranger or of a dead process.
        (self._data / "postmaster.pid").unlink(missing_ok=True)
        for folder in {self._data, self._socket_folder or self._data}:
            for socket_file in folder.glob(".s.PGSQL.*"):
                socket_file.unlink()

    def _end_all(self, processes: list[psutil.Process], send: signal.Signals, limit_s: float) -> list[psutil.Process]:
        """Send a signal and wait until no process of this server is left; returns those that are."""
        for process in processes:
            _signal(process, send)
        deadline_s = time.monotonic() + limit_s
        while (left := self._server_processes()) and time.monotonic() < deadline_s:
            psutil.wait_procs(left, timeout=2 * _POLL_S)
        return left

    def _server_processes(self) -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter(["name", "cmdline"]):
            if process.info["name"] == "postgres" and any(
                self._cluster in part for part in process.info["cmdline"] or ()
            ):
                found.append(process)
        return found

    def _is_postmaster(self, process: psutil.Process) -> bool:
        try:
            return str(self._data) in process.cmdline()
        except psutil.NoSuchProcess:
            return False

    # Making

    def _make_data_folder(self) -> None:
        """initdb beside, then one rename: a folder that is there is whole."""
        unfinished = self._folder / "postgres.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        if self._user is not None:
            os.chown(unfinished, self._user.uid, self._user.gid)
        arguments = [
            "--username",
            _OWNER,
            "--auth=trust",
            "--encoding=UTF8",
            "--no-locale",
            "--pgdata",
            str(unfinished),
        ]
        done = subprocess.run(
            [str(self._binaries / "initdb"), *arguments],
            cwd=unfinished,
            env=_environment(),
            user=self._user.uid if self._user else None,
            group=self._user.gid if self._user else None,
            extra_groups=[] if self._user else None,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if done.returncode != 0:
            raise StoreUnavailable(f"initdb failed: {_tail(done.stdout)}", folder=self._folder)
        unfinished.rename(self._data)

    def _choose_socket_folder(self) -> Path:
        if _SOCKET_FOLDER.fullmatch(str(self._data)):
            return self._data
        folder = Path(tempfile.mkdtemp(prefix="stillwing-pg-"))
        if self._user is not None:
            os.chown(folder, self._user.uid, self._user.gid)
        return folder

    def _make_database(self) -> None:
        with psycopg.connect(self._dsn_of("postgres"), autocommit=True) as connection:
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone():
                connection.execute(f"CREATE DATABASE {DATABASE}")
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            # Row-level security lets no operator use an index that might tell of other rows by its errors. These two
            # cannot, and this server is the service's own.
            for function in ("arrayoverlap", "arraycontains"):
                connection.execute(f"ALTER FUNCTION pg_catalog.{function}(anyarray, anyarray) LEAKPROOF".encode())

    # Running

    def _launch(self) -> None:
        """Start the server and wait until it answers; recovery after a crash is part of the wait."""
        settings = {**_SETTINGS, "cluster_name": self._cluster, "unix_socket_directories": str(self._socket_folder)}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        log_path = self._folder / "postgres.log"
        if log_path.exists() and log_path.stat().st_size > _MAX_LOG_BYTES:
            log_path.replace(self._folder / "postgres.log.1")
        with log_path.open("ab") as log_file:
            process = self._spawn([str(self._binaries / "postgres"), "-D", str(self._data), *options], log_file)
        with self._change:
            self._process = process
            self._guard = self._spawn(["/bin/sh", "-c", _GUARD, "stillwing-guard", str(process.pid)], None)
        deadline_s = time.monotonic() + _START_LIMIT_S
        while not self._answers():
            if process.poll() is not None:
                raise StoreUnavailable(f"the server ended at once: {_tail(log_path.read_text(errors='replace'))}")
            if time.monotonic() > deadline_s:
                raise StoreUnavailable(f"the server is not ready after {_START_LIMIT_S:.0f} s", log=log_path)
            if self._stopping.wait(_POLL_S):
                raise StoreUnavailable("the service is stopping")

    def _spawn(self, command: Sequence[str], log_file: IO[bytes] | None) -> subprocess.Popen[bytes]:
        """A child in a session of its own: a terminal's Ctrl-C must reach it only through the service."""
        return subprocess.Popen(
            command,
            cwd=self._data,
            env=_environment(),
            user=self._user.uid if self._user else None,
            group=self._user.gid if self._user else None,
            extra_groups=[] if self._user else None,
            stdin=subprocess.DEVNULL if log_file else subprocess.PIPE,
            stdout=log_file or subprocess.DEVNULL,
            stderr=subprocess.STDOUT if log_file else subprocess.DEVNULL,
            start_new_session=True,
        )

    def _answers(self) -> bool:
        try:
            psycopg.connect(self._dsn_of("postgres"), connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True

    def _watch(self) -> None:
        """Start the server again whenever it ends by itself, until `stop`."""
        while True:
            process = self._process
            if process is not None:
                code = process.wait()
                if self._stopping.is_set():
                    return
                _log.error("the database server ended with %s; starting it again", code)
            elif self._stopping.wait(_RESTART_WAIT_S):
                return
            try:
                self._end_process()
                self._clear_leftovers()
                self._launch()
                _log.warning("the database server is back")
            except StoreUnavailable as error:
                if self._stopping.is_set():
                    return
                _log.error("the database server does not start: %s", error)
                self._end_process()

    def _end_process(self) -> None:
        with self._change:
            process, self._process = self._process, None
            guard, self._guard = self._guard, None
            if process is not None and process.poll() is None:
                for send, limit_s in ((signal.SIGINT, _STOP_LIMIT_S), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0)):
                    process.send_signal(send)
                    try:
                        process.wait(limit_s)
                        break
                    except subprocess.TimeoutExpired:
                        _log.warning("the database server does not end on %s", send.name)
            if guard is not None:
                guard.kill()
                guard.wait()
                if guard.stdin is not None:
                    guard.stdin.close()


def _environment() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C"}


def _signal(process: psutil.Process, send: signal.Signals) -> None:
    try:
        process.send_signal(send)
    except psutil.NoSuchProcess:
        return


def _tail(text: str) -> str:
    return " | ".join(text.strip().splitlines()[-4:])
