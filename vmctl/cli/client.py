"""The HTTP client: one request at a time, over the controller's unix socket or to one elsewhere. The standard library
only: it must be fast.

When no controller answers, one is started in the background, and that is said in one line. Under `--dump FILE`
no controller is asked at all.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from vmctl import errors
from vmctl.cli import contexts, offline, output, wire
from vmctl.local import lock, paths

START_LIMIT_S = 30.0
LOOK_EVERY_S = 0.05
AGAIN_S = 10.0  # how long a controller is looked for that went away with an answer


def socket_path() -> Path:
    """The controller's socket: VMCTL_SOCKET, or the local one."""
    given = os.environ.get("VMCTL_SOCKET", "")
    return Path(given) if given else paths.runtime_dir() / "controller.sock"


def log_path() -> Path:
    """Where a controller in the background writes its log."""
    return paths.state_dir() / "controller.log"


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a controller's own socket."""

    def __init__(self, path: Path, patience_s: float | None = None) -> None:
        super().__init__("localhost", timeout=patience_s)
        self._path = path
        self._patience_s = patience_s

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self._patience_s)
        try:
            self.sock.connect(str(self._path))
        except OSError:
            self.close()
            raise


class Client:
    """Speaks to the controller; errors come out as the classes of `vmctl.errors`."""

    def __init__(self, *, autostart: bool = True, patience_s: float | None = None) -> None:
        self._path = socket_path()
        self._context = contexts.chosen()
        self._where = str(self._path)  # that answered last
        self._patience_s = patience_s
        self._offline = offline.attached()
        self._warned = ""
        self._autostart = autostart and "VMCTL_SOCKET" not in os.environ and self._context is None

    @property
    def offline(self) -> bool:
        """Whether a dump is asked instead of a controller."""
        return self._offline is not None

    @property
    def elsewhere(self) -> bool:
        """Whether the controller is reached over the network, which may break while it goes on."""
        return self._context is not None

    def headers(self) -> dict[str, str]:
        """What says who asks."""
        token = self._context.token if self._context is not None else ""
        return {"Authorization": f"Bearer {token}"} if token else {}

    def socket(self) -> socket.socket:
        """A connected socket, for what is no request and answer. Raises ControllerUnreachable."""
        connection = self._connect()
        assert connection.sock is not None
        return connection.sock

    def ask(self, asked: Any) -> Any:
        """The answer to a query or command: a value of one of the classes in `vmctl.commands`."""
        request = wire.request(asked)
        if self._offline is not None:
            return self._offline.answer(asked)
        try:
            return self._once(request)
        except errors.ControllerUnreachable as err:
            if not (err.heard and (request.key or self._autostart)):
                raise
        return self._again(request)

    def _again(self, request: wire.Request) -> Any:
        """Ask again what may have been heard: only what is looked at, or has a key and so is not done twice."""
        deadline = time.monotonic() + AGAIN_S
        if request.key:
            print("the connection was lost; asking what became of it", file=sys.stderr)
        while True:
            time.sleep(LOOK_EVERY_S)  # it ended just as it was asked: the next one answers
            try:
                return self._once(request)
            except errors.ControllerUnreachable:
                if not request.key or time.monotonic() > deadline:
                    raise

    def lines(self, asked: Any, *, start: bool = True) -> Iterator[dict[str, Any]]:
        """The answer to a query that goes on: line by line. `start`: a controller, where none answers."""
        request = wire.request(asked)
        with contextlib.closing(self._connect(start=start)) as connection:
            response = self._send(connection, request)
            while line := response.readline():
                yield json.loads(line)

    def send(self, request: wire.Request) -> Any:
        """The answer to a request that is in no catalogue."""
        return self._once(request)

    def _once(self, request: wire.Request) -> Any:
        answer, link = self._whole(request)
        while (following := wire.next_page(link)) is not None:
            more, link = self._whole(following)
            answer += more
        return answer

    def _whole(self, request: wire.Request) -> tuple[Any, str]:
        """An answer, and the Link header beside it. What is cut, or is no answer of a controller's, was lost."""
        with contextlib.closing(self._connect()) as connection:
            response = self._send(connection, request)
            try:
                if "Content-Length" not in response.headers and "Transfer-Encoding" not in response.headers:
                    raise ValueError("its answer was cut")
                return json.loads(response.read()), response.headers.get("Link", "")
            except (OSError, http.client.HTTPException, ValueError) as err:
                raise self._lost(err) from err

    def _send(self, connection: http.client.HTTPConnection, request: wire.Request) -> http.client.HTTPResponse:
        headers = self.headers() | ({"Content-Type": request.kind} if request.body else {})
        headers |= {"Idempotency-Key": request.key} if request.key else {}
        try:
            connection.request(request.method, request.path, request.body, headers)
            response = connection.getresponse()
        except (OSError, http.client.HTTPException) as err:
            raise self._lost(err) from err
        warning = response.headers.get("X-Vmctl-Warning", "")
        if warning and warning != self._warned:
            self._warned = warning
            print(f"warning: {output.clean(unquote(warning))}", file=sys.stderr)
        if response.status >= 400:
            try:
                text = response.read()
            except (OSError, http.client.HTTPException) as err:
                raise self._lost(err) from err
            raise _error(response.status, text)
        return response

    def _lost(self, err: Exception) -> errors.ControllerUnreachable:
        text = f"the controller at {self._where} went away: {err}"
        lost = errors.ControllerUnreachable(text, hint="vmctl task list, once it is back")
        lost.heard = True
        return lost

    def _connect(self, *, start: bool = True) -> http.client.HTTPConnection:
        if self._context is not None:
            from vmctl.cli import remote  # TLS is loaded by who needs it

            sock, self._where = remote.opened(self._context, self._patience_s)
            return remote.TlsConnection(sock, self._where)
        connection = UnixConnection(self._path, self._patience_s)
        try:
            connection.connect()
        except (FileNotFoundError, ConnectionRefusedError) as err:
            if not (self._autostart and start):
                hint = "vmctl serve"
                raise errors.ControllerUnreachable(f"no controller answers at {self._path}", hint=hint) from err
            start_controller(self._path)
            connection.connect()
        except OSError as err:
            raise errors.ControllerUnreachable(f"no controller answers at {self._path}: {err}") from err
        return connection


def start_controller(path: Path) -> None:
    """Start a local controller in the background and wait until it answers. Raises ControllerUnreachable, or why not.

    Several commands may do so at once: one controller gets the registry's lock, all commands wait for its socket, and
    only the one that started it says so.
    """
    process: subprocess.Popen[bytes] | None = None
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline:
        running = lock.holder(paths.lock_path())
        if _answers(path):
            if process is not None and running == process.pid:
                print(f"started a local controller (process {process.pid}, log {log_path()})", file=sys.stderr)
            return
        if process is not None and process.poll() is not None:
            _raise_reason(process)
            process = None  # another one was there first; it may have been about to end
        if process is None and running is None:
            process = _spawn()
        time.sleep(LOOK_EVERY_S)
    who = lock.holder(paths.lock_path())
    what = f"the controller (process {who}) does not answer at {path}" if who else "the local controller did not start"
    raise errors.ControllerUnreachable(f"{what} within {START_LIMIT_S:g} s", hint=f"see {log_path()}")


def _spawn() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "vmctl.cli.main", "serve", "--background"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd="/",
        start_new_session=True,
    )


def _raise_reason(process: subprocess.Popen[bytes]) -> None:
    """Why a controller ended that was just started; not if another one was there first."""
    assert process.stdout is not None
    told = process.stdout.read()
    process.stdout.close()
    try:
        problem = errors.error_from_json(json.loads(told))
    except (ValueError, KeyError):
        problem = errors.ControllerUnreachable("the local controller did not start", hint=f"see {log_path()}")
    if not isinstance(problem, errors.AlreadyRuns):
        raise problem


def _answers(path: Path) -> bool:
    connection = UnixConnection(path)
    with contextlib.suppress(OSError), contextlib.closing(connection):
        connection.connect()
        return True
    return False


def _error(status: int, text: bytes) -> errors.VmctlError:
    try:
        found = json.loads(text)
        return errors.error_from_json(found | {"message": found["detail"]})
    except (ValueError, KeyError):
        return errors.VmctlError(f"the controller answered {status}: {text[:200]!r}")
