"""Serving the API on a unix socket: first the registry's lock, then the socket, and both are let go in turn.

Who does not get the lock has touched nothing. The socket is ours alone: its mode is 0600 from its first moment, in a
folder that nobody else may enter, as whoever may open it is root on every host.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from vmctl.api.app import Served, make_app
from vmctl.api.connections import Patient
from vmctl.errors import Refused, Usage

log = logging.getLogger("vmctl.api")
GRACE_S = 3  # for answers that are under way at the end


def serve(make: Callable[[Path], Served], path: Path, holding: Callable[[], None]) -> None:
    """Serve what `make` gives for the socket's folder, until SIGTERM or Ctrl-C.

    `make` takes the registry's lock, and `holding` is called once it has. Raises Refused or Usage for a socket that
    cannot be made.
    """
    before = os.umask(0o077)
    try:
        app = make_app(make(private(path.parent)))
        holding()
        with listening(path) as sock, contextlib.suppress(asyncio.CancelledError):
            asyncio.run(_run(app, sock))
    finally:
        os.umask(before)


def private(folder: Path) -> Path:
    """The socket's folder; made if it is missing, refused if anybody else may enter it."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.stat()
    except OSError as err:
        raise Refused(f"the socket's folder {folder} cannot be made: {err.strerror}") from err
    if found.st_uid != os.geteuid():
        raise Refused(f"the socket's folder {folder} belongs to another user", hint="another VMCTL_SOCKET")
    if found.st_mode & 0o077:
        mode = found.st_mode & 0o7777
        hint = f"chmod 700 {folder}, or a VMCTL_SOCKET in a folder of its own"
        raise Refused(f"the socket's folder {folder} is open to other users (mode {mode:04o})", hint=hint)
    return folder


@contextlib.contextmanager
def listening(path: Path) -> Iterator[socket.socket]:
    """The bound socket of whoever holds the lock. At the end its file goes, if it is still this one."""
    if _answers(path):
        raise Refused(f"another controller answers at {path}", hint="end it, or serve at another VMCTL_SOCKET")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        try:
            if path.is_socket():
                path.unlink()  # of a controller that was killed: nobody answers there, and the lock is ours
            sock.bind(str(path))
        except OSError as err:
            cause = err.strerror or str(err)
            raise Usage(f"no socket can be made at {path}: {cause}", hint="another VMCTL_SOCKET") from err
        path.chmod(0o600)
        mine = path.stat()
        try:
            yield sock
        finally:
            with contextlib.suppress(OSError):
                if os.path.samestat(mine, path.lstat()):
                    path.unlink()


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as trial:
        trial.settimeout(1.0)
        try:
            trial.connect(str(path))
        except OSError:
            return False
        return True


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers, which end the process before the controller has closed."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are ours."""
        yield


async def _run(app: FastAPI, sock: socket.socket) -> None:
    """Start the controller, and listen only then: who can connect is answered."""
    server = _Server(
        uvicorn.Config(
            app, http=Patient, log_config=None, access_log=False, timeout_graceful_shutdown=GRACE_S, lifespan="off"
        )
    )
    main = asyncio.current_task()
    assert main is not None

    def end() -> None:
        server.force_exit = server.should_exit
        server.should_exit = True
        if not server.started:
            main.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, end)
    async with app.router.lifespan_context(app):
        log.info("serving at %s", sock.getsockname())
        await server.serve(sockets=[sock])
