"""The connection, its threads and its events: how every call to libvirt is made."""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import libvirt

from vmctl.errors import HostError, LibvirtError, NoAnswer, NotFound, NotSent, VmctlError
from vmctl.hosts.shown import DomainEvent

T = TypeVar("T")
THREADS = 4
MOST_LONG = 100  # as many as a policy may let migrate out of one host at once
# How libvirt's client says that its connection broke while it waited for a reply, which then is not known. Only the
# words tell: errors of virtlockd come with the same number and domain.
LOST = re.compile("client socket is closed|[Ee]nd of file while reading|[Cc]annot (write|recv) data|keepalive timeout")
LIFECYCLE = {
    libvirt.VIR_DOMAIN_EVENT_STARTED: "started",
    libvirt.VIR_DOMAIN_EVENT_SUSPENDED: "suspended",
    libvirt.VIR_DOMAIN_EVENT_RESUMED: "resumed",
    libvirt.VIR_DOMAIN_EVENT_STOPPED: "stopped",
    libvirt.VIR_DOMAIN_EVENT_SHUTDOWN: "shutdown",
    libvirt.VIR_DOMAIN_EVENT_CRASHED: "crashed",
}
# How it stopped, where that counts: it is elsewhere now; its guest shut down, or somebody destroyed it.
STOPPED = {
    libvirt.VIR_DOMAIN_EVENT_STOPPED_MIGRATED: "migrated",
    libvirt.VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN: "put out",
    libvirt.VIR_DOMAIN_EVENT_STOPPED_DESTROYED: "put out",
}

# What else is told of a domain that runs: it is then read again.
CHANGES = (
    libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_ADDED,
    libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED,
    libvirt.VIR_DOMAIN_EVENT_ID_DISK_CHANGE,
    libvirt.VIR_DOMAIN_EVENT_ID_TRAY_CHANGE,
    libvirt.VIR_DOMAIN_EVENT_ID_BLOCK_JOB_2,
)


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
    """The connections to one host's libvirt, and the threads that may use them.

    Each thread has a connection of its own, and events have one: libvirt 9.0 reads freed memory, and takes the whole
    process down, when several threads wait on one connection that breaks.
    """

    def __init__(self, host: str, timeout_s: float, keepalive_s: int) -> None:
        self.host = host
        self._timeout_s = timeout_s
        self._keepalive_s = keepalive_s
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix=f"libvirt-{host}")
        # Calls that last as long as a migration get threads of their own: the others would wait behind them.
        self._long = ThreadPoolExecutor(MOST_LONG, thread_name_prefix=f"migrate-{host}")
        self._uri = ""
        self._own: dict[int, Any] = {}  # thread -> its connection
        self._opened: list[Any] = []  # or garbage collection would close one on the event loop's thread
        self._events: Any = None
        self._registered: list[int] = []
        self._on_event: Callable[[DomainEvent], None] | None = None

    async def open(self, socket: Path, on_event: Callable[[DomainEvent], None]) -> None:
        """Connect through a socket, with keepalive and lifecycle events. Raises LibvirtError, NoAnswer, NotSent."""
        await self.open_uri(f"qemu+unix:///system?socket={socket}", on_event)

    async def open_uri(self, uri: str, on_event: Callable[[DomainEvent], None]) -> None:
        """The same to any of libvirt's drivers."""
        start_event_thread()
        loop = asyncio.get_running_loop()
        self._on_event = lambda event: _deliver(loop, on_event, event)
        self._uri = uri
        self._events = await self._run(self._open_events)

    def _open(self) -> Any:
        if not self._uri:
            raise self._no_connection()
        try:
            conn = libvirt.open(self._uri)
        except libvirt.libvirtError as err:
            raise NotSent(f"libvirt on {self.host} cannot be reached: {err.get_error_message()}") from None
        self._opened.append(conn)
        with contextlib.suppress(libvirt.libvirtError):  # a driver in this process has nobody to keep alive
            conn.setKeepAlive(self._keepalive_s, 3)
        return conn

    def _open_events(self) -> Any:
        conn = self._open()
        kinds = [(libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, self._lifecycle), *((kind, self._changed) for kind in CHANGES)]
        self._registered = [conn.domainEventRegisterAny(None, kind, call, None) for kind, call in kinds]
        conn.registerCloseCallback(self._closed, None)
        return conn

    def _closed(self, _conn: Any, _reason: int, _opaque: Any) -> None:
        if self._on_event is not None:
            self._on_event(DomainEvent("", "", "connection closed"))

    def _lifecycle(self, _conn: Any, domain: Any, event: int, detail: int, _opaque: Any) -> None:
        ended = STOPPED.get(detail) if event == libvirt.VIR_DOMAIN_EVENT_STOPPED else None
        what = ended or LIFECYCLE.get(event, "changed")
        if self._on_event is not None:
            self._on_event(DomainEvent(domain.UUIDString(), domain.name(), what))

    def _changed(self, _conn: Any, domain: Any, *_what: Any) -> None:
        if self._on_event is not None:
            self._on_event(DomainEvent(domain.UUIDString(), domain.name(), "changed"))

    async def close(self) -> None:
        """Let go of the connections, in a thread of their own: a hung one is not waited for."""
        events, self._events, self._on_event, self._uri = self._events, None, None, ""
        threading.Thread(target=self._reap, args=(events,), name=f"reap-{self.host}", daemon=True).start()

    def _reap(self, events: Any) -> None:
        """Close what was opened when no thread waits any more (keepalive ends every wait), off the event loop."""
        for threads in (self._pool, self._long):
            threads.shutdown(wait=True, cancel_futures=True)
        if events is not None:
            with contextlib.suppress(libvirt.libvirtError):  # each registration would keep the connection open
                events.unregisterCloseCallback()
                for number in self._registered:
                    events.domainEventDeregisterAny(number)
        for conn in list(self._opened):
            self._close(conn)

    async def alive(self) -> bool:
        """Whether the connection still works. Asked twice: this process may itself have stood still for a while."""
        for _ in range(2):
            if self._events is None:
                return False
            try:
                return bool(await self._run(self._events.isAlive, timeout_s=5.0))
            except NoAnswer:
                continue
            except HostError:
                return False
        return False

    async def _run(self, call: Callable[..., T], *args: Any, timeout_s: float | None = None) -> T:
        loop = asyncio.get_running_loop()
        limit = self._timeout_s if timeout_s is None else timeout_s
        try:
            future = loop.run_in_executor(self._pool, translate, self.host, call, args)
        except RuntimeError:  # the threads have ended with the link
            raise self._no_connection() from None
        future.add_done_callback(_forget)  # who asked may have been cancelled meanwhile
        try:
            return await asyncio.wait_for(asyncio.shield(future), limit)
        except TimeoutError:
            raise NoAnswer(f"libvirt on {self.host} did not answer within {limit:g} s") from None
        except asyncio.CancelledError:
            if future.cancelled() and not _being_cancelled():  # the reaper took it out of the queue
                raise NotSent(f"the connection to libvirt on {self.host} was lost before it was asked") from None
            raise

    def _no_connection(self) -> NotSent:
        return NotSent(f"no libvirt connection to {self.host}", hint=f"vmctl host check {self.host}")

    def _connected(self) -> Any:
        """This thread's own connection, opened when it is first needed or was lost."""
        conn = self._own.get(threading.get_ident())
        if conn is None or not conn.isAlive():
            self._let_go()
            conn = self._own[threading.get_ident()] = self._open()
        return conn

    def _connected_now(self) -> bool:
        """Whether this thread's own connection stands."""
        conn = self._own.get(threading.get_ident())
        return conn is not None and bool(conn.isAlive())

    def _let_go(self) -> None:
        """Close this thread's own connection, in this thread."""
        conn = self._own.pop(threading.get_ident(), None)
        if conn is not None:
            self._close(conn)

    def _close(self, conn: Any) -> None:
        with contextlib.suppress(libvirt.libvirtError, ValueError):  # the reaper was faster
            self._opened.remove(conn)
            conn.close()

    def _domain(self, uuid: str) -> Any:
        return self._connected().lookupByUUIDString(uuid)


def _deliver(loop: asyncio.AbstractEventLoop, receive: Callable[[DomainEvent], None], event: DomainEvent) -> None:
    with contextlib.suppress(RuntimeError):  # the controller's loop has ended
        loop.call_soon_threadsafe(receive, event)


def _being_cancelled() -> bool:
    """Whether somebody cancels the task that runs now, rather than what it waits for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _forget(future: asyncio.Future[Any]) -> None:
    if not future.cancelled():
        future.exception()  # read it, or asyncio complains


def translate(host: str, call: Callable[..., T], args: tuple[Any, ...]) -> T:
    """Call libvirt, with our errors for its own.

    It is raised outside the handler, without what is beneath: a traceback keeps the domain that was called, a domain
    keeps its connection, and the last one to go closes it, in whichever thread collects the garbage. In the event
    loop's that waits for an answer which the loop itself should carry, until every connection is taken for lost.
    """
    failure: VmctlError
    try:
        return call(*args)
    except libvirt.libvirtError as err:
        failure = _explained(host, err)
    except VmctlError as err:  # of ours, from inside the call: its frames hold domains and pools, too
        failure = err.with_traceback(None)
    failure.__context__ = failure.__cause__ = None
    raise failure


def is_lost(err: libvirt.libvirtError) -> bool:
    """Whether the error says that a connection broke."""
    return LOST.search(err.get_error_message() or "") is not None


def _explained(host: str, err: libvirt.libvirtError) -> HostError | NotFound:
    code = err.get_error_code() or 0
    text = (err.get_error_message() or str(err)).strip()
    if code == libvirt.VIR_ERR_NO_DOMAIN:
        return NotFound(f"{host} has no such domain: {text}")
    if LOST.search(text):
        return NoAnswer(f"the connection to libvirt on {host} was lost: {text}")
    return LibvirtError(f"libvirt on {host}: {text}", code_number=code)
