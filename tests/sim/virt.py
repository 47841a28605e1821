"""A simulated machine's libvirt as the controller reaches it: the calls of `vmctl.hosts.port.Hypervisor`.

A call goes over the network, waits for libvirtd, is done, and its answer comes back; each of that may fail by itself. A
caller that gives up does not take back what it sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from typing import Any
from xml.etree import ElementTree as ET

from tests.sim.fates import Fates
from tests.sim.loop import NOBODY, fail
from tests.sim.migration import migrate, progress
from tests.sim.shell import SimShell
from tests.sim.world import MIB, Domain, LogIn, Machine, no_volume
from vmctl.errors import HostError, LibvirtError, NoAnswer, NotSent, VmctlError
from vmctl.hosts import domainxml
from vmctl.hosts.shown import About, DomainEvent, DomainSeen, JobProgress, Shown
from vmctl.model.vms import PowerState

LATENCY_S = 0.002
CPU = "<cpu mode='custom' match='exact'><model>qemu64</model></cpu>"
OnEvent = Callable[[DomainEvent], None]


class SimVirt:
    """One connection to a machine's libvirt."""

    def __init__(self, machine: Machine, fates: Fates, timeout_s: float, through: SimShell | None = None) -> None:
        """`through`: the log-in that its calls go through."""
        self.machine, self.world, self.host = machine, machine.world, machine.name
        self._fates, self._timeout_s = fates, timeout_s
        self._through = through
        self._ours = NOBODY
        self._open = False
        self._boot = ""
        self._waiting: set[asyncio.Future[Any]] = set()
        self._on_event: OnEvent | None = None

    # -- the connection

    async def open(self, _socket: Any, on_event: OnEvent) -> None:
        """Connect. Raises NotSent."""
        self._open, self._on_event, self._boot = True, on_event, self.machine.boot_id
        self._ours = contextvars.copy_context()
        try:
            await self._call("open", lambda: None)
        except NoAnswer as err:
            raise NotSent(err.message) from None
        self.machine.listeners.append(self)

    async def close(self) -> None:
        """Let go."""
        self.drop()

    def drop(self) -> None:
        """The connection is gone. Whoever waits hears that nothing is known."""
        self._open, self._on_event = False, None
        if self in self.machine.listeners:
            self.machine.listeners.remove(self)
        for future in list(self._waiting):
            fail(future, NoAnswer(f"the connection to libvirt on {self.host} was lost"))

    async def alive(self) -> bool:
        """Whether it still works."""
        try:
            await self._call("alive", lambda: None, timeout_s=10.0)
        except HostError:
            return False
        return self._stands()

    def _stands(self) -> bool:
        return self._open and self.machine.up and self.machine.boot_id == self._boot

    def hear(self, uuid: str, name: str, what: str) -> None:
        """libvirtd tells of a domain."""
        tell = partial(self.world.loop.by, self._ours, self._deliver, uuid, name, what)
        self.world.loop.call_later(LATENCY_S, self.machine.when_able, tell, context=NOBODY)

    def _deliver(self, uuid: str, name: str, what: str) -> None:
        if self._on_event is not None and self._stands():
            self._on_event(DomainEvent(uuid, name, what))

    async def _call(self, name: str, act: Callable[[], Any], timeout_s: float | None = None) -> Any:
        """Send a call, and wait for its answer. Raises what libvirt says, NoAnswer, NotSent."""
        if not self._open:
            raise NotSent(f"no libvirt connection to {self.host}")
        fate = self._fates.draw(self.host, name)
        if fate == "unsent":
            raise NotSent(f"the connection to libvirt on {self.host} was lost before it was asked")
        if fate == "refused":
            raise LibvirtError(f"libvirt on {self.host}: internal error: no, says the story")
        limit, loop = self._timeout_s if timeout_s is None else timeout_s, self.world.loop
        answer, until = loop.create_future(), loop.now + limit
        self._waiting.add(answer)
        delay = min(limit, 120.0) + 5.0 if fate == "late" else LATENCY_S * self.world.random.uniform(0.5, 3.0)
        log_in = self._through.log_in if self._through is not None else LogIn(0, 0)

        def come() -> None:
            if not log_in.killed:  # else it never left sshd; what libvirtd has is done, whenever it goes on
                self.machine.when_able(lambda: self._arrive(act, answer, fate))

        log_in.sent(loop.now + delay)
        loop.call_later(delay, self.machine.when_able, come, False, context=NOBODY)
        try:
            return await loop.heard(answer, until, lambda: self._silent(limit))
        finally:
            self._waiting.discard(answer)

    def _silent(self, limit: float) -> NoAnswer:
        return NoAnswer(f"libvirt on {self.host} did not answer within {limit:g} s")

    def _arrive(self, act: Callable[[], Any], answer: asyncio.Future[Any], fate: str) -> None:
        """libvirtd reads the call. What was sent before its connection went is done all the same."""
        if self._boot != self.machine.boot_id:
            return
        try:
            done = act()
        except VmctlError as err:
            self._reply(answer, fate, None, err)
            return
        if asyncio.iscoroutine(done):
            # libvirtd's own: it goes on when the controller that asked for it is gone.
            self.world.loop.create_task(self._longer(done, answer, fate), context=contextvars.Context())
        else:
            self._reply(answer, fate, done, None)

    async def _longer(self, work: Coroutine[Any, Any, Any], answer: asyncio.Future[Any], fate: str) -> None:
        try:
            self._reply(answer, fate, await work, None)
        except VmctlError as err:
            self._reply(answer, fate, None, err)

    def _reply(self, answer: asyncio.Future[Any], fate: str, value: Any, error: Exception | None) -> None:
        if fate == "unanswered":
            return

        def deliver() -> None:
            if not answer.done():
                answer.set_exception(error) if error is not None else answer.set_result(value)

        self.world.loop.call_later(LATENCY_S, self.machine.when_able, deliver, context=NOBODY)

    # -- what is there

    async def about(self) -> About:
        machine = self.machine
        return await self._call(
            "about",
            lambda: About(
                "9.0.0", "7.2.0", "kvm", CPU, ("pc-q35-7.2",), machine.mem_mib, machine.cpus, machine.uuid, None
            ),
        )

    async def networks(self) -> frozenset[str]:
        return await self._call("networks", lambda: frozenset(("default",)))

    async def baseline_cpu(self, _accel: str, _cpus: list[str]) -> str:
        return await self._call("baseline_cpu", lambda: CPU)

    async def cpu_fits(self, _accel: str, _cpu_xml: str) -> bool:
        return await self._call("cpu_fits", lambda: True)

    async def domains(self) -> tuple[DomainSeen, ...]:
        return await self._call("domains", lambda: tuple(_seen(one, False) for one in self.machine.domains.values()))

    async def domain(self, uuid: str) -> DomainSeen | None:
        def look() -> DomainSeen | None:
            found = self.machine.domains.get(uuid)
            return _seen(found, bool(found.job)) if found is not None else None

        return await self._call("domain", look)

    async def power(self, uuid: str) -> tuple[PowerState, str]:
        def look() -> tuple[PowerState, str]:
            found = self.machine.find(uuid)
            return found.power, found.why

        return await self._call("power", look, timeout_s=5.0)

    async def use(self, uuid: str) -> tuple[int, ...]:
        def look() -> tuple[int, ...]:
            self.machine.find(uuid)
            return (0,) if self.world.guests.get(uuid) == "hung" else (round(self.world.now),)

        return await self._call("use", look, timeout_s=5.0)

    async def xml(self, uuid: str, *, migratable: bool = False) -> str:
        def look() -> str:
            found = self.machine.find(uuid)
            return found.live or found.kept

        return await self._call("xml", look)

    async def shown(self, uuid: str) -> Shown:
        def look() -> Shown:
            one = self.machine.find(uuid)
            again = one.live if one.on and not one.kept else ""
            return Shown(live=one.live, again=again, kept=one.kept, autostart=one.autostart, has_job=bool(one.job))

        return await self._call("shown", look)

    # -- what is done to domains

    async def create(self, xml: str) -> None:
        await self._call("create", lambda: self.machine.create(xml), timeout_s=60.0)

    async def start(self, uuid: str) -> None:
        await self._call("start", lambda: self.machine.start(uuid), timeout_s=60.0)

    async def shutdown(self, uuid: str) -> None:
        await self._call("shutdown", lambda: self.machine.press(uuid))

    async def destroy(self, uuid: str) -> None:
        await self._call("destroy", lambda: self.machine.destroy(uuid))

    async def reset(self, uuid: str) -> None:
        await self._call("reset", lambda: self.machine.reset(uuid))

    async def suspend(self, uuid: str) -> None:
        await self._call("suspend", lambda: self.machine.suspend(uuid))

    async def resume(self, uuid: str) -> None:
        await self._call("resume", lambda: self.machine.resume(uuid))

    async def wake(self, uuid: str) -> None:
        await self._call("wake", lambda: self.machine.find(uuid))

    async def define(self, xml: str) -> None:
        await self._call("define", lambda: self.machine.define(xml))

    async def undefine(self, uuid: str) -> None:
        await self._call("undefine", lambda: self.machine.undefine(uuid))

    async def set_autostart(self, uuid: str, on: bool) -> None:
        def act() -> None:
            self.machine.find(uuid).autostart = on

        await self._call("set_autostart", act)

    # -- migrations

    async def migrate(self, uuid: str, target_socket: str, _uri: str, **more: Any) -> None:
        """Waits without limit, as the real one does: the caller watches."""
        lose = "finish" if self._fates.draw(self.host, "finish") else ""

        def begin() -> Coroutine[Any, Any, None]:
            offered = self.machine.sockets.get(target_socket)
            if offered is None:
                raise LibvirtError(f"libvirt on {self.host}: Failed to connect socket to '{target_socket}'")
            # A connection that is made outlives the socket, and ends with the SSH connection that carries it.
            standing = lambda: not offered.dead  # noqa: E731
            return migrate(
                self.machine, offered.leads_to, uuid, standing, lose, persistent=bool(more.get("persistent"))
            )

        await self._call("migrate", begin, timeout_s=86400.0)

    async def job(self, uuid: str, *, completed: bool = False) -> JobProgress:
        def look() -> JobProgress:
            one = self.machine.find(uuid)
            return (one.completed or JobProgress(False)) if completed else progress(one)

        return await self._call("job", look)

    async def broke(self, uuid: str) -> bool:
        return await self._call("broke", lambda: self.machine.find(uuid).failed_out)

    async def set_max_downtime(self, uuid: str, _downtime_ms: int) -> None:
        await self._call("set_max_downtime", lambda: self.machine.find(uuid))

    async def start_post_copy(self, uuid: str) -> None:
        await self._call("start_post_copy", lambda: self.machine.find(uuid))

    async def abort_job(self, uuid: str) -> None:
        def act() -> None:
            one = self.machine.find(uuid)
            if one.job != "out":
                raise LibvirtError(f"libvirt on {self.host}: no job is active on the domain", code_number=55)
            one.abort.set()

        await self._call("abort_job", act)

    # -- files

    async def ensure_pool(self, name: str, path: str) -> None:
        def act() -> None:
            self.machine.pools[name] = path

        await self._call("ensure_pool", act)

    async def drop_pool(self, name: str) -> None:
        await self._call("drop_pool", lambda: self.machine.pools.pop(name, None))

    async def drop_pools_below(self, path: str) -> None:
        def act() -> None:
            self.machine.pools = {n: p for n, p in self.machine.pools.items() if not p.startswith(f"{path}/")}

        await self._call("drop_pools_below", act)

    async def create_volume(self, pool_path: str, xml: str) -> str:
        path = f"{pool_path}/{domainxml.parse(xml).findtext('name', '')}"

        def act() -> str:
            self._must_be_mounted(pool_path)
            if path in self.world.files:
                raise LibvirtError(f"libvirt on {self.host}: storage volume '{path}' exists already", code_number=90)
            base = _base(xml)
            if base and not self.machine.has(base):
                raise no_volume(self.host, base)
            self.world.files[path] = base.encode()
            self.world.log(f"{self.host}: made {path}")
            return path

        return await self._call("create_volume", act, timeout_s=120.0)

    async def copy_volume(self, pool_path: str, xml: str, source: str) -> str:
        return await self.create_volume(pool_path, xml)

    async def resize_volume(self, pool_path: str, name: str, _capacity_bytes: int) -> None:
        await self._call("resize_volume", lambda: self._must_have(f"{pool_path}/{name}"))

    async def has_volume(self, pool_path: str, name: str) -> bool:
        return await self._call("has_volume", lambda: self.machine.has(f"{pool_path}/{name}"))

    async def delete_volume(self, pool_path: str, name: str) -> None:
        def act() -> None:
            path = f"{pool_path}/{name}"
            if self.machine.has(path):
                self.world.remove(path)
                self.world.log(f"{self.host}: deleted {path}")

        await self._call("delete_volume", act)

    async def volume_path(self, _pool: str, _volume: str) -> str:
        return await self._call("volume_path", lambda: "")

    async def upload(
        self, pool_path: str, name: str, pieces: Iterable[bytes | int], *, sparse: bool = False, offset: int = 0
    ) -> None:
        data = b"".join(bytes(min(piece, MIB)) if isinstance(piece, int) else piece for piece in pieces)

        def act() -> None:
            self._must_have(f"{pool_path}/{name}")
            was = self.world.files[f"{pool_path}/{name}"] if offset else b""
            was = was.ljust(offset, b"\0")
            self.world.files[f"{pool_path}/{name}"] = was[:offset] + data + was[offset + len(data) :]

        await self._call("upload", act, timeout_s=3600.0)

    async def download(self, pool_path: str, name: str, most: int, offset: int = 0) -> bytes:
        def act() -> bytes:
            self._must_have(f"{pool_path}/{name}")
            return self.world.files[f"{pool_path}/{name}"][offset : offset + most]

        return await self._call("download", act, timeout_s=120.0)

    def _must_be_mounted(self, path: str) -> None:
        if not self.machine.mounted:
            raise LibvirtError(f"libvirt on {self.host}: cannot open directory '{path}'", code_number=38)

    def _must_have(self, path: str) -> None:
        if not self.machine.has(path):
            raise no_volume(self.host, path)


def _seen(domain: Domain, has_job: bool) -> DomainSeen:
    shape = hash_of(domain.live)
    return DomainSeen(domain.uuid, domain.name, domain.power, domain.why, bool(domain.kept), has_job, (), shape)


def hash_of(text: str) -> int:
    """The same for the same text, whatever Python's own hashes are."""
    return sum(text.encode()) * 31 + len(text) if text else 0


def _base(xml: str) -> str:
    """The image that a copy-on-write volume stands on."""
    with contextlib.suppress(ET.ParseError):
        return ET.fromstring(xml).findtext("backingStore/path") or ""
    return ""
