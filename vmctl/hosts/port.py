"""What the controller asks of a host and of its hypervisor, whatever they are.

All raise `HostError`: `NoAnswer` where it may still be done, `NotSent` where it surely was not, `LibvirtError` where
the hypervisor said no. `tests/hosts/contract.py` holds each hypervisor to it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from vmctl.hosts.facts import Fact, RawSample
from vmctl.hosts.shown import About, DomainSeen, JobProgress, Shown
from vmctl.hosts.ssh import Listener, Ran
from vmctl.hosts.ssh.channels import Reader, Writer
from vmctl.model.hosts import HostState
from vmctl.model.records import HostRecord
from vmctl.model.replicas import HostSession
from vmctl.model.vms import PowerState
from vmctl.ports import Clock, Ids

T = TypeVar("T")


class Console(Protocol):
    """An open serial console."""

    output: asyncio.Queue[bytes | None]  # what the guest prints; None: it has ended


class Domains(Protocol):
    """What it runs. A domain is named by its UUID; NotFound where there is no such domain."""

    async def domains(self) -> tuple[DomainSeen, ...]:
        """Every domain that the host knows; whether one has a job is not asked."""

    async def domain(self, uuid: str) -> DomainSeen | None:
        """One domain; None when this host surely does not have it."""

    async def power(self, uuid: str) -> tuple[PowerState, str]:
        """A domain's state and, for a paused one, why; asks nothing of its QEMU, which may hang."""

    async def use(self, uuid: str) -> tuple[int, ...]:
        """Counters that stand still when a guest does nothing: requests to disks, packets sent."""

    async def xml(self, uuid: str, *, migratable: bool = False) -> str:
        """The domain's live XML."""

    async def shown(self, uuid: str) -> Shown:
        """All that the host keeps of a domain: what runs, what is defined, what hangs on it."""

    async def create(self, xml: str) -> None:
        """Start a transient domain."""

    async def define(self, xml: str) -> None:
        """Keep a persistent definition (only for adopted domains)."""

    async def undefine(self, uuid: str) -> None:
        """Forget a persistent definition, its NVRAM and its TPM's state kept; gone already is done."""

    async def set_autostart(self, uuid: str, on: bool) -> None:
        """Whether the hypervisor starts the (persistent) domain when its host boots."""

    async def start(self, uuid: str) -> None:
        """Start a persistent (adopted) domain."""

    async def shutdown(self, uuid: str) -> None:
        """Press the guest's power button."""

    async def destroy(self, uuid: str) -> None:
        """Pull the plug; gone already is done."""

    async def reset(self, uuid: str) -> None:
        """Press the reset button."""

    async def suspend(self, uuid: str) -> None:
        """Stop the guest's CPUs."""

    async def resume(self, uuid: str) -> None:
        """Let the guest's CPUs go on."""

    async def wake(self, uuid: str) -> None:
        """Wake a guest that put itself to sleep (S3)."""

    async def console(self, uuid: str, *, force: bool = False) -> Any:
        """Open its serial console; `force` takes it from who has it."""

    async def close_console(self, console: Any) -> None:
        """Let go of it."""

    async def send_console(self, console: Any, data: bytes) -> None:
        """Type."""


class Migrations(Protocol):
    """Migrations out of (and, for their statistics, into) a host."""

    async def migrate(
        self, uuid: str, target_socket: str, migrate_uri: str, *, unsafe: bool, persistent: bool, post_copy: bool
    ) -> None:
        """Live, peer-to-peer, through a socket on this host that leads to the target's hypervisor.

        Returns when the hypervisor says that it is done. Neither that nor an error is believed before both hosts are
        read.
        """

    async def job(self, uuid: str, *, completed: bool = False) -> JobProgress:
        """How far it is; `completed`: what the last one took, on the target."""

    async def broke(self, uuid: str) -> bool:
        """Whether a paused domain is the source of a migration that ended."""

    async def set_max_downtime(self, uuid: str, downtime_ms: int) -> None:
        """How long the guest may pause."""

    async def start_post_copy(self, uuid: str) -> None:
        """Let the guest run on the target, and fetch the rest of its memory from here."""

    async def abort_job(self, uuid: str) -> None:
        """Give the migration up."""


class Volumes(Protocol):
    """Files on the host's storages, each called FILE or FOLDER/FILE below a storage's directory."""

    async def ensure_pool(self, name: str, path: str) -> None:
        """Make sure that files in that directory can be reached."""

    async def drop_pool(self, name: str) -> None:
        """Let go of what `ensure_pool` made."""

    async def drop_pools_below(self, path: str) -> None:
        """Let go of whatever of ours reaches files below that directory."""

    async def create_volume(self, pool_path: str, xml: str) -> str:
        """Make a volume, and its folder where its name has one; returns its path. LibvirtError where it exists."""

    async def copy_volume(self, pool_path: str, xml: str, source: str) -> str:
        """Make a full copy of the volume at a path; returns the copy's path."""

    async def resize_volume(self, pool_path: str, name: str, capacity_bytes: int) -> None:
        """Grow a volume."""

    async def has_volume(self, pool_path: str, name: str) -> bool:
        """Whether there is a volume of that name."""

    async def delete_volume(self, pool_path: str, name: str) -> None:
        """Remove a volume, and its folder when it was the last one there; gone already is done."""

    async def volume_path(self, pool: str, volume: str) -> str:
        """Where a volume of one of the host's own pools lies; empty where it has no such pool or volume."""

    async def upload(
        self, pool_path: str, name: str, pieces: Iterable[bytes | int], *, sparse: bool = False, offset: int = 0
    ) -> None:
        """Write bytes into a volume from `offset` on, and with `sparse` lengths of holes, too.

        They are read in a thread of this host. What lies before and behind stays as it is.
        """

    async def download(self, pool_path: str, name: str, most: int, offset: int = 0) -> bytes:
        """At most `most` bytes of a volume, from `offset`."""


class Hypervisor(Domains, Migrations, Volumes, Protocol):
    """All that is asked of it, and what it is."""

    async def about(self) -> About:
        """Versions, CPU, machine types, memory."""

    async def networks(self) -> frozenset[str]:
        """The names of its own networks that are active."""

    async def baseline_cpu(self, accel: str, cpus: list[str]) -> str:
        """The <cpu> that runs on every host whose host-model is in `cpus`."""

    async def cpu_fits(self, accel: str, cpu_xml: str) -> bool:
        """Whether it can give a guest that CPU."""


class Shell(Protocol):
    """The way to the host's own programs."""

    @property
    def peer(self) -> str:
        """The address that answers."""

    async def run(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        timeout_s: float | None = None,
        check: bool = True,
        max_bytes: int = 4 << 20,
    ) -> Ran:
        """Run a program there. CommandFailed where it fails and is checked, or prints more than `max_bytes`."""

    async def offer(self, remote_path: str, local_path: Path) -> Listener:
        """A socket on the host that leads to one here."""

    async def open_unix(self, path: str, *, window: int = 2 << 20) -> tuple[Reader, Writer]:
        """A stream of bytes to a socket on the host; `window`: bytes that it may send and nobody has read."""

    async def reach(self, address: str, port: int) -> str:
        """Whether the host reaches a TCP port elsewhere: "open", "refused" (it does, nobody listens), or why not."""


class Link(Protocol):
    """The standing link to a host. What it knows is a value with an age: nobody waits for a host to answer."""

    name: str
    record: HostRecord
    state: HostState
    why: str  # it does not answer
    mend: str  # what may bring it back, where that is known
    since: float  # it is in this state, UTC seconds
    tried: bool  # to reach it, at least once
    told_lost: bool
    lost_since: float
    about: About | None
    cpus: dict[str, bool]  # guests' <cpu> elements, and whether this host can give them
    size: tuple[int, int] | None  # CPUs and MiB of memory
    domains: dict[str, DomainSeen]
    domains_at: float | None  # monotonic
    moved_away: set[str]
    heard_since: float
    ran_at: dict[str, float]
    seen_running: dict[str, float]
    put_out: set[str]
    changed: set[str]
    read_at: dict[str, float]
    boot_id: str
    judged_boot: str
    rebooted: bool
    session: HostSession | None  # which log-in it uses, where that is known

    @property
    def clock(self) -> Clock:
        """The time."""

    @property
    def ids(self) -> Ids:
        """Names that nobody has."""

    @property
    def virt(self) -> Hypervisor:
        """Its hypervisor."""

    @property
    def ssh(self) -> Shell:
        """The way to its own programs."""

    @property
    def socket(self) -> Any:
        """Where its hypervisor is reached from here."""

    @property
    def online(self) -> bool:
        """Whether the host answers, as far as is known."""

    @property
    def sampling(self) -> bool:
        """Whether its load is sampled through this link."""

    def sample(self, on: bool) -> None:
        """Sample its load from now on, or leave that to another controller."""

    async def ask(self, fact: Fact[T]) -> T:
        """What the host tells of itself, also for an answer that cannot be read: HostError."""

    async def measure(self, timeout_s: float) -> RawSample:
        """One sample through a channel of its own, as the load loop takes them."""

    async def wait_online(self, limit_s: float) -> bool:
        """Wait for the host to answer, but not long; one that is waited for is tried again at once."""

    async def refresh_domains(self) -> dict[str, DomainSeen]:
        """Read its domains now."""

    async def learn_cpus(self, cpus: Iterable[str]) -> None:
        """Ask whether it can give guests these CPUs."""

    async def close(self) -> None:
        """Let go of the host."""


class NewLink(Link, Protocol):
    """A link that is not up yet."""

    on_sample: Callable[[Any, RawSample], None]
    on_domains: Callable[[Any], None]
    on_login: Callable[[Any], Awaitable[None]]  # before anything is done there; it may refuse

    async def connect(self) -> None:
        """Bring it up once, for a check. Raises HostError or NotAllowed."""

    def start(self) -> None:
        """Keep it up, in the background."""
