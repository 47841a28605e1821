"""What is true in a simulated cluster: machines, the domains on them, files that they share, and who has locked what.

Nothing here knows of vmctl's registry. What breaks what may never happen is noted in `broken` at once.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from tests.sim.loop import NOBODY
from vmctl.errors import LibvirtError, NotFound
from vmctl.hosts import domainxml
from vmctl.hosts.shown import LEFT_OVER, NO_VOLUME, JobProgress
from vmctl.model.vms import PowerState

EPOCH = 1_800_000_000.0  # UTC seconds at the beginning
MIB = 1 << 20
RESERVE_MIB = 256  # that the policy keeps free on each host
MOST_OUT, MOST_IN = 1, 2  # live migrations at once that the policy allows a host
PORTS = "/run/ports"  # where the sockets of guests' ports are
TOLD_WITHIN_S = 20.0
COPY_MIB_S = 512.0
EXISTS, INVALID, LOCKED = 9, 55, 38  # libvirt's numbers of errors


@dataclass
class Domain:
    """One domain on one machine: a QEMU where it is on, a definition where it is kept."""

    uuid: str
    name: str
    power: PowerState = PowerState.STOPPED
    why: str = ""
    live: str = ""
    kept: str = ""
    disks: tuple[str, ...] = ()
    key: str = ""  # the file of its lease
    mem_mib: int = 0
    pid: int = 0
    booted: int = 0  # the QEMU in which its guest came up
    started_at: float = 0.0
    job: str = ""  # "out" or "in": a migration
    failed_out: bool = False  # its last job was a migration away that failed
    completed: JobProgress | None = None
    obeys_after_s: float | None = 1.0  # its guest's answer to the power button; None: it does not
    autostart: bool = False
    boots: int = 0  # of its guest, by the reset button
    abort: asyncio.Event = field(default_factory=asyncio.Event)
    ports: list[Callable[[], None]] = field(default_factory=list)  # clients of its guest's port: called at its end

    @property
    def on(self) -> bool:
        """Whether there is a QEMU."""
        return self.power is not PowerState.STOPPED

    @property
    def boot(self) -> str:
        """Its guest's own name for this boot, which goes along in a migration."""
        return f"{self.booted}-{self.boots}"


@dataclass
class LogIn:
    """A process of sshd: it lives until it has heard all that was sent, and the end; or until it is killed."""

    pid: int
    ticks: int
    busy_until: float = 0.0  # something is on its way to it
    killed: bool = False
    gone: Callable[[], None] = lambda: None  # tells the other end that it was

    def sent(self, at: float) -> None:
        """Something arrives at that time."""
        self.busy_until = max(self.busy_until, at)


class Machine:
    """One host: what it runs, whether it is reached, how its libvirtd feels."""

    def __init__(self, world: World, name: str, *, cpus: int = 16, mem_mib: int = 2560) -> None:
        self.world, self.name, self.cpus, self.mem_mib = world, name, cpus, mem_mib
        self.uuid = world.new_uuid()
        self.up, self.cut, self.frozen = True, False, False
        self.mounted = True
        self.boot_id, self.booted_at = world.new_uuid(), world.now
        self.domains: dict[str, Domain] = {}
        self.calls: list[tuple[Callable[[], None], bool]] = []  # that wait for the network, or (True) for libvirtd
        self.listeners: list[Any] = []  # connections that hear of events
        self.changed: list[Callable[[], None]] = []  # called when it may be reached otherwise than before
        self.sockets: dict[str, Any] = {}  # path -> where it leads
        self.log_ins: dict[int, LogIn] = {}  # by the pid of sshd's process
        self.pools: dict[str, str] = {}

    @property
    def reached(self) -> bool:
        """Whether packets go to and fro."""
        return self.up and not self.cut

    # -- what befalls it

    def set_cut(self, cut: bool) -> None:
        """Take its network away, or give it back: what waited in between arrives then."""
        self.cut = cut
        self._turn()

    def set_frozen(self, frozen: bool) -> None:
        """Stop its libvirtd, or let it go on: it then does what it was asked meanwhile."""
        self.frozen = frozen
        self._turn()

    def power_off(self) -> None:
        """The plug is pulled."""
        self.up = False
        for domain in list(self.domains.values()):
            self.world.unlock(self, domain)
            self.end(domain, "")
        self.calls.clear()
        self.sockets.clear()
        self.log_ins.clear()
        self.pools.clear()
        self._turn()

    def boot(self) -> None:
        """It is there again, in another boot; what libvirt starts by itself runs."""
        self.up, self.boot_id, self.booted_at, self.frozen = True, self.world.new_uuid(), self.world.now, False
        for domain in self.domains.values():
            if domain.autostart and domain.kept:
                self.run(domain, domain.kept)
        self._turn()

    def _turn(self) -> None:
        for tell in list(self.changed):
            tell()
        calls, self.calls = self.calls, []
        for call, libvirt in calls:
            self.world.loop.call_later(0.001, self.when_able, call, libvirt)

    def when_able(self, call: Callable[[], None], libvirt: bool = True) -> None:
        """Do something now, or as soon as the network is there, and libvirtd goes on. Where the host is off: never."""
        if not self.up:
            return
        if self.cut or (libvirt and self.frozen):
            self.calls.append((call, libvirt))
            return
        call()

    # -- log-ins

    def log_in(self) -> LogIn:
        """Somebody logs in."""
        made = LogIn(self.world.new_pid(), round(self.world.now * 100))
        self.log_ins[made.pid] = made
        return made

    def hang_up(self, one: LogIn) -> None:
        """The other end has closed: it ends when it hears of that, after all else that was sent."""

        def heard() -> None:
            if self.log_ins.get(one.pid) is one:
                del self.log_ins[one.pid]

        after_s = max(0.0, one.busy_until - self.world.now) + 0.001
        self.world.loop.call_later(after_s, self.when_able, heard, False, context=NOBODY)

    def kill_log_ins(self, words: list[str]) -> str:
        """Processes of sshd, by PID:TICKS: nothing more comes from them."""
        for word in words:
            pid, _, ticks = word.partition(":")
            one = self.log_ins.get(int(pid))
            if one is not None and one.ticks == int(ticks):
                del self.log_ins[one.pid]
                one.killed = True
                self.world.loop.call_later(0.001, self.when_able, one.gone, False, context=NOBODY)
        return ""

    # -- domains

    def find(self, uuid: str) -> Domain:
        if uuid not in self.domains:
            raise NotFound(f"{self.name} has no such domain: no domain with matching uuid '{uuid}'")
        return self.domains[uuid]

    def tell(self, domain: Domain, what: str) -> None:
        """libvirtd says something of a domain to everybody who listens."""
        for listener in list(self.listeners):
            listener.hear(domain.uuid, domain.name, what)

    def create(self, xml: str) -> None:
        """Start a transient domain."""
        found = domainxml.read(xml)
        name = found.definition.name
        self.refuse_twin(found.uuid, name)
        domain = self.domains.get(found.uuid) or Domain(found.uuid, name)
        if domain.on:
            raise LibvirtError(f"libvirt on {self.name}: domain '{name}' is already active", code_number=INVALID)
        self.run(domain, xml)
        self.domains[found.uuid] = domain

    def run(self, domain: Domain, xml: str, *, incoming: bool = False) -> None:
        """A QEMU comes up; raises LibvirtError where it cannot."""
        read = domainxml.read(xml)
        found = read.definition
        disks = tuple(disk.path for disk in found.disks if disk.device == "disk")
        for path in disks if not incoming else ():
            self._must_be_there(path)
        used_mib = found.mem_mib + sum(one.mem_mib for one in self.domains.values() if one.on)
        if used_mib > self.mem_mib - RESERVE_MIB and not incoming:
            self.world.broken.append(f"{self.world.now:.3f}: {self.name} is given {used_mib} MiB of {self.mem_mib}")
        if used_mib > self.mem_mib:
            raise LibvirtError(f"libvirt on {self.name}: cannot set up guest memory: Cannot allocate memory")
        domain.disks, domain.key, domain.mem_mib = disks, lease_of(xml), found.mem_mib
        if not incoming:
            self.world.lock(self, domain)
        domain.live, domain.pid, domain.started_at = with_port(xml, read.uuid), self.world.new_pid(), self.world.now
        domain.job, domain.failed_out, domain.completed, domain.abort = "", False, None, asyncio.Event()
        if incoming:
            domain.power, domain.why, domain.job = PowerState.PAUSED, "starting up", "in"
        else:
            domain.booted = domain.pid
            self.world.guest_boots(domain.uuid)
            self.go(domain)
        self.tell(domain, "started")

    def go(self, domain: Domain) -> None:
        """Its CPUs run, from here on it writes."""
        domain.power, domain.why = PowerState.RUNNING, ""
        self.world.newest[domain.uuid] = domain
        self.world.check_writers(domain)

    def _must_be_there(self, path: str) -> None:
        if not self.has(path):
            raise LibvirtError(
                f"libvirt on {self.name}: Cannot access storage file '{path}': No such file or directory"
            )

    def has(self, path: str) -> bool:
        """Whether it sees that file."""
        return self.mounted and path in self.world.files

    def start(self, uuid: str) -> None:
        """Start from its definition."""
        domain = self.find(uuid)
        if domain.on:
            raise LibvirtError(
                f"libvirt on {self.name}: Requested operation is not valid: domain is already running",
                code_number=INVALID,
            )
        self.run(domain, domain.kept)

    def destroy(self, uuid: str) -> None:
        """Pull the plug; one that is off, or gone, is done."""
        domain = self.domains.get(uuid)
        if domain is not None and domain.on:
            self.world.unlock(self, domain)
            self.end(domain, "put out")

    def end(self, domain: Domain, what: str) -> None:
        """Its QEMU is gone."""
        domain.power, domain.why, domain.live, domain.job = PowerState.STOPPED, "", "", ""
        domain.abort.set()
        ports, domain.ports = domain.ports, []
        for hang_up in ports:
            hang_up()
        if not domain.kept:
            del self.domains[domain.uuid]
        if what:
            self.tell(domain, what)

    def press(self, uuid: str) -> None:
        """The power button: its guest obeys after its time, if it does."""
        domain = self.find(uuid)
        hung = self.world.guests.get(uuid) == "hung"
        if domain.power is PowerState.RUNNING and domain.obeys_after_s is not None and not hung:
            pid = domain.pid
            self.world.loop.call_later(domain.obeys_after_s, self._obey, uuid, pid)

    def _obey(self, uuid: str, pid: int) -> None:
        domain = self.domains.get(uuid)
        if domain is not None and domain.pid == pid and domain.power is PowerState.RUNNING:
            self.destroy(uuid)

    def suspend(self, uuid: str) -> None:
        """Stop its CPUs; libvirt gives its locks back."""
        domain = self.find(uuid)
        if not domain.on:
            raise LibvirtError(f"libvirt on {self.name}: domain is not running", code_number=INVALID)
        if domain.power is PowerState.RUNNING:
            domain.power, domain.why = PowerState.PAUSED, "by request"
            self.world.unlock(self, domain)
            self.tell(domain, "suspended")

    def resume(self, uuid: str) -> None:
        """Let its CPUs go on; its locks are taken again first."""
        domain = self.find(uuid)
        if domain.power is PowerState.RUNNING:
            raise LibvirtError(f"libvirt on {self.name}: domain is already running", code_number=INVALID)
        if not domain.on or domain.job == "in":
            raise LibvirtError(f"libvirt on {self.name}: domain is not running", code_number=INVALID)
        self.world.lock(self, domain)
        self.world.check_memory(domain)
        self.go(domain)
        self.tell(domain, "resumed")

    def reset(self, uuid: str) -> None:
        """The reset button."""
        domain = self.find(uuid)
        if not domain.on:
            raise LibvirtError(f"libvirt on {self.name}: domain is not running", code_number=INVALID)
        domain.boots += 1
        self.world.guest_boots(uuid)

    def refuse_twin(self, uuid: str, name: str) -> None:
        """No two domains of one name. Raises LibvirtError."""
        twin = next((one for one in self.domains.values() if one.name == name and one.uuid != uuid), None)
        if twin is not None:
            raise LibvirtError(
                f"libvirt on {self.name}: operation failed: domain '{name}' already exists with uuid {twin.uuid}",
                code_number=EXISTS,
            )

    def define(self, xml: str) -> None:
        """Keep a definition."""
        found = domainxml.read(xml)
        self.refuse_twin(found.uuid, found.definition.name)
        domain = self.domains.setdefault(found.uuid, Domain(found.uuid, found.definition.name))
        domain.kept = xml

    def undefine(self, uuid: str) -> None:
        """Forget a definition; one that is gone is done."""
        domain = self.domains.get(uuid)
        if domain is not None and not domain.kept:
            raise LibvirtError(f"libvirt on {self.name}: cannot undefine transient domain", code_number=INVALID)
        if domain is not None:
            domain.kept = ""
            if not domain.on:
                del self.domains[uuid]


def with_port(xml: str, uuid: str) -> str:
    """The definition of a domain that runs: libvirt says where the socket of its guest's port is."""
    channel = '<channel type="unix">'
    return xml.replace(f"{channel}<target", f'{channel}<source mode="bind" path="{PORTS}/{uuid}"/><target')


@lru_cache(maxsize=64)
def lease_of(xml: str) -> str:
    """The path of a domain's lease; empty where it has none."""
    lease = domainxml.parse(xml).find("devices/lease")
    if lease is None:
        return ""
    target = lease.find("target")
    assert target is not None
    return f"{target.get('path')}/{lease.findtext('lockspace')}/{lease.findtext('key')}"


class World:
    """All machines, and what they share: files below /shared, and the locks in /shared/lockspace."""

    def __init__(self, loop: Any, seed: int) -> None:
        self.loop = loop
        self.random = random.Random(seed)
        self.machines: dict[str, Machine] = {}
        self.files: dict[str, bytes] = {}
        self.locks: dict[str, tuple[str, str]] = {}  # path -> (machine, domain's UUID)
        self.broken: list[str] = []  # what may never happen, and did
        self.told: list[str] = []  # what happened, line by line
        self.peaceful = False  # nothing is done to it but what it is asked for: then nothing fails
        self.guests: dict[str, str] = {}  # VM -> how its guest is, where an agent speaks in it
        self.guests_at: dict[str, float] = {}  # since when
        self.newest: dict[str, Domain] = {}  # VM -> the copy that has all of its memory as it is
        self.locks_hold = True  # False: as on storage where no lock guards anything
        self._pid = 1000

    @property
    def now(self) -> float:
        """Seconds since the beginning."""
        return float(self.loop.now)

    def log(self, text: str) -> None:
        """A line of what happened."""
        self.told.append(f"{self.now:9.3f} {text}")

    def new_uuid(self) -> str:
        """A UUID by the seed."""
        digits = f"{self.random.getrandbits(128):032x}"
        return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"

    def new_pid(self) -> int:
        """A number that no process has had."""
        self._pid += 1
        return self._pid

    # -- locks, as virtlockd keeps them in its lockspace, and QEMU on the disks' own files

    def lock(self, machine: Machine, domain: Domain) -> None:
        """Take the lease and the locks of the disks: all, or none. Raises LibvirtError."""
        me = machine.name, domain.uuid
        if domain.key and not machine.has(domain.key):
            raise LibvirtError(f"libvirt on {machine.name}: unable to open {domain.key}: No such file or directory")
        wanted = [domain.key] if domain.key else []
        wanted += [disk_lock(path) for path in domain.disks]
        for path in wanted if self.locks_hold else ():
            if self.locks.get(path, me) != me:
                resource = path.rpartition("/")[2]
                raise LibvirtError(
                    f"libvirt on {machine.name}: resource busy: Lockspace resource '{resource}' is locked",
                    code_number=LOCKED,
                )
        self._ask_qemu(machine, domain)
        self.locks |= dict.fromkeys(wanted, me)

    def _ask_qemu(self, machine: Machine, domain: Domain) -> None:
        """QEMU's own lock on an image: any other QEMU that has it open, even paused, keeps it."""
        if not self.locks_hold:
            return
        for other in self.machines.values():
            for one in other.domains.values():
                same = one.on and set(one.disks) & set(domain.disks)
                if same and one is not domain and not (one.uuid == domain.uuid and one.why in LEFT_OVER):
                    raise LibvirtError(
                        f"libvirt on {machine.name}: internal error: process exited while connecting to monitor: "
                        f'Failed to get "write" lock. Is another process using the image [{min(same)}]?'
                    )

    def unlock(self, machine: Machine, domain: Domain) -> None:
        """Give back what it holds."""
        me = machine.name, domain.uuid
        self.locks = {path: holder for path, holder in self.locks.items() if holder != me}

    def check_writers(self, domain: Domain) -> None:
        """No disk is written by two QEMUs whose CPUs run."""
        for path in domain.disks:
            writers = [
                f"{one.name} on {machine.name}"
                for machine in self.machines.values()
                for one in machine.domains.values()
                if one.power is PowerState.RUNNING and path in one.disks
            ]
            if len(writers) > 1:
                self.broken.append(f"{self.now:.3f}: {path} is written by {' and by '.join(writers)}")

    def check_memory(self, domain: Domain) -> None:
        """No guest goes on with a memory that is older than its disk: another copy has run since."""
        if self.newest.get(domain.uuid) is not domain:
            self.broken.append(f"{self.now:.3f}: {domain.name} goes on, and another copy has written its disk since")

    # -- files

    def remove(self, path: str) -> None:
        """Delete a file; one that a QEMU has open may not go."""
        for machine in self.machines.values():
            for one in machine.domains.values():
                if one.on and path in one.disks:
                    self.broken.append(f"{self.now:.3f}: {path} is deleted while {one.name} runs on {machine.name}")
        self.files.pop(path, None)

    def guest_boots(self, uuid: str) -> None:
        """A guest begins anew: whatever was wrong in it is over, unless it is cursed."""
        if self.guests.get(uuid) in ("sick", "hung"):
            self.set_guest(uuid, "well")

    def set_guest(self, uuid: str, how: str) -> None:
        """Its guest is so from now on."""
        self.guests[uuid], self.guests_at[uuid] = how, self.now

    def check_sick(self, uuid: str) -> None:
        """Nobody treats a guest that is well, and has been for so long that it was told."""
        since = self.guests_at.get(uuid, 0.0)
        if self.guests.get(uuid, "well") == "well" and self.now - since > TOLD_WITHIN_S:
            self.broken.append(f"{self.now:.3f}: {uuid} is treated, and its guest is well since {since:.0f}")

    def where(self, uuid: str) -> list[tuple[Machine, Domain]]:
        """Every QEMU of a VM."""
        return [
            (machine, machine.domains[uuid])
            for machine in self.machines.values()
            if uuid in machine.domains and machine.domains[uuid].on
        ]


def disk_lock(path: str) -> str:
    """Where virtlockd locks a disk: by the hash of its path."""
    return f"/shared/lockspace/{hashlib.sha256(path.encode()).hexdigest()}"


def no_volume(host: str, name: str) -> LibvirtError:
    """There is no such file."""
    return LibvirtError(
        f"libvirt on {host}: Storage volume not found: no storage vol with matching path {name}", code_number=NO_VOLUME
    )
