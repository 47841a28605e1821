"""A simulated machine's sshd, and the programs that vmctl runs through it."""

from __future__ import annotations

import asyncio
import contextvars
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tests.sim.fates import Fates
from tests.sim.guest import GuestPort
from tests.sim.loop import NOBODY, fail
from tests.sim.world import EPOCH, LogIn, Machine
from vmctl.act import layers, needed
from vmctl.errors import CommandFailed, Unreachable
from vmctl.hosts import chains, leases, lockd, mounts, paths, qemus, sessions
from vmctl.hosts.facts import CpuTicks, QemuProcess, RawSample, SshdLimitsFact
from vmctl.hosts.leaseprobe import PROBE
from vmctl.hosts.ssh import Ran
from vmctl.local.config import Timeouts

LATENCY_S = 0.004
DEVICE, MOUNT = "254:0", 9


@dataclass
class Offer:
    """A socket on a host, and what it leads to as long as the connection that offered it stands."""

    leads_to: Machine
    dead: bool = False


class SimShell:
    """One SSH connection."""

    peer = "127.0.0.1"

    def __init__(self, machine: Machine, fates: Fates, timeouts: Timeouts) -> None:
        self.machine, self.world = machine, machine.world
        self._fates, self._timeouts = fates, timeouts
        self._lost = asyncio.Event()
        self._lost.set()
        self._boot, self._why = "", "not yet"
        self.log_in = LogIn(0, 0)
        self._offered: dict[str, Offer] = {}
        self._waiting: dict[asyncio.Future[Any], str] = {}  # for what
        machine.changed.append(self._turned)

    # -- the connection

    async def connect(self) -> None:
        """Log in. Raises Unreachable."""
        await self.close()
        await asyncio.sleep(LATENCY_S)
        if not self.machine.reached:
            await asyncio.sleep(self._timeouts.ssh_connect_s if self.machine.up else 3.0)
            raise Unreachable(f"{self.machine.name}: no route to host")
        self._lost, self._boot = asyncio.Event(), self.machine.boot_id
        self.log_in = self.machine.log_in()
        self.log_in.gone = partial(self._killed, self.log_in, contextvars.copy_context())

    async def wait_closed(self) -> str:
        """Wait until the connection is gone; why it went."""
        await self._lost.wait()
        return self._why

    async def close(self) -> None:
        """End it, with what it carries."""
        self._end("closed")

    def _killed(self, one: LogIn, ours: contextvars.Context) -> None:
        """sshd's process was killed."""
        if one is self.log_in and not self._lost.is_set():
            self.world.loop.by(ours, self._end, "connection reset by peer")

    def _end(self, why: str) -> None:
        self._why = why
        if not self._lost.is_set():
            self.machine.hang_up(self.log_in)
        self._lost.set()
        for reply, name in list(self._waiting.items()):
            fail(reply, self._unreachable(name, "the connection was lost"))
        for path, offer in self._offered.items():  # sshd does not take the file away: it leads nowhere from now on
            offer.dead = True
            if path in self.machine.sockets:
                self.machine.sockets[path] = None
        self._offered.clear()

    def _turned(self) -> None:
        if self._lost.is_set():
            return
        if self.machine.up and self.machine.boot_id != self._boot:
            self._end("connection reset by peer")
        elif not self.machine.reached:
            keepalive_s = self._timeouts.ssh_keepalive_s * self._timeouts.ssh_keepalive_count
            self.world.loop.call_later(keepalive_s, self._look, self.world.now)

    def _look(self, since: float) -> None:
        if not self._lost.is_set() and not self.machine.reached:
            self._end(f"no answer since {since:.0f} s")

    # -- what runs through it

    async def run(
        self, argv: Sequence[str], *, stdin: bytes = b"", timeout_s: float | None = None, check: bool = True
    ) -> Ran:
        """Run a program there. Raises CommandFailed, Unreachable."""
        log_in = self.log_in
        ran = await self._over("run", lambda: Ran(0, self._answer(log_in, argv), ""), timeout_s)
        assert isinstance(ran, Ran)
        return ran

    def _answer(self, log_in: LogIn, argv: Sequence[str]) -> str:
        script = argv[2] if list(argv[:2]) == ["sh", "-c"] else ""
        if script == sessions.OWN:
            return f"{self.machine.boot_id} {log_in.pid} {log_in.ticks}"
        return self.machine.kill_log_ins(list(argv[4:])) if script == sessions.END else answer(self.machine, argv)

    async def _over(self, name: str, act: Callable[[], Any], timeout_s: float | None = None) -> Any:
        """Send something, and wait for its answer."""
        limit = self._timeouts.command_s if timeout_s is None else timeout_s
        fate = self._fates.draw(self.machine.name, name)
        if self._lost.is_set() or fate == "unsent":
            raise Unreachable(f"{self.machine.name}: not connected ({self._why})")
        if fate == "refused":
            raise CommandFailed(f"{self.machine.name}: {name} failed")
        loop, boot, log_in = self.world.loop, self._boot, self.log_in
        reply, until = loop.create_future(), loop.now + limit

        def arrive() -> None:
            if self.machine.boot_id != boot or log_in.killed:
                return
            value = act()
            if fate != "unanswered":
                back = partial(deliver, value)
                loop.call_later(LATENCY_S, self.machine.when_able, back, False, context=NOBODY)

        def deliver(value: Any) -> None:
            if not reply.done():
                reply.set_result(value)

        delay = limit + 5.0 if fate == "late" else LATENCY_S * self.world.random.uniform(0.5, 3.0)
        log_in.sent(loop.now + delay)
        loop.call_later(delay, self.machine.when_able, arrive, False, context=NOBODY)
        self._waiting[reply] = name
        try:
            return await loop.heard(reply, until, lambda: self._unreachable(name, f"no answer within {limit:g} s"))
        finally:
            del self._waiting[reply]

    def _unreachable(self, name: str, why: str) -> Unreachable:
        return Unreachable(f"{self.machine.name}: {name}: {why}")

    async def offer(self, remote_path: str, local_path: Path) -> SimListener:
        """A socket on the host that leads to the machine whose libvirtd the local one stands for."""
        there = self.world.machines[local_path.name.removesuffix(".libvirt")]

        def act() -> None:
            if self.world.now - asked > self._timeouts.command_s:
                return  # a request that comes so late makes a socket that nobody will ever name: no harm, and no help
            self.machine.sockets[remote_path] = self._offered[remote_path] = Offer(there)

        asked = self.world.now
        await self._over("offer", act)
        return SimListener(self, remote_path)

    async def withdraw(self, path: str) -> None:
        """Take a socket away again."""

        def act() -> None:
            self.machine.sockets.pop(path, None)

        await self._over("withdraw", act)

    async def open_unix(self, path: str, *, window: int = 0) -> tuple[GuestPort, GuestPort]:
        """A guest's port, as reader and as writer. Raises CommandFailed, Unreachable."""
        uuid = path.rpartition("/")[2]
        domain = await self._over("open_unix", lambda: self.machine.domains.get(uuid))
        if domain is None or not domain.on:
            raise CommandFailed(f"{self.machine.name}: nobody listens at {path}")
        port = GuestPort(self.machine, domain, self._lost)
        return port, port

    async def reach(self, _address: str, _port: int) -> str:
        """Nobody listens there yet."""
        await self._over("reach", lambda: None)
        return "refused"


class SimListener:
    """An offered socket."""

    def __init__(self, shell: SimShell, path: str) -> None:
        self._shell, self._path = shell, path

    async def close(self) -> None:
        """Take it away."""
        await self._shell.withdraw(self._path)


class SimCollector:
    """Samples, as the load loop takes them."""

    def __init__(self, shell: SimShell) -> None:
        self._shell = shell

    async def sample(self, timeout_s: float) -> RawSample:
        """One sample. Raises Unreachable."""
        found = await self._shell._over("sample", lambda: sampled(self._shell.machine), timeout_s)
        assert isinstance(found, RawSample)
        return found

    def close(self) -> None:
        """It holds nothing."""


def sampled(machine: Machine) -> RawSample:
    """The counters of a machine whose guests each use a tenth of their CPUs."""
    uptime = machine.world.now - machine.booted_at + 100.0
    on = [domain for domain in machine.domains.values() if domain.on]
    busy = sum((machine.world.now - domain.started_at) * 10 for domain in on)
    cpu = CpuTicks(round(busy), 0, 0, round(uptime * 100 * machine.cpus - busy), 0, 0, 0, 0, 0)
    used_kib = sum(domain.mem_mib for domain in on) * 1024
    qemus_there = tuple(
        QemuProcess(one.pid, one.pid, one.uuid, one.name, round((machine.world.now - one.started_at) * 10), 1, 1, 0, 0)
        for one in on
    )
    total_kib = machine.mem_mib * 1024
    wall = EPOCH + machine.world.now
    head = (machine.boot_id, uptime, wall, 0.1, machine.cpus, cpu, "", total_kib, total_kib - used_kib)
    return RawSample(*head, 0, 0, 0, 0, 0, None, None, None, qemus_there)


def answer(machine: Machine, argv: Sequence[str]) -> str:
    """What a program prints there. AssertionError for one that this world does not have."""
    script, words = (
        (argv[2], list(argv[4:])) if argv[:2] == ("sh", "-c") or list(argv[:2]) == ["sh", "-c"] else ("", [])
    )
    if argv[0] == "rm" or "rm -f" in script:
        for path in (argv[-1],):
            machine.sockets.pop(path, None)
        return ""
    if argv[0] == "date":
        return f"{EPOCH + machine.world.now:.6f}"
    if argv[0] == "stat":
        return "1000000 900000 4096"
    if argv[0] == "cat":
        return _proc(machine, argv[1])
    if script not in SCRIPTS:
        raise AssertionError(f"nobody has taught the simulated hosts {argv}")
    return SCRIPTS[script](machine, words)


def _proc(machine: Machine, path: str) -> str:
    if path == "/proc/meminfo":
        used_mib = sum(one.mem_mib for one in machine.domains.values() if one.on)
        kib = machine.mem_mib * 1024
        return f"MemTotal: {kib} kB\nMemAvailable: {kib - used_mib * 1024} kB\n"
    return "".join(f"processor : {number}\nmodel name : simulated\n" for number in range(machine.cpus))


def _mount(machine: Machine, words: list[str]) -> str:
    path = words[0]
    if not machine.mounted or not any(name.startswith(f"{path}/") for name in machine.world.files):
        return ""
    return f"{path}\nmnt_id:\t{MOUNT}\n{MOUNT} 1 {DEVICE} / /shared rw - nfs server:/s rw\n"


def _probe_folders(machine: Machine, words: list[str]) -> str:
    below = [name.removeprefix(f"{words[0]}/") for name in sorted(machine.world.files)] if machine.mounted else []
    return "".join(f"{name.partition('/')[0]}\n" for name in below if name.startswith(".vmctl-probe-"))


def _probe_keys(machine: Machine, words: list[str]) -> str:
    below = [name.removeprefix(f"{words[0]}/") for name in sorted(machine.world.files)] if machine.mounted else []
    return "".join(f"{name}\n" for name in below if name.startswith(PROBE))


def _unusable(machine: Machine, words: list[str]) -> str:
    return "".join(f"gone {path}\n" for path in words if not machine.has(path))


def _held(machine: Machine, words: list[str]) -> str:
    space, *uuids = words
    keys = {uuid: number for number, uuid in enumerate(sorted(uuids), start=100)}
    locked = [keys[uuid] for uuid in keys if machine.world.locks.get(f"{space}/{uuid}", ("", ""))[0] == machine.name]
    locks = "".join(f"1: POSIX  ADVISORY  WRITE 108 fe:00:{number} 0 EOF\n" for number in locked)
    there = "".join(f"65024:{number} {uuid}\n" for uuid, number in keys.items() if machine.has(f"{space}/{uuid}"))
    mount = f"mnt_id:\t{MOUNT}\n{MOUNT} 1 {DEVICE} / /shared rw - nfs server:/s rw\n"
    return f"{locks}{leases.MARK}\n{mount}{leases.MARK}\n{there}{leases.MARK}\n"


def _qemus(machine: Machine, words: list[str]) -> str:
    return "".join(f"{one.pid}\n" for one in machine.domains.values() if one.on and one.uuid == words[0])


def _beside(machine: Machine, words: list[str]) -> str:
    folder, stem = words
    return "".join(f"0 {path}\n" for path in sorted(machine.world.files) if path.startswith(f"{folder}/{stem}"))


def _chains(machine: Machine, words: list[str]) -> str:
    found = []
    for path in words:
        if machine.has(path):
            base = machine.world.files[path].decode(errors="replace")
            below = [{"filename": base}] if base.startswith("/") else []
            found.append(json.dumps([{"filename": path}, *below]))
    return "\n".join(found)


def _files(machine: Machine, words: list[str]) -> str:
    known = sorted(machine.world.files)
    return "".join(f"1:{known.index(path)} {path}\n" for path in words if machine.has(path))


SCRIPTS: dict[str, Callable[[Machine, list[str]], str]] = {
    paths.LOOK: _unusable,
    leases.READ: _held,
    qemus.LOOK: _qemus,
    layers.LIST: _beside,
    layers.CHANGED: lambda _machine, _words: "0\n",
    chains.LOOK: _chains,
    needed.FILES: _files,
    needed.LINKS: lambda _machine, _words: "",
    mounts.LOOK: _mount,
    mounts.LIST: _probe_folders,
    mounts.KEYS: _probe_keys,
    SshdLimitsFact.command[2]: lambda _machine, _words: "maxsessions 10\nmaxstartups 10:30:100\n",
    lockd.READ: lambda _machine, _words: (
        f'lock_manager = "lockd"\n{lockd.MARK}\nfile_lockspace_dir = "/shared/lockspace"\n'
    ),
}
