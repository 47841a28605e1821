"""The connection, its threads and its events: how every call to libvirt is made."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import libvirt

from vmctl.errors import LibvirtError, NoAnswer, NotFound

T = TypeVar("T")
THREADS = 4
LIFECYCLE = {
    libvirt.VIR_DOMAIN_EVENT_STARTED: "started",
    libvirt.VIR_DOMAIN_EVENT_SUSPENDED: "suspended",
    libvirt.VIR_DOMAIN_EVENT_RESUMED: "resumed",
    libvirt.VIR_DOMAIN_EVENT_STOPPED: "stopped",
    libvirt.VIR_DOMAIN_EVENT_SHUTDOWN: "shutdown",
    libvirt.VIR_DOMAIN_EVENT_CRASHED: "crashed",
}


@dataclass(frozen=True, slots=True)
class DomainEvent:
    """Something libvirt said about a domain, without being asked."""

    uuid: str
    name: str
    what: str  # one of LIFECYCLE's words


_loop_started = threading.Lock()
_loop_thread: threading.Thread | None = None


def start_event_thread() -> None:
    """Run libvirt's event loop in one daemon thread; must happen before the first connection is opened."""
    global _loop_thread
    with _loop_started:
        if _loop_thread is None:
            libvirt.registerErrorHandler(lambda _context, _error: None, None)
            libvirt.virEventRegisterDefaultImpl()
            _loop_thread = threading.Thread(target=_run_events, name="libvirt-events", daemon=True)
            _loop_thread.start()


def _run_events() -> None:
    while True:
        libvirt.virEventRunDefaultImpl()


class Connection:
    """A connection to one host's libvirt, and the threads that may use it."""

    def __init__(self, host: str, timeout_s: float, keepalive_s: int) -> None:
        self.host = host
        self._timeout_s = timeout_s
        self._keepalive_s = keepalive_s
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix=f"libvirt-{host}")
        self._conn: Any = None
        self._on_event: Callable[[DomainEvent], None] | None = None

    async def open(self, socket: Path, on_event: Callable[[DomainEvent], None]) -> None:
        """Connect, with keepalive and lifecycle events. Raises LibvirtError, NoAnswer."""
        start_event_thread()
        loop = asyncio.get_running_loop()
        self._on_event = lambda event: _deliver(loop, on_event, event)
        self._conn = await self._run(self._open, f"qemu+unix:///system?socket={socket}")

    def _open(self, uri: str) -> Any:
        conn = libvirt.open(uri)
        conn.setKeepAlive(self._keepalive_s, 3)
        conn.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, self._lifecycle, None)
        return conn

    def _lifecycle(self, _conn: Any, domain: Any, event: int, _detail: int, _opaque: Any) -> None:
        if self._on_event is not None:
            self._on_event(DomainEvent(domain.UUIDString(), domain.name(), LIFECYCLE.get(event, "changed")))

    async def close(self) -> None:
        """Let go of the connection, in this host's threads; a hung one is abandoned, not waited for."""
        conn, self._conn, self._on_event = self._conn, None, None
        if conn is not None:
            with contextlib.suppress(LibvirtError, NoAnswer):
                await self._run(conn.close, timeout_s=5.0)
            del conn
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def alive(self) -> bool:
        """Whether the connection still works."""
        if self._conn is None:
            return False
        try:
            return bool(await self._run(self._conn.isAlive, timeout_s=5.0))
        except (LibvirtError, NoAnswer):
            return False

    async def _run(self, call: Callable[..., T], *args: Any, timeout_s: float | None = None) -> T:
        loop = asyncio.get_running_loop()
        limit = self._timeout_s if timeout_s is None else timeout_s
        future = loop.run_in_executor(self._pool, translate, self.host, call, args)
        try:
            return await asyncio.wait_for(asyncio.shield(future), limit)
        except TimeoutError:
            future.add_done_callback(_forget)
            name = getattr(call, "__name__", "call")
            raise NoAnswer(f"libvirt on {self.host} did not answer {name.strip('_')} within {limit:g} s") from None

    def _connected(self) -> Any:
        if self._conn is None:
            raise LibvirtError(f"no libvirt connection to {self.host}", hint=f"vmctl host check {self.host}")
        return self._conn

    def _domain(self, uuid: str) -> Any:
        return self._connected().lookupByUUIDString(uuid)


def _deliver(loop: asyncio.AbstractEventLoop, receive: Callable[[DomainEvent], None], event: DomainEvent) -> None:
    with contextlib.suppress(RuntimeError):  # the controller's loop has ended
        loop.call_soon_threadsafe(receive, event)


def _forget(future: asyncio.Future[Any]) -> None:
    if not future.cancelled():
        future.exception()  # read it, or asyncio complains


def translate(host: str, call: Callable[..., T], args: tuple[Any, ...]) -> T:
    try:
        return call(*args)
    except libvirt.libvirtError as err:
        code = err.get_error_code() or 0
        text = (err.get_error_message() or str(err)).strip()
        if code == libvirt.VIR_ERR_NO_DOMAIN:
            raise NotFound(f"{host} has no such domain: {text}") from err
        raise LibvirtError(f"libvirt on {host}: {text}", code_number=code) from err
