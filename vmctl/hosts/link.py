"""The standing link to one host: SSH, libvirt through it, and the load loop; supervised, so that it comes back.

One link's trouble stays its own. What a link knows is a value with an age: nobody above waits for a host to answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import TypeVar

from vmctl.errors import CommandFailed, HostError, HostKeyChanged, LibvirtError, NotAllowed, Unreachable, VmctlError
from vmctl.hosts import sockets
from vmctl.hosts.collect import Collector
from vmctl.hosts.facts import Fact, RawSample
from vmctl.hosts.shown import About, DomainEvent, DomainSeen
from vmctl.hosts.ssh import HostSSH, Target, backoff
from vmctl.hosts.virt import Virt
from vmctl.local import logcontext
from vmctl.local.config import Settings
from vmctl.model.hosts import HostState
from vmctl.model.records import HostRecord
from vmctl.model.replicas import HostSession
from vmctl.model.states import LINK
from vmctl.model.vms import PowerState
from vmctl.ports import SYSTEM, Parts

T = TypeVar("T")
log = logging.getLogger("vmctl.link")
LIBVIRT_SOCKETS = ("/run/libvirt/libvirt-sock", "/run/libvirt/virtqemud-sock")
FIRST_PERIOD_S = 1.0
DOMAINS_EVERY_S = 10.0  # events tell at once; this finds what an event missed

OnSample = Callable[["HostLink", RawSample], None]
OnDomains = Callable[["HostLink"], None]
OnLogin = Callable[["HostLink"], Awaitable[None]]  # before anything is done there; it may refuse


async def _nobody_minds(_link: HostLink) -> None:
    return


class HostLink:
    """One host: `start` keeps a link up until `close`; or `connect` once, for a check."""

    def __init__(
        self,
        record: HostRecord,
        keys: tuple[Path, ...],
        runtime: Path,
        settings: Settings,
        gate: asyncio.Semaphore,
        parts: Parts = SYSTEM,
    ) -> None:
        self.clock, self.ids = parts.clock, parts.ids
        self.record = record
        self.name = record.name
        self.state = HostState.UNKNOWN
        self.why = "not connected yet"
        self.mend = ""  # what may bring it back, where that is known
        self.since = self.clock.now()
        self.about: About | None = None
        self.cpus: dict[str, bool] = {}  # guests' <cpu> elements, and whether this host can give them
        self.size: tuple[int, int] | None = None  # CPUs and MiB of memory, as the doctor measured them
        self.domains: dict[str, DomainSeen] = {}
        self.domains_at: float | None = None  # monotonic
        self.moved_away: set[str] = set()  # UUIDs of domains that left by a migration, as libvirt told
        self.put_out: set[str] = set()  # UUIDs of domains that shut down, or that somebody destroyed, as libvirt told
        self.lost_since = 0.0  # when it stopped answering, UTC seconds
        self.heard_since = math.inf  # since when libvirt tells of all that happens to domains here, monotonic
        self.ran_at: dict[str, float] = {}  # UUID -> when its CPUs were last known to run here, monotonic; not before
        self.seen_running: dict[str, float] = {}  # UUID -> when it was last asked for and shown to run; not after
        self.changed: set[str] = set()  # UUIDs of domains that libvirt told something of since they were read whole
        self.read_at: dict[str, float] = {}  # UUID -> when its domain was read whole, monotonic
        self.boot_id = ""  # of the boot that it is in, once it was heard
        self.tried = False  # to reach it, at least once
        self.told_lost = False  # that it does not answer
        self.judged_boot = ""  # the boot that what it shows is judged by, while it is followed
        self.rebooted = False  # it is in another boot than the registry knows of: what ran there has ended with that
        self.on_sample: OnSample = lambda _link, _sample: None
        self.on_domains: OnDomains = lambda _link: None
        self.on_login: OnLogin = _nobody_minds
        self.session: HostSession | None = None  # which log-in it uses
        target = Target(record.name, record.address, record.port, record.ssh_user, record.host_key)
        self._settings = settings
        self._gate = gate
        self.ssh = self._new_ssh(target, keys)
        self.virt = self._new_virt()
        self.socket = runtime / f"{record.name}.libvirt"
        self._refresh = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._up = asyncio.Event()
        self._wanted = asyncio.Event()
        self._sampling = asyncio.Event()
        self._sampling.set()

    # What reaches the host. A simulated one has others, and everything else of a link is the same.

    def _new_ssh(self, target: Target, keys: tuple[Path, ...]) -> HostSSH:
        return HostSSH(target, keys, self._settings.timeouts)

    def _new_collector(self) -> Collector:
        return Collector(self.ssh, watched=self._settings.ledger.daemons)

    def _new_virt(self) -> Virt:
        return Virt(self.name, self._settings.timeouts.libvirt_s, self._settings.timeouts.libvirt_keepalive_s)

    @property
    def online(self) -> bool:
        """Whether the host answers, as far as is known."""
        return self.state is HostState.ONLINE

    # -- the link

    async def connect(self) -> None:
        """SSH, then libvirt through it. Raises HostError or NotAllowed."""
        async with self._gate:  # logging in costs CPU on both sides: all at once would time out
            await self.ssh.connect()
            await self.on_login(self)
            await self._forward_libvirt()
            self.virt = self._new_virt()
            await self.virt.open(self.socket, self._on_event)
            self.heard_since = self.clock.monotonic()
            self.about, self.cpus = await self.virt.about(), {}
            self.boot_id = self.session.boot_id if self.session is not None else ""
            self._check_machine(self.about)
            self.changed |= self.read_at.keys()  # whatever happened while nobody listened
            self.domains_at = None  # what it showed before says nothing of what it shows now
            self.put_out.clear()  # it may have been started again since

    def _check_machine(self, about: About) -> None:
        """Machines made from one template show one SSH key: what one of them says is not said of another one's VMs."""
        if self.record.machine and about.host_uuid != self.record.machine:
            raise HostKeyChanged(
                f"{self.name} is another machine: libvirt's host UUID is {about.host_uuid}, not {self.record.machine}",
                hint=f"if you replaced it: vmctl host remove {self.name} --force, then vmctl host add {self.name}",
            )

    async def _forward_libvirt(self) -> None:
        problem: VmctlError | None = None
        for path in LIBVIRT_SOCKETS:
            try:
                await self.ssh.forward_to_local(path, self.socket)
                return
            except (CommandFailed, NotAllowed) as err:
                problem = problem or err
        raise self._no_libvirt(await self.ask(sockets.look(LIBVIRT_SOCKETS)), problem)

    def _no_libvirt(self, state: str, problem: VmctlError | None) -> NotAllowed:
        """Why its socket could not be forwarded, by what a session sees of it."""
        name, user = self.name, self.record.ssh_user
        if state == sockets.OPEN:
            return NotAllowed(
                f"{name}: libvirt's socket is there, but sshd forbids forwarding it",
                hint=f"on {name}: set AllowTcpForwarding yes and AllowStreamLocalForwarding yes in sshd_config, and no "
                "DisableForwarding (sshd -T | grep -i forwarding)",
            )
        if state == sockets.CLOSED:
            return NotAllowed(
                f"{name}: {user} may not open libvirt's socket there",
                hint=f"on {name}: adduser {user} libvirt && adduser {user} libvirt-qemu",
            )
        return NotAllowed(
            f"{name}: libvirtd does not run there: {problem}", hint=f"on {name}: systemctl enable --now libvirtd"
        )

    async def ask(self, fact: Fact[T]) -> T:
        """What the host tells of itself. Raises HostError, also for an answer that cannot be read."""
        return fact.read((await self.ssh.run(fact.command)).out, self.name)

    async def measure(self, timeout_s: float) -> RawSample:
        """One sample through a channel of its own, as the load loop takes them. Raises HostError."""
        collector = self._new_collector()
        try:
            return await collector.sample(timeout_s)
        finally:
            collector.close()

    @property
    def sampling(self) -> bool:
        """Whether its load is sampled through this link."""
        return self._sampling.is_set()

    def sample(self, on: bool) -> None:
        """Sample its load from now on, or leave that to another controller."""
        if on:
            self._sampling.set()
        else:
            self._sampling.clear()

    def start(self) -> None:
        """Keep the link up, in the background."""
        self._task = asyncio.create_task(self._supervise(), name=f"link {self.name}")

    async def wait_online(self, limit_s: float) -> bool:
        """Wait for the host to answer, but not long; one that is waited for is tried again at once."""
        if not self.online:
            self._wanted.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                await self._up.wait()
        return self.online

    async def close(self) -> None:
        """Let go of the host."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._drop()

    async def _drop(self) -> None:
        await self.virt.close()
        await self.ssh.close()
        self.socket.unlink(missing_ok=True)
        self.session = None

    async def _supervise(self) -> None:
        logcontext.only(host=self.name)  # it outlives the task that has added the host
        attempt = 0
        while True:
            try:
                await self.connect()
                await self._first_list()
                self._set(HostState.ONLINE, "")
                attempt = 0
                await self._serve()
            except HostKeyChanged as err:
                self._set(HostState.UNTRUSTED, err.message, err.hint)
            except VmctlError as err:
                self._set(HostState.UNKNOWN, err.message, err.hint)
            finally:
                self._up.clear()
                await self._drop()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(backoff(attempt)):
                    await self._wanted.wait()
            self._wanted.clear()
            attempt += 1

    def _set(self, state: HostState, why: str, mend: str = "") -> None:
        LINK.check(self.state, state)
        self.tried = True
        if (state, why) != (self.state, self.why):
            log.info("%s is %s%s", self.name, state, f": {why}" if why else "")
        if state is not self.state and self.online:
            self.lost_since = self.clock.now()
        if state is not self.state:
            self.since = self.clock.now()
        self.state, self.why, self.mend = state, why, mend
        if state is HostState.ONLINE:
            self._up.set()
        self.on_domains(self)

    async def _serve(self) -> None:
        """Collect and watch until something breaks; then say what."""
        work = [
            asyncio.create_task(self._collect(), name=f"collect {self.name}"),
            asyncio.create_task(self._watch_domains(), name=f"domains {self.name}"),
            asyncio.create_task(self._until_lost(), name=f"lost {self.name}"),
        ]
        try:
            done, _ = await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in work:
                task.cancel()
            await asyncio.gather(*work, return_exceptions=True)

    async def _until_lost(self) -> None:
        raise Unreachable(f"{self.name}: the SSH connection was lost: {await self.ssh.wait_closed()}")

    async def _collect(self) -> None:
        """One sample a period. A sample that does not come costs only itself: the channel is opened anew."""
        while True:
            await self._sampling.wait()
            await self._collect_while_wanted()

    async def _collect_while_wanted(self) -> None:
        collector = self._new_collector()
        period = FIRST_PERIOD_S  # a load needs two samples: the second one is not waited for long
        try:
            while self.sampling:
                began = self.clock.monotonic()
                try:
                    self.on_sample(self, await collector.sample(timeout_s=max(2.0, self._settings.sample_period_s)))
                except HostError as err:
                    log.info("%s: no sample: %s", self.name, err)
                await asyncio.sleep(max(0.1, period - (self.clock.monotonic() - began)))
                period = self._settings.sample_period_s
        finally:
            collector.close()

    async def _first_list(self) -> None:
        """A host whose libvirt answers, and hangs as soon as it is asked for its domains, is not one to work with."""
        try:
            await self._list_domains()
        except HostError as err:
            err.hint = (
                f"on {self.name}: virsh list; if that hangs: systemctl restart virtlockd libvirtd (its VMs go on)"
            )
            raise

    async def _list_domains(self) -> None:
        try:
            await self.refresh_domains()
        except LibvirtError as err:  # one odd domain is no reason to let go of the host
            log.warning("%s: domains not read: %s", self.name, err)

    async def _watch_domains(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(DOMAINS_EVERY_S):
                    await self._refresh.wait()
            self._refresh.clear()
            if not await self.virt.alive():
                raise Unreachable(f"{self.name}: the connection to libvirt was lost")
            await self._list_domains()

    def _on_event(self, event: DomainEvent) -> None:
        log.debug("%s: %s %s", self.name, event.name, event.what)
        self.changed.add(event.uuid)
        if event.what == "resumed":
            self.ran_at[event.uuid] = self.clock.monotonic()
        if event.what == "migrated":
            self.moved_away.add(event.uuid)
        elif event.what == "put out":
            self.put_out.add(event.uuid)
        elif event.what == "started":
            self.moved_away.discard(event.uuid)
            self.put_out.discard(event.uuid)
        self._refresh.set()

    async def learn_cpus(self, cpus: Iterable[str]) -> None:
        """Ask whether the host can give guests these CPUs, each once per connection. Raises HostError."""
        for cpu in sorted(set(cpus) - self.cpus.keys() - {""}):
            if self.about is not None:
                self.cpus[cpu] = await self.virt.cpu_fits(self.about.accel, cpu)

    async def refresh_domains(self) -> dict[str, DomainSeen]:
        """Read the host's domains now."""
        asked = self.clock.monotonic()
        before, self.domains = self.domains, {domain.uuid: domain for domain in await self.virt.domains()}
        for uuid, domain in self.domains.items():
            if uuid in before and domain.shape != before[uuid].shape:
                self.changed.add(uuid)
        # Whatever was told before: it is here. It may have come back while nobody listened.
        here = {uuid for uuid, domain in self.domains.items() if domain.power is PowerState.RUNNING}
        self.ran_at |= dict.fromkeys(here, self.clock.monotonic())
        self.seen_running |= dict.fromkeys(here, asked)
        self.moved_away -= here
        self.put_out -= here
        self.domains_at = self.clock.monotonic()
        self.on_domains(self)
        return self.domains
