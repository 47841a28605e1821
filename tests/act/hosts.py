"""Hosts as `act` sees them, small: what a host shows is a dict, and what is done to it is written down."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from tests.sim.world import lease_of
from vmctl.errors import HostError, LibvirtError, NotFound, Unreachable
from vmctl.hosts import doctor, domainxml, mounts, ondisk
from vmctl.hosts.doctor import Check
from vmctl.hosts.facts import Fact
from vmctl.hosts.leaseprobe import PROBE
from vmctl.hosts.port import Link
from vmctl.hosts.runprograms import BEGIN
from vmctl.hosts.shown import GONE, About, DomainSeen, JobProgress, Shown
from vmctl.hosts.ssh import HostKey, Ran
from vmctl.model.hosts import HostState
from vmctl.model.records import HostRecord
from vmctl.model.vms import PowerState, Spec
from vmctl.ports import SYSTEM
from vmctl.services import Services

UUID = "11111111-2222-3333-4444-555555555555"
Files = dict[str, bytes]
HELD = b"held"  # what is in a key whose lease a probe has


def domain(power: PowerState, **more: Any) -> DomainSeen:
    """The VM web1 as a host shows it."""
    return replace(DomainSeen(UUID, "web1", power), **more)


class _Virt:
    """The hypervisor of a host: the same object, but for one name that means something else on a link."""

    def __init__(self, host: FakeHost) -> None:
        self._host = host

    def __getattr__(self, name: str) -> Any:
        return getattr(self._host, name)

    async def domains(self) -> tuple[DomainSeen, ...]:
        return tuple(self._host.domains.values())


class FakeHost:
    """Link and libvirt of one host at once. `files` is the shared storage, the same for all hosts: path -> bytes."""

    def __init__(self, name: str, *domains: DomainSeen, files: Files | None = None) -> None:
        self.name, self.online, self.why = name, True, ""
        self.record = HostRecord(name, name, "key", "fingerprint", 1.0, about={"host_uuid": f"machine-{name}"})
        self.files: Files = {} if files is None else files
        self.rebooted, self.tried, self.ssh = False, True, self
        self.about: About | None = None
        self.leases: dict[str, str] = {}  # probe -> its key's path
        self.cut = False  # its programs answer no more, and its locks are free
        self.sockets: set[str] = set()  # that are offered to it
        self.after: tuple[PowerState | None, PowerState | None] = (None, PowerState.RUNNING)  # here, there: a migration
        self.size: tuple[int, int] | None = None
        self.boot_id, self.since = "boot-1", 0.0
        self.judged_boot, self.told_lost = "boot-1", False
        self.changed: set[str] = set()
        self.read_at: dict[str, float] = {}
        self.spec = Spec(UUID, "web1", 1, 512)  # as which web1 runs there
        self.kept: dict[str, Shown] = {}  # what is shown of domains besides their state
        self.changed_at: dict[str, float] = {}  # file -> when, UTC seconds
        self.below: dict[str, list[str]] = {}  # disk -> the files below it
        self.qemus: list[str] = []  # processes of QEMUs that libvirt does not show
        self.heard_since, self.ran_at = 0.0, dict[str, float]()
        self.seen_running = dict.fromkeys([UUID], 1.0)
        self.moved_away: set[str] = set()
        self.put_out: set[str] = set()  # somebody destroyed them
        self.lost_since = 0.0
        self.lost: set[str] = set()  # files that are not there
        self.search_ends = "0"  # how a search for files ends
        self.odd: set[str] = set()  # pipes and the like
        self.links: set[str] = set()  # folders that are links
        self.same: Mapping[str, str] = {}  # another name of a file -> the file
        self.out = True  # what is paused there is the source of a migration that broke
        self.started: list[str] = []  # XML of domains
        self.domains_at: float | None = 0.0
        self.domains = {found.uuid: found for found in domains}
        self.xmls: dict[str, str] = {}
        self.done: list[str] = []
        self.target: FakeHost | None = None  # where what migrates goes
        self.socket = f"/run/{name}.libvirt"
        self.fails: list[HostError] = []  # raised by the next acts, one each
        self.failing: dict[str, HostError] = {}  # raised by the next act of that name
        self.later: list[Callable[[], None]] = []  # what happens meanwhile: one thing after each look
        self.virt = _Virt(self)
        self.clock, self.ids = SYSTEM.clock, SYSTEM.ids
        self.compares = True  # CPUs
        self.free = 1 << 30  # bytes of its storage
        self.loses_writes = False
        self.closed = False  # its files may only be read by libvirt
        self.cpus: dict[str, bool] = {}

    sampling = True

    def sample(self, on: bool) -> None:
        self.sampling = on

    def shows(self, power: PowerState | None, **more: Any) -> None:
        """From now on the host shows web1 like that; None: not at all."""
        self.domains = {uuid: found for uuid, found in self.domains.items() if uuid != UUID}
        self.domains |= {} if power is None else {UUID: domain(power, **more)}

    @property
    def state(self) -> HostState:
        return HostState.ONLINE if self.online else HostState.UNKNOWN

    def of(self, record: HostRecord) -> FakeHost:
        """The host as that record has it."""
        self.record = record
        return self

    def silent(self) -> None:
        """The host answers no more."""
        self.online, self.why = False, "no route"

    def _act(self, what: str, uuid: str, power: PowerState | None) -> None:
        """Do that to a domain; of one that is defined, the definition stays when it ends."""
        self.done.append(what)
        if what in self.failing:
            raise self.failing.pop(what)
        if self.fails:
            raise self.fails.pop(0)
        found = self._known(uuid)
        if power is None and (uuid in self.kept and self.kept[uuid].kept):
            power = PowerState.STOPPED
        if power is None:
            del self.domains[uuid]
            if uuid != UUID:
                del self.kept[uuid]
        else:
            self.domains[uuid] = replace(found, power=power, why="")

    def _known(self, uuid: str) -> DomainSeen:
        if uuid not in self.domains:
            raise NotFound(f"{self.name} has no such domain")
        return self.domains[uuid]

    # -- files

    def _answers(self, what: str) -> None:
        self.done.append(what)
        if not self.online:
            raise Unreachable(f"{self.name} is gone")
        if what in self.failing:
            raise self.failing.pop(what)

    async def ensure_pool(self, name: str, path: str) -> None:
        self._answers("ensure_pool")

    async def drop_pool(self, name: str) -> None:
        self._answers("drop_pool")

    async def create_volume(self, pool_path: str, xml: str) -> str:
        name = domainxml.parse(xml).findtext("name", "")
        self._answers("create_volume")
        path = f"{pool_path}/{name}"
        if path in self.files:
            raise LibvirtError(f"storage volume '{name}' exists already")
        self.files[path] = b""
        if "created" in self.failing:  # it was made, and the reply was lost
            raise self.failing.pop("created")
        return path

    async def copy_volume(self, pool_path: str, xml: str, source: str) -> str:
        return await self.create_volume(pool_path, xml)

    async def resize_volume(self, pool_path: str, name: str, capacity_bytes: int) -> None:
        self._answers("resize_volume")

    async def has_volume(self, pool_path: str, name: str) -> bool:
        self._answers("has_volume")
        return f"{pool_path}/{name}" in self.files

    async def delete_volume(self, pool_path: str, name: str) -> None:
        self._answers("delete_volume")
        self.files.pop(f"{pool_path}/{name}", None)

    async def upload(
        self, pool_path: str, name: str, pieces: Iterable[bytes | int], *, sparse: bool = False, offset: int = 0
    ) -> None:
        self._answers("upload")
        data = b"".join(bytes(piece) if isinstance(piece, int) else piece for piece in pieces)
        if f"{pool_path}/{name}" not in self.files:
            raise LibvirtError(f"no storage vol with matching path {name}", code_number=GONE[0])
        was = self.files[f"{pool_path}/{name}"].ljust(offset, b"\0")
        data = bytes(len(data)) if self.loses_writes else data
        self.files[f"{pool_path}/{name}"] = was[:offset] + data + was[offset + len(data) :]
        if "uploaded" in self.failing:  # it was written, and the reply was lost
            raise self.failing.pop("uploaded")

    async def download(self, pool_path: str, name: str, most: int, offset: int = 0) -> bytes:
        self._answers("download")
        if f"{pool_path}/{name}" not in self.files:
            raise LibvirtError(f"no storage vol with matching path {name}", code_number=GONE[0])
        return self.files[f"{pool_path}/{name}"][offset : offset + most]

    async def drop_pools_below(self, path: str) -> None:
        self._answers("drop_pools_below")

    async def ask(self, fact: Fact[Any]) -> Any:
        self._answers("ask")
        if any("backing-chain" in word for word in fact.command):
            chains = [[{"filename": path} for path in (disk, *self.below.get(disk, ()))] for disk in fact.command[4:]]
            return fact.read("".join(map(json.dumps, chains)), self.name)
        if any(known in word for word in fact.command for known in ("test -e", "test -L", "%d:%i", "-newermt")):
            return fact.read((await self.run(fact.command)).out, self.name)
        if ondisk.SYNC in fact.command:
            self._answers("sync")
            return True
        if fact.parse is mounts.parse:
            return mounts.Mount(fact.command[-1], "nfs", "server:/s")
        if mounts.LIST in fact.command or mounts.KEYS in fact.command:
            return fact.read("\n".join(self._names(fact.command[-1], folders=mounts.LIST in fact.command)), self.name)
        if any("qemu*|kvm*" in word for word in fact.command):
            return fact.read("\n".join(self.qemus), self.name)
        if any("%Y %n" in word for word in fact.command):
            return fact.read((await self.run(fact.command)).out, self.name)
        return fact.read(f"{1 << 30} {self.free} 1", self.name)  # how much room there is: nothing else is asked

    def _names(self, path: str, *, folders: bool) -> set[str]:
        below = [file.removeprefix(f"{path}/") for file in self.files if file.startswith(f"{path}/")]
        return {name.partition("/")[0] for name in below if ("/" in name) == folders}

    async def run(self, argv: Sequence[str], *, check: bool = True, timeout_s: float = 0.0, stdin: bytes = b"") -> Ran:
        """Which of the files is not there, or lies beside a disk; all else is done."""
        if BEGIN in argv:  # a run that ends at once
            self._answers("begin")
            return Ran(0, "= 0 boot-1 boot-1 5 6 no boot-1 7 8 no 0 1.0 no 0 0 n\n", "")
        if ondisk.CHECKSUM in argv:
            return self._checksum(argv[-1])
        if argv[0] == "rm":
            self.sockets.discard(argv[-1])
        if self.cut:
            self.files |= dict.fromkeys(self.leases.values(), b"")
            raise Unreachable(f"{self.name} is gone")
        if any("%Y %n" in word for word in argv):
            prefix = f"{argv[-2]}/{argv[-1]}"
            lines = [
                f"{self.changed_at.get(path, 0)} {path}\n" for path in sorted(self.files) if path.startswith(prefix)
            ]
            return Ran(0, "".join(lines), "")
        if any("-newermt" in word for word in argv):
            since = float(argv[6].removeprefix("@"))
            newer = [path for path, at in self.changed_at.items() if path.startswith(f"{argv[4]}/") and at > since]
            return Ran(0, "".join(f"{path}\n" for path in [*newer, self.search_ends]), "")
        if any("test -b" in word for word in argv):
            gone = [f"gone {word}\n" for word in argv if word in self.lost]
            return Ran(0, "".join([*gone, *(f"odd {word}\n" for word in argv if word in self.odd)]), "")
        if any("test -L" in word for word in argv):
            return Ran(0, "".join(f"{word}\n" for word in argv if word in self.links), "")
        if any("%d:%i" in word for word in argv):
            known = [(self.same.get(word, word), word) for word in argv if word in self.files or word in self.same]
            return Ran(0, "".join(f"1:{number} {word}\n" for number, word in known), "")
        return Ran(0, "".join(f"{word}\n" for word in argv if word in self.lost), "")

    def _checksum(self, path: str) -> Ran:
        """What is on the disk; `closed` to a user who may not read it."""
        self._answers("checksum")
        data = self.files[path]
        told = f"size {len(data)}\nread 0\n{hashlib.sha256(data).hexdigest()}  -\n"
        return Ran(0, "closed\n" if self.closed else told, "")

    # -- domains

    async def shown(self, uuid: str) -> Shown:
        self._known(uuid)
        if uuid in self.kept:
            return self.kept[uuid]
        xml = self.xmls.get(uuid) or domainxml.build(replace(self.spec, uuid=uuid), domainxml.Site("kvm"))
        runs = self.domains[uuid].power is not PowerState.STOPPED
        kept = self.domains[uuid].persistent or uuid in self.xmls
        return Shown(live=xml if runs else "", kept=xml if kept else "")

    async def networks(self) -> frozenset[str]:
        return frozenset()

    async def volume_path(self, pool: str, volume: str) -> str:
        return f"/pools/{pool}/{volume}"

    async def define(self, xml: str) -> None:
        self.done.append("define")
        if "define" in self.failing:
            raise self.failing.pop("define")
        found = domainxml.read(xml)
        self.kept[found.uuid] = Shown(kept=xml)
        self.domains.setdefault(
            found.uuid, DomainSeen(found.uuid, found.definition.name, PowerState.STOPPED, persistent=True)
        )

    async def undefine(self, uuid: str) -> None:
        self.done.append("undefine")
        self.kept.pop(uuid, None)
        found = self.domains.get(uuid)
        if found is not None and found.power is PowerState.STOPPED:
            del self.domains[uuid]

    async def start(self, uuid: str) -> None:
        self.done.append("start")
        if "start" in self.failing:
            raise self.failing.pop("start")
        if self._known(uuid).power is PowerState.RUNNING:
            raise LibvirtError("domain is already running")
        self.domains[uuid] = replace(self.domains[uuid], power=PowerState.RUNNING)

    async def set_autostart(self, uuid: str, on: bool) -> None:
        self.done.append(f"autostart {on}")

    async def create(self, xml: str) -> None:
        self.started.append(xml)
        found = domainxml.read(xml)
        self.done.append("create")
        if "create" in self.failing:
            raise self.failing.pop("create")
        if found.uuid in self.domains:
            raise LibvirtError(f"domain '{found.definition.name}' already exists")
        if found.definition.name.startswith(PROBE):
            self._take_lease(found.uuid, xml)
        self.domains[found.uuid] = DomainSeen(found.uuid, found.definition.name, PowerState.RUNNING)
        if found.uuid != UUID:  # what web1 is, tests say
            self.kept[found.uuid] = Shown(live=xml)

    def _take_lease(self, probe: str, xml: str) -> None:
        key = lease_of(xml)
        if self.files[key] == HELD:
            raise LibvirtError("Failed to acquire lock: the lease is held")
        self.files[key], self.leases[probe] = HELD, key

    async def shutdown(self, uuid: str) -> None:
        """The guest obeys at once."""
        self._act("shutdown", uuid, None)

    async def domain(self, uuid: str) -> DomainSeen | None:
        if not self.online:
            raise Unreachable(f"{self.name} is gone")
        found = self.domains.get(uuid)
        if self.later:
            self.later.pop(0)()
        return found

    async def destroy(self, uuid: str) -> None:
        if uuid in self.domains or self.fails or "destroy" in self.failing:
            self._act("destroy", uuid, None)
        if self.files.get(key := self.leases.pop(uuid, "")) == HELD:
            self.files[key] = b""

    async def resume(self, uuid: str) -> None:
        self._act("resume", uuid, PowerState.RUNNING)

    async def suspend(self, uuid: str) -> None:
        self._act("suspend", uuid, PowerState.PAUSED)

    async def reset(self, uuid: str) -> None:
        self._act("reset", uuid, PowerState.RUNNING)

    async def wake(self, uuid: str) -> None:
        self._act("wake", uuid, PowerState.RUNNING)

    async def connect(self) -> None:
        self._answers("connect")

    async def reach(self, address: str, port: int) -> str:
        self._answers("reach")
        return "refused"

    async def close(self) -> None:
        self.done.append("close")

    async def power(self, uuid: str) -> tuple[PowerState, str]:
        found = self._known(uuid)
        return found.power, found.why

    async def xml(self, uuid: str, *, migratable: bool = False) -> str:
        return self.xmls.get(uuid) or (await self.shown(uuid)).live

    async def broke(self, uuid: str) -> bool:
        return self.out

    async def job(self, uuid: str, *, completed: bool = False) -> JobProgress:
        return JobProgress(False, downtime_ms=42)

    async def set_max_downtime(self, uuid: str, downtime_ms: int) -> None:
        return

    async def offer(self, path: str, target: str) -> Offered:
        self.done.append("offer")
        self.sockets.add(path)
        return Offered(self, path)

    async def withdraw(self, path: str) -> None:
        self.sockets.discard(path)

    async def migrate(self, uuid: str, socket: str, uri: str, **more: Any) -> None:
        """It goes to the target at once, or leaves behind what `after` says."""
        self.done.append("migrate")
        assert self.target is not None
        here, there = self.after
        self.target.shows(there, why="migrating" if there is PowerState.PAUSED else "")
        self.shows(here, why="migrating" if here is PowerState.PAUSED else "")
        if "migrated" in self.failing:
            raise self.failing.pop("migrated")

    async def learn_cpus(self, cpus: Iterable[str]) -> None:
        if not self.compares:
            raise LibvirtError("it cannot compare CPUs")
        self.cpus |= dict.fromkeys(cpus, True)

    async def refresh_domains(self) -> dict[str, DomainSeen]:
        return self.domains

    async def wait_online(self, limit_s: float) -> bool:
        return self.online


class Offered:
    """A socket on a host."""

    def __init__(self, host: FakeHost, path: str) -> None:
        self._host, self._path = host, path

    async def close(self) -> None:
        await self._host.withdraw(self._path)


def joining(services: Services, files: Files) -> FakeHost:
    """kvm3, which may join: whoever makes a link to it makes this one."""
    made = FakeHost("kvm3", files=files)
    made.about = About("9.0.0", "7.2.0", "kvm", "<cpu/>", (), 8192, 4, "machine-kvm3")
    services.make_link = lambda record, *_: made.of(record)  # type: ignore[assignment]
    services.read_key = _key
    return made


async def _key(*_: Any) -> HostKey:
    return HostKey("ssh-ed25519 AAAA", "SHA256:x")


def like_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """The doctor finds nothing."""

    async def healthy(_link: Link) -> list[Check]:
        return []

    async def space(_link: Link) -> tuple[str, Check]:
        return "/s/lockspace", Check("lock manager", "ok", "well")

    monkeypatch.setattr(doctor, "examine", healthy)
    monkeypatch.setattr(doctor, "lockspace", space)
