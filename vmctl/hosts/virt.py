"""One host's libvirt, typed and asynchronous. The only importer of libvirt.

The rule of the room: no libvirt call ever runs on the event loop's thread, closing included (with an in-process
tunnel it would deadlock). Each host has its own few threads, so a stuck host blocks only itself. A call that does not
answer in time raises `NoAnswer`: libvirt may still do it later, so look before the next step.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import libvirt

from vmctl.errors import LibvirtError, NoAnswer, NotFound
from vmctl.hosts import domainxml
from vmctl.model import PowerState

T = TypeVar("T")
THREADS = 4
REFRESH_TRIES = 100

POWER = {
    libvirt.VIR_DOMAIN_RUNNING: PowerState.RUNNING,
    libvirt.VIR_DOMAIN_BLOCKED: PowerState.RUNNING,
    libvirt.VIR_DOMAIN_PAUSED: PowerState.PAUSED,
    libvirt.VIR_DOMAIN_SHUTDOWN: PowerState.STOPPING,
    libvirt.VIR_DOMAIN_SHUTOFF: PowerState.STOPPED,
    libvirt.VIR_DOMAIN_CRASHED: PowerState.CRASHED,
    libvirt.VIR_DOMAIN_PMSUSPENDED: PowerState.PAUSED,
}
PAUSED_WHY = {
    libvirt.VIR_DOMAIN_PAUSED_USER: "by request",
    libvirt.VIR_DOMAIN_PAUSED_MIGRATION: "migrating",
    libvirt.VIR_DOMAIN_PAUSED_IOERROR: "I/O error",
    libvirt.VIR_DOMAIN_PAUSED_STARTING_UP: "starting up",
    libvirt.VIR_DOMAIN_PAUSED_POSTCOPY: "post-copy",
    libvirt.VIR_DOMAIN_PAUSED_POSTCOPY_FAILED: "post-copy failed",
}
LIFECYCLE = {
    libvirt.VIR_DOMAIN_EVENT_STARTED: "started",
    libvirt.VIR_DOMAIN_EVENT_SUSPENDED: "suspended",
    libvirt.VIR_DOMAIN_EVENT_RESUMED: "resumed",
    libvirt.VIR_DOMAIN_EVENT_STOPPED: "stopped",
    libvirt.VIR_DOMAIN_EVENT_SHUTDOWN: "shutdown",
    libvirt.VIR_DOMAIN_EVENT_CRASHED: "crashed",
}


@dataclass(frozen=True, slots=True)
class DomainSeen:
    """One domain as a host shows it."""

    uuid: str
    name: str
    power: PowerState
    why: str = ""  # for a paused one: by request, migrating, I/O error, ...
    persistent: bool = False
    has_job: bool = False


@dataclass(frozen=True, slots=True)
class DomainEvent:
    """Something libvirt said about a domain, without being asked."""

    uuid: str
    name: str
    what: str  # one of LIFECYCLE's words


@dataclass(frozen=True, slots=True)
class About:
    """What the hypervisor is."""

    libvirt: str
    qemu: str
    accel: str  # "kvm" or "qemu"
    cpu_xml: str  # the host-model <cpu> of the hypervisor
    machines: tuple[str, ...]  # versioned machine types it can run
    mem_mib: int
    cpus: int
    host_uuid: str


@dataclass(frozen=True, slots=True)
class JobProgress:
    """One reading of a running (or just completed) migration. Bytes, milliseconds, bytes per second."""

    active: bool
    total: int = 0
    processed: int = 0
    remaining: int = 0
    rate_bps: int = 0
    dirty_bps: int = 0
    downtime_ms: int = 0  # expected while it runs, measured when completed
    elapsed_ms: int = 0
    iteration: int = 0


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


class Virt:
    """One host's libvirt through a local unix socket (forwarded over the host's SSH connection)."""

    def __init__(self, host: str, timeout_s: float, keepalive_s: int) -> None:
        self.host = host
        self._timeout_s = timeout_s
        self._keepalive_s = keepalive_s
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix=f"libvirt-{host}")
        self._conn: Any = None
        self._refreshing = threading.Lock()
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
        future = loop.run_in_executor(self._pool, _translate, self.host, call, args)
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

    # -- what is there

    async def about(self) -> About:
        """Versions, CPU, machine types, memory."""
        return await self._run(self._about)

    def _about(self) -> About:
        conn = self._connected()
        capabilities = domainxml.read_capabilities(conn.getCapabilities())
        caps = conn.getDomainCapabilities(None, "x86_64", None, capabilities.accel, 0)
        info = conn.getInfo()
        return About(
            libvirt=_version(conn.getLibVersion()),
            qemu=_version(conn.getVersion()),
            accel=capabilities.accel,
            cpu_xml=domainxml.host_model(caps),
            machines=capabilities.machines,
            mem_mib=info[1],
            cpus=info[2],
            host_uuid=capabilities.host_uuid,
        )

    async def baseline_cpu(self, accel: str, cpus: list[str]) -> str:
        """The <cpu> that runs on every host whose host-model is in `cpus`."""

        def call() -> str:
            return domainxml.guest_cpu(self._connected().baselineHypervisorCPU(None, "x86_64", None, accel, cpus, 0))

        return await self._run(call)

    async def cpu_fits(self, accel: str, cpu_xml: str) -> bool:
        """Whether this host's hypervisor can give a guest that CPU."""

        def call() -> bool:
            answer = self._connected().compareHypervisorCPU(None, "x86_64", None, accel, cpu_xml, 0)
            return bool(answer >= libvirt.VIR_CPU_COMPARE_IDENTICAL)

        return await self._run(call)

    async def domains(self) -> tuple[DomainSeen, ...]:
        """Every domain that the host knows."""
        return await self._run(lambda: tuple(_seen(d) for d in self._connected().listAllDomains(0)))

    async def domain(self, uuid: str) -> DomainSeen | None:
        """One domain; None when this host surely does not have it."""

        def call() -> DomainSeen | None:
            try:
                return _seen(self._domain(uuid))
            except libvirt.libvirtError as err:
                if err.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
                    return None
                raise

        return await self._run(call)

    async def xml(self, uuid: str, *, migratable: bool = False) -> str:
        """The domain's live XML."""
        flags = libvirt.VIR_DOMAIN_XML_MIGRATABLE if migratable else 0
        return await self._run(lambda: str(self._domain(uuid).XMLDesc(flags)))

    # -- power

    async def create(self, xml: str) -> None:
        """Start a transient domain; libvirt validates the XML against its schema first."""
        flags = libvirt.VIR_DOMAIN_START_VALIDATE
        await self._run(lambda: self._connected().createXML(xml, flags), timeout_s=60.0)

    async def start(self, uuid: str) -> None:
        """Start a persistent (adopted) domain."""
        await self._run(lambda: self._domain(uuid).create(), timeout_s=60.0)

    async def shutdown(self, uuid: str) -> None:
        """Press the guest's power button."""
        await self._run(lambda: self._domain(uuid).shutdownFlags(libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN))

    async def destroy(self, uuid: str) -> None:
        """Pull the plug; gone already is done."""

        def call() -> None:
            try:
                self._domain(uuid).destroy()
            except libvirt.libvirtError as err:
                if err.get_error_code() not in (libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_OPERATION_INVALID):
                    raise

        await self._run(call)

    async def undefine(self, uuid: str) -> None:
        """Forget a persistent definition, its NVRAM file kept."""
        await self._run(lambda: self._domain(uuid).undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_KEEP_NVRAM))

    async def define(self, xml: str) -> None:
        """Keep a persistent definition (only for adopted domains)."""
        await self._run(lambda: self._connected().defineXML(xml))

    async def reset(self, uuid: str) -> None:
        """Press the reset button."""
        await self._run(lambda: self._domain(uuid).reset(0))

    async def suspend(self, uuid: str) -> None:
        """Stop the guest's CPUs."""
        await self._run(lambda: self._domain(uuid).suspend())

    async def resume(self, uuid: str) -> None:
        """Let the guest's CPUs go on."""
        await self._run(lambda: self._domain(uuid).resume())

    # -- migration

    async def migrate(
        self, uuid: str, target_socket: str, migrate_uri: str, *, unsafe: bool, adopted: bool, post_copy: bool
    ) -> None:
        """Live, peer-to-peer: this host's libvirtd talks to the target's through `target_socket` on this host.

        Returns when libvirt says it is done; raises LibvirtError when it says it failed. Neither is believed before
        both hosts were read. `unsafe` only for storage proven to be shared. Waits without limit: the caller watches.
        """
        flags = libvirt.VIR_MIGRATE_LIVE | libvirt.VIR_MIGRATE_PEER2PEER | libvirt.VIR_MIGRATE_ABORT_ON_ERROR
        if unsafe:
            flags |= libvirt.VIR_MIGRATE_UNSAFE
        if adopted:
            flags |= libvirt.VIR_MIGRATE_PERSIST_DEST | libvirt.VIR_MIGRATE_UNDEFINE_SOURCE
        if post_copy:
            flags |= libvirt.VIR_MIGRATE_POSTCOPY
        flags |= libvirt.VIR_MIGRATE_AUTO_CONVERGE
        params = {libvirt.VIR_MIGRATE_PARAM_URI: migrate_uri}
        uri = f"qemu+unix:///system?socket={target_socket}"
        executor = ThreadPoolExecutor(1, thread_name_prefix=f"migrate-{self.host}")
        call: Callable[[], Any] = lambda: self._domain(uuid).migrateToURI3(uri, params, flags)  # noqa: E731
        try:
            await asyncio.get_running_loop().run_in_executor(executor, _translate, self.host, call, ())
        finally:
            executor.shutdown(wait=False)

    async def job(self, uuid: str, *, completed: bool = False) -> JobProgress:
        """How the running migration goes, or how the last completed one went (read it on the target)."""
        flags = libvirt.VIR_DOMAIN_JOB_STATS_COMPLETED if completed else 0
        return await self._run(lambda: _progress(self._domain(uuid).jobStats(flags)))

    async def set_max_downtime(self, uuid: str, downtime_ms: int) -> None:
        """How long the guest may pause at the end of a live migration."""
        await self._run(lambda: self._domain(uuid).migrateSetMaxDowntime(downtime_ms, 0))

    async def set_max_speed(self, uuid: str, mib_per_s: int) -> None:
        """Limit a migration's rate."""
        await self._run(lambda: self._domain(uuid).migrateSetMaxSpeed(mib_per_s, 0))

    async def start_post_copy(self, uuid: str) -> None:
        """Let the guest run on the target now and fetch the rest of its memory afterwards."""
        await self._run(lambda: self._domain(uuid).migrateStartPostCopy(0))

    async def abort_job(self, uuid: str) -> None:
        """Cancel the running migration; the guest goes on where it is."""
        await self._run(lambda: self._domain(uuid).abortJob())

    # -- storage

    async def ensure_pool(self, name: str, path: str) -> None:
        """Make sure that the host has a running pool over that directory, whatever its name."""

        def call() -> None:
            conn = self._connected()
            with contextlib.suppress(libvirt.libvirtError):
                conn.storagePoolLookupByTargetPath(path)
                return
            conn.storagePoolCreateXML(domainxml.pool(name, path), 0)

        await self._run(call)

    async def drop_pool(self, name: str) -> None:
        """Take away the transient pool of that name, and nothing in it; somebody else's (persistent) one stays."""

        def call() -> None:
            with contextlib.suppress(libvirt.libvirtError):
                found = self._connected().storagePoolLookupByName(name)
                if not found.isPersistent():
                    found.destroy()

        await self._run(call)

    def _pool_at(self, path: str) -> Any:
        """The pool over that directory, with what other hosts made there meanwhile."""
        found = self._connected().storagePoolLookupByTargetPath(path)
        with self._refreshing:
            for _ in range(REFRESH_TRIES):
                try:
                    found.refresh(0)
                    break
                except libvirt.libvirtError as err:
                    if "asynchronous jobs" not in str(err):
                        raise
                    time.sleep(0.05)  # an upload or copy is under way there; after a while the old view must do
        return found

    async def pool_free(self, path: str) -> tuple[int, int]:
        """(capacity, available) of a pool, in bytes."""

        def call() -> tuple[int, int]:
            found = self._pool_at(path)
            _state, capacity, _allocation, available = found.info()
            return capacity, available

        return await self._run(call)

    async def create_volume(self, pool_path: str, xml: str) -> str:
        """Make a volume; returns its path."""

        def call() -> str:
            found = self._pool_at(pool_path)
            return str(found.createXML(xml, 0).path())

        return await self._run(call, timeout_s=120.0)

    async def copy_volume(self, pool_path: str, xml: str, source: str) -> str:
        """Make a full copy of a volume; returns the copy's path. Long: the host copies."""

        def call() -> str:
            found = self._pool_at(pool_path)
            origin = found.storageVolLookupByName(Path(source).name)
            return str(found.createXMLFrom(xml, origin, 0).path())

        return await self._run(call, timeout_s=3600.0)

    async def resize_volume(self, pool_path: str, name: str, capacity_bytes: int) -> None:
        """Grow a volume."""
        await self._run(lambda: self._volume(pool_path, name).resize(capacity_bytes, 0))

    def _volume(self, pool_path: str, name: str) -> Any:
        return self._pool_at(pool_path).storageVolLookupByName(name)

    async def has_volume(self, pool_path: str, name: str) -> bool:
        """Whether the pool has a volume of that name."""

        def call() -> bool:
            found = self._pool_at(pool_path)
            return name in found.listVolumes()

        return await self._run(call)

    async def volume_capacity(self, pool_path: str, name: str) -> int:
        """A volume's virtual size in bytes."""
        return await self._run(lambda: int(self._volume(pool_path, name).info()[1]))

    async def delete_volume(self, pool_path: str, name: str) -> None:
        """Remove a volume; gone already is done."""

        def call() -> None:
            try:
                self._volume(pool_path, name).delete(0)
            except libvirt.libvirtError as err:
                if err.get_error_code() != libvirt.VIR_ERR_NO_STORAGE_VOL:
                    raise

        await self._run(call)

    async def upload(self, pool_path: str, name: str, chunks: Iterable[bytes]) -> None:
        """Fill a volume from `chunks` (read in a thread of this host)."""

        def call() -> None:
            volume = self._volume(pool_path, name)
            stream = self._connected().newStream(0)
            volume.upload(stream, 0, 0, 0)
            try:
                for chunk in _bounded(chunks):
                    _send_all(stream, chunk)
            except BaseException:
                stream.abort()
                raise
            stream.finish()

        await self._run(call, timeout_s=3600.0)

    async def download(self, pool_path: str, name: str, most: int) -> bytes:
        """The first `most` bytes of a volume."""

        def call() -> bytes:
            stream = self._connected().newStream(0)
            self._volume(pool_path, name).download(stream, 0, most, 0)
            found = b""
            while chunk := stream.recv(most):
                found += chunk
            stream.finish()
            return found

        return await self._run(call)

    # -- console

    async def console(self, uuid: str) -> Console:
        """The guest's serial console; one user at a time, a second one takes it over."""
        loop = asyncio.get_running_loop()

        def call() -> Console:
            stream = self._connected().newStream(libvirt.VIR_STREAM_NONBLOCK)
            self._domain(uuid).openConsole(None, stream, libvirt.VIR_DOMAIN_CONSOLE_FORCE)
            return Console(stream, loop)

        return await self._run(call)

    async def close_console(self, console: Console) -> None:
        """End a console."""
        await self._run(console.close)

    async def send_console(self, console: Console, data: bytes) -> None:
        """Type into a console."""
        await self._run(console.send, data)


class Console:
    """A serial console: what the guest prints arrives in `output` (bounded: a reader too slow loses the oldest)."""

    def __init__(self, stream: Any, loop: asyncio.AbstractEventLoop) -> None:
        self.output: asyncio.Queue[bytes | None] = asyncio.Queue(256)
        self._stream, self._loop = stream, loop
        events = libvirt.VIR_STREAM_EVENT_READABLE | libvirt.VIR_STREAM_EVENT_HANGUP | libvirt.VIR_STREAM_EVENT_ERROR
        stream.eventAddCallback(events, self._ready, None)

    def _ready(self, stream: Any, events: int, _opaque: Any) -> None:
        try:
            data = stream.recv(65536) if events & libvirt.VIR_STREAM_EVENT_READABLE else b""
        except libvirt.libvirtError:
            data = b""
        if data == -2:  # nothing to read after all
            return
        if not data:
            with contextlib.suppress(libvirt.libvirtError):
                stream.eventRemoveCallback()
        with contextlib.suppress(RuntimeError):  # the controller's loop has ended
            self._loop.call_soon_threadsafe(self._put, data or None)

    def _put(self, data: bytes | None) -> None:
        if self.output.full():
            self.output.get_nowait()
        self.output.put_nowait(data)

    def send(self, data: bytes) -> None:
        """Blocking; runs in the host's threads."""
        _send_all(self._stream, data)

    def close(self) -> None:
        """Blocking; runs in the host's threads."""
        with contextlib.suppress(libvirt.libvirtError):
            self._stream.eventRemoveCallback()
        with contextlib.suppress(libvirt.libvirtError):
            self._stream.abort()


def _deliver(loop: asyncio.AbstractEventLoop, receive: Callable[[DomainEvent], None], event: DomainEvent) -> None:
    with contextlib.suppress(RuntimeError):  # the controller's loop has ended
        loop.call_soon_threadsafe(receive, event)


def _forget(future: asyncio.Future[Any]) -> None:
    if not future.cancelled():
        future.exception()  # read it, or asyncio complains


def _translate(host: str, call: Callable[..., T], args: tuple[Any, ...]) -> T:
    try:
        return call(*args)
    except libvirt.libvirtError as err:
        code = err.get_error_code() or 0
        text = (err.get_error_message() or str(err)).strip()
        if code == libvirt.VIR_ERR_NO_DOMAIN:
            raise NotFound(f"{host} has no such domain: {text}") from err
        raise LibvirtError(f"libvirt on {host}: {text}", code_number=code) from err


def _version(number: int) -> str:
    return f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"


def _seen(domain: Any) -> DomainSeen:
    state, reason = domain.state()
    power = POWER.get(state, PowerState.UNKNOWN)
    why = PAUSED_WHY.get(reason, "") if power is PowerState.PAUSED else ""
    job = power in (PowerState.RUNNING, PowerState.PAUSED) and _has_job(domain)
    return DomainSeen(domain.UUIDString(), domain.name(), power, why, bool(domain.isPersistent()), job)


def _has_job(domain: Any) -> bool:
    try:
        return bool(domain.jobInfo()[0] != libvirt.VIR_DOMAIN_JOB_NONE)
    except libvirt.libvirtError as err:
        # the incoming half of a migration: its statistics are only on the source
        return bool(err.get_error_code() == libvirt.VIR_ERR_OPERATION_UNSUPPORTED)


def _progress(stats: dict[str, Any]) -> JobProgress:
    kind = stats.get("type", libvirt.VIR_DOMAIN_JOB_NONE)
    return JobProgress(
        active=kind in (libvirt.VIR_DOMAIN_JOB_BOUNDED, libvirt.VIR_DOMAIN_JOB_UNBOUNDED),
        total=stats.get("memory_total", 0),
        processed=stats.get("memory_processed", 0),
        remaining=stats.get("memory_remaining", 0),
        rate_bps=stats.get("memory_bps", 0),
        dirty_bps=stats.get("memory_dirty_rate", 0) * stats.get("memory_page_size", 4096),
        downtime_ms=stats.get("downtime", 0),
        elapsed_ms=stats.get("time_elapsed", 0),
        iteration=stats.get("memory_iteration", 0),
    )


def _bounded(chunks: Iterable[bytes], most: int = 256 * 1024) -> Iterator[bytes]:
    for chunk in chunks:
        for start in range(0, len(chunk), most):
            yield chunk[start : start + most]


def _send_all(stream: Any, data: bytes) -> None:
    view = memoryview(data)
    while view:
        sent = stream.send(bytes(view))
        if sent < 0:
            threading.Event().wait(0.01)  # a full pipe on a non-blocking stream
            continue
        view = view[sent:]
