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
import ssl
from asyncio.sslproto import SSLProtocol
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from vmctl.api import tls
from vmctl.api.app import Served, make_app
from vmctl.api.connections import Patient
from vmctl.errors import Refused, Usage, VmctlError

log = logging.getLogger("vmctl.api")
HANDSHAKE_S, GOODBYE_S = 10.0, 2.0
TLS_BUFFER = 16 * 1024  # bytes of each connection: one record. The library's own 256 KiB are taken before it is known
GRACE_S = 3  # for answers that are under way at the end


@dataclass(frozen=True)
class Elsewhere:
    """How clients from elsewhere reach it."""

    host: str
    port: int
    files: tls.Files


@dataclass
class Among:
    """How other controllers of the same registry reach it."""

    host: str  # at which it listens
    port: int
    reached: str  # the host by which they reach it
    reached_port: int = 0  # 0: the one at which it listens
    sock: socket.socket = field(init=False)
    files: tls.Files = field(init=False)

    def open(self, folder: Path) -> tuple[str, str]:
        """Listen; where they reach it, and the certificate that they know it by. Only for who holds the lock.

        Anybody else would take the port, and the certificate's files in the folder, from one that runs. Raises Usage.
        """
        self.sock = bound(self.host, self.port)
        self.files, certificate = tls.for_life(folder / "life")
        return f"{self.reached}:{self.reached_port or self.sock.getsockname()[1]}", certificate


def serve(
    make: Callable[[Path], Served],
    path: Path,
    holding: Callable[[], None],
    elsewhere: Elsewhere | None = None,
    among: Among | None = None,
) -> None:
    """Serve what `make` gives for the socket's folder, until SIGTERM or Ctrl-C.

    `make` takes the registry's lock and opens `among`, and `holding` is called once it has. Raises Refused or Usage for
    a socket that cannot be made, or a certificate that cannot be used.
    """
    before = os.umask(0o077)
    speaks = tls.context(elsewhere.files) if elsewhere is not None else None
    try:
        served = make(private(path.parent))
        others = tls.among(among.files) if among is not None else None
        app = make_app(served, others)
        holding()
        with contextlib.ExitStack() as open_, contextlib.suppress(asyncio.CancelledError):
            servers = [_server(app, open_.enter_context(listening(path)))]
            if elsewhere is not None:
                servers.append(_server(app, open_.enter_context(bound(elsewhere.host, elsewhere.port)), speaks))
            if among is not None and others is not None:
                servers.append(_server(app, open_.enter_context(among.sock), others[0]))
            asyncio.run(_run(app, servers, lambda: _again(speaks, elsewhere)))
    finally:
        os.umask(before)


def _again(speaks: ssl.SSLContext | None, elsewhere: Elsewhere | None) -> None:
    """SIGHUP: read the certificate again."""
    if speaks is None or elsewhere is None:
        return
    try:
        tls.load(speaks, elsewhere.files)
        log.info("read %s again", elsewhere.files.certificate)
    except VmctlError as err:
        log.error("the TLS certificate is as it was: %s", err.message)


def bound(host: str, port: int) -> socket.socket:
    """A socket for who comes from elsewhere. Raises Usage."""
    try:
        family, kind, number, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        sock = socket.socket(family, kind, number)
        with contextlib.ExitStack() as unless_bound:
            unless_bound.callback(sock.close)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(address)
            unless_bound.pop_all()
    except OSError as err:
        cause = f"{host} port {port} cannot be listened at: {err.strerror or err}"
        raise Usage(cause, hint=f"ss -ltnp sport = {port}; or another address and port to listen at") from err
    return sock


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
    """uvicorn without its signal handlers, which end the process before the controller has closed.

    Over TLS its patience with a silent or a slow client is ours, too, and what each costs before it has said a word.
    """

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen."""
        if self.config.ssl is None:
            await super().startup(sockets)
            return
        self.servers = []
        SSLProtocol.max_size = TLS_BUFFER
        state = self.lifespan.state

        def talk() -> Patient:
            return Patient(config=self.config, server_state=self.server_state, app_state=state)

        for sock in sockets or ():
            made = await asyncio.get_running_loop().create_server(
                talk,
                sock=sock,
                ssl=self.config.ssl,
                backlog=self.config.backlog,
                ssl_handshake_timeout=HANDSHAKE_S,
                ssl_shutdown_timeout=GOODBYE_S,
            )
            self.servers.append(made)
        self.started = True

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are ours."""
        yield


Serving = tuple[_Server, socket.socket]


def _server(app: FastAPI, sock: socket.socket, speaks: ssl.SSLContext | None = None) -> Serving:
    config = uvicorn.Config(
        app,
        http=Patient,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=GRACE_S,
        lifespan="off",
        server_header=False,
    )
    config.load()
    config.ssl = speaks
    return _Server(config), sock


async def _run(app: FastAPI, servers: list[Serving], again: Callable[[], None]) -> None:
    """Start the controller, and listen only then: who can connect is answered."""
    main = asyncio.current_task()
    assert main is not None

    def end() -> None:
        for server, _ in servers:
            server.force_exit = server.should_exit
            server.should_exit = True
        if not all(server.started for server, _ in servers):
            main.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, end)
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, again)
    async with app.router.lifespan_context(app):
        for server, sock in servers:
            over = "over TLS at" if server.config.ssl is not None else "at"
            log.info("serving %s %s", over, sock.getsockname())
        await asyncio.gather(*(server.serve(sockets=[sock]) for server, sock in servers))
