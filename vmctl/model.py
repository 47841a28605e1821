"""What the program talks about: hosts, VMs, the cluster at one moment, and decisions about it.

Pure: frozen values, no I/O, no clock. Memory is in MiB (`*_mib`), time in seconds (`*_s`), CPU in cores
(1.5 = one and a half cores busy), shares and pressure in fractions of one (0.18 = 18 %).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from math import inf

from vmctl.text import bad_name as bad_name

GROUPS = ("apart", "together", "prefer_apart", "prefer_together")  # fields of Spec that name a group of VMs


class HostState(StrEnum):
    """Whether a host answers. UNKNOWN means: its VMs may still run there."""

    ONLINE = "online"
    UNKNOWN = "unknown"
    UNTRUSTED = "untrusted"  # it shows another SSH key than the pinned one: nothing is sent to it


class PowerState(StrEnum):
    """What a VM does, as its host shows it or, where the host is silent, as the registry last knew it."""

    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"
    STARTING = "starting"
    STOPPING = "stopping"
    MIGRATING = "migrating"
    CRASHED = "crashed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Disk:
    """One disk of a VM: a volume of a storage. `format` is always explicit, never probed."""

    storage: str
    path: str
    format: str = "qcow2"
    target: str = "vda"


@dataclass(frozen=True, slots=True)
class Boot:
    """Direct kernel boot: paths on shared storage. Empty `kernel` means: boot from the disk."""

    kernel: str = ""
    initrd: str = ""
    cmdline: str = ""


@dataclass(frozen=True, slots=True)
class Spec:
    """What a VM should be. The registry's truth; also kept inside the domain's metadata and beside its disks."""

    uuid: str
    name: str
    cpus: int
    mem_mib: int
    disks: tuple[Disk, ...] = ()
    mac: str = ""
    bridge: str = "br0"
    more_bridges: tuple[str, ...] = ()  # of an adopted VM's further network cards
    boot: Boot = Boot()
    image: str = ""
    cpu: str = "baseline"  # "baseline" (runs on every host) or "host" (this host's own, may not migrate)
    cpu_xml: str = ""  # the <cpu> element fixed at create, so that the guest sees one CPU for life
    machine: str = ""  # the versioned machine type fixed at create; empty: the host's default
    agent_port: str = "virtio"  # or "isa": the emulated serial port for guests without virtio
    apart: str = ""  # VMs of one apart group never share a host (or what `apart_by` names)
    apart_by: str = ""  # the key of a host label that names a failure domain, such as "rack"; empty: the host itself
    together: str = ""  # VMs of one together group always share a host
    prefer_apart: str = ""  # as `apart`, as far as it can be had
    prefer_together: str = ""  # as `together`, as far as it can be had
    needs: Mapping[str, str] = field(default_factory=dict)  # labels that its host must carry
    pinned: bool = False  # never moved by rebalancing
    load_class: str = ""  # how far its vCPUs may be promised more than once: a key of Policy.class_overcommit
    one_numa_node: bool = False  # its memory must fit into one NUMA node of its host


@dataclass(frozen=True, slots=True)
class VMLoad:
    """What one VM's QEMU process uses, smoothed."""

    cpu: float  # cores
    mem_mib: int  # resident
    age_s: float = 0.0
    disk: float = 0.0  # share of its host's disk time
    net: float = 0.0  # share of its host's link
    stall: float = 0.0  # share of time in which something inside it waited (its agent's PSI)
    dirty_mib_s: float = 0.0  # memory that it rewrites


@dataclass(frozen=True, slots=True)
class VM:
    """A VM at one moment: what it should be, where it is, what it uses."""

    spec: Spec
    host: str = ""  # where it runs or is promised a place; empty when stopped
    moving_to: str = ""  # a migration is on its way there: a place is promised there too
    power: PowerState = PowerState.STOPPED
    load: VMLoad | None = None
    moved_s_ago: float | None = None  # seconds since its last move; None: never moved
    busy: bool = False  # a task holds it
    adopted: bool = False  # ran on a host before vmctl knew it; its XML is not ours
    stuck: tuple[str, ...] = ()  # what was seen to keep it on its host, in words
    defined_on: str = ""  # a stopped one whose definition a host keeps: that host

    @property
    def name(self) -> str:
        """The VM's name."""
        return self.spec.name


@dataclass(frozen=True, slots=True)
class HostLoad:
    """What a host uses, smoothed over the last minute."""

    cpu: float  # cores busy (user + system + irq), all of the host
    mem_used_mib: int  # MemTotal - MemAvailable
    psi_cpu: float = 0.0  # share of time some task waited (PSI "some" avg60)
    psi_mem: float = 0.0
    psi_io: float = 0.0
    steal: float = 0.0
    age_s: float = 0.0  # how old the newest sample is
    disk: float = 0.0  # share of time in which its disks were busy
    net: float = 0.0  # share of its link in use
    stall_cpu: float | None = None  # in a forecast: the CPU use at which pressure and steal were measured


@dataclass(frozen=True, slots=True)
class Host:
    """A hypervisor host at one moment."""

    name: str
    state: HostState = HostState.ONLINE
    cpus: int = 1
    mem_mib: int = 1024
    load: HostLoad | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    draining: bool = False
    storages: frozenset[str] = frozenset()  # storages proven reachable from here, and not lost since
    lost_storages: frozenset[str] = frozenset()  # those that were proven here, and are not mounted now
    bridges: frozenset[str] | None = None  # its bridges, where known
    cpu_models: frozenset[str] | None = None  # CPU models that its QEMU can offer, where known
    numa_mib: tuple[int, ...] = ()  # memory of each NUMA node, where known
    why_not: str = ""  # why it is not ONLINE, in words
    no_lock: str = ""  # why its lock manager gives no leases, in words; empty: it does


@dataclass(frozen=True)
class Cluster:
    """Everything a decision may look at, at one moment."""

    hosts: tuple[Host, ...]
    vms: tuple[VM, ...]
    taken_at: float = 0.0  # UTC seconds, for display only

    @cached_property
    def _hosts(self) -> dict[str, Host]:
        return {host.name: host for host in self.hosts}

    @cached_property
    def _on(self) -> dict[str, tuple[VM, ...]]:
        found: dict[str, list[VM]] = {}
        for vm in self.vms:
            for host in {vm.host, vm.moving_to} - {""}:
                found.setdefault(host, []).append(vm)
        return {host: tuple(vms) for host, vms in found.items()}

    @cached_property
    def _groups(self) -> dict[tuple[str, str], tuple[VM, ...]]:
        found: dict[tuple[str, str], list[VM]] = {}
        for vm in self.vms:
            for kind in GROUPS:
                if name := getattr(vm.spec, kind):
                    found.setdefault((kind, name), []).append(vm)
        return {group: tuple(vms) for group, vms in found.items()}

    def on(self, host: str) -> tuple[VM, ...]:
        """The VMs that run on a host or are promised a place there."""
        return self._on.get(host, ())

    def host(self, name: str) -> Host | None:
        """The host of that name."""
        return self._hosts.get(name)

    def group(self, kind: str, name: str) -> tuple[VM, ...]:
        """The VMs of a group; `kind` is one of GROUPS."""
        return self._groups.get((kind, name), ()) if name else ()

    def groups(self, kind: str) -> tuple[str, ...]:
        """The names of all groups of one kind, sorted."""
        return tuple(sorted(name for which, name in self._groups if which == kind))


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a VM may not run on a host: the rule that says no, and its numbers in words."""

    rule: str
    why: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """One host's part in a decision: refused with a reason, or a score with its terms (lower is better)."""

    host: str
    refusal: Refusal | None = None
    score: float = 0.0
    terms: tuple[tuple[str, float], ...] = ()
    why: str = ""


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a VM should go: the best host, every host's verdict (best first), and the sentence that says why."""

    vm: str
    host: str
    verdicts: tuple[Verdict, ...]
    why: str


@dataclass(frozen=True, slots=True)
class NoPlace:
    """No host can take the VM: each host's refusal."""

    vm: str
    verdicts: tuple[Verdict, ...]
    why: str


@dataclass(frozen=True, slots=True)
class Move:
    """One VM from one host to another, and why."""

    vm: str
    source: str
    target: str
    why: str
    gain: float = 0.0  # how much it evens out, as a share of one host (the score's fall times the number of hosts)
    cost: float = 0.0  # its price in the same unit
    mem_mib: int = 0
    score: float = 0.0  # of the cluster after it
    wave: int = 1  # the moves of one wave share no host, and may go side by side once the waves before are done
    minutes: float = 0.0  # on the wire, as foreseen
    uuid: str = ""  # of the VM, whose name may be another one's one day


@dataclass(frozen=True, slots=True)
class Budget:
    """What is asked of a plan: how much it may take (infinite where nothing is said), and what for."""

    moves: float = inf
    gib: float = inf  # of memory over the wire
    minutes: float = inf  # on the wire, one after the other
    coolest: bool = False  # for the hottest host alone, however uneven the rest


@dataclass(frozen=True, slots=True)
class Plan:
    """Moves in order (every prefix is feasible), the score before and after, and one sentence."""

    moves: tuple[Move, ...]
    why: str
    before: tuple[tuple[str, float], ...] = ()
    after: tuple[tuple[str, float], ...] = ()
    stays: tuple[str, ...] = ()  # per host or VM: why nothing more moves


@dataclass(frozen=True, slots=True)
class Policy:
    """What an admin wants decisions to weigh and respect."""

    cpu_overcommit: float = 8.0  # promised vCPUs per core
    class_overcommit: Mapping[str, float] = field(default_factory=dict)  # the same, for the VMs of a load class
    mem_overcommit: float = 1.0  # promised memory per byte of memory
    mem_reserve_mib: int = 256  # kept free on each host for the host itself
    vm_overhead_mib: int = 64  # QEMU's own memory beside the guest's
    spare_host: bool = False  # N+1: whichever host dies, its VMs must still fit on the others
    new_vm_cpu: float = 0.25  # expected use of a new VM, cores per vCPU, until measured
    weight_cpu: float = 1.0
    weight_mem: float = 1.0
    weight_promised: float = 0.5
    weight_vcpus: float = 0.0
    weight_disk: float = 0.5
    weight_net: float = 0.5
    weight_overload: float = 4.0
    weight_stall: float = 2.0
    weight_groups: float = 0.05  # of each pair of VMs that would rather be apart, or together, and is not
    overload_above: float = 0.80  # a host busier than this is overloaded
    max_age_s: float = 30.0  # a sample older than this decides nothing
    min_imbalance: float = 0.10  # below this score a cluster is left alone
    min_gain: float = 0.1  # a move must gain this share of a host beyond its price
    price_per_move: float = 0.1  # what a move costs besides its bytes: disturbance and risk, as a share of a host
    price_per_minute: float = 0.06  # and what a minute on the wire costs
    link_mib_s: float = 1000.0  # how fast memory crosses the wire
    cooldown_s: float = 600.0  # a VM that moved rests this long
    max_moves: float = 8  # per plan
    max_gib: float = inf  # over the wire, per plan
    max_minutes: float = inf  # on the wire, per plan
    effort: float = 1.0  # of the search for a plan: twice as much takes twice as long, and finds a little more
    max_outgoing: int = 1  # live migrations at once, per source host
    max_incoming: int = 2  # and per target host
    downtime_ms: tuple[int, ...] = (100, 200, 300, 500, 1000)  # the ladder's steps
    stall_s: float = 10.0  # no new low of remaining memory for this long: next rung of the ladder
    allow_post_copy: bool = False
    no_progress_s: float = 60.0  # nothing transferred for this long: abort


@dataclass(frozen=True, slots=True)
class LedgerPolicy:
    """How much is remembered of processes."""

    days: float = 30.0  # ended ones are kept this long
    rows_per_machine: int = 5000  # of ended ones; the oldest go first
    most_processes: int = 2000  # of one machine at once; what is more is left out
    short_s: float = 60.0  # one that lived shorter is only counted, by its program,
    short_pictures: int = 2  # and so is one that was seen in fewer pictures; not if it listened on a port
    silence_s: float = 60.0  # what is gone after a longer silence has ended unseen
    write_every_s: float = 300.0  # how often what live ones use is written


@dataclass(frozen=True, slots=True)
class HealthPolicy:
    """When a guest is called silent or hung, and when a sick one may be treated (if its VM's owner allows it)."""

    silent_after_s: float = 15.0  # and after three of its periods
    hung_after_s: float = 120.0  # of silence without any use of disk or network
    heal_after_s: float = 180.0  # sick for so long: its own agent's repair had its turn
    heal_between_s: float = 300.0  # two steps; doubled with each step taken
    heal_budget: int = 3  # steps
    heal_window_s: float = 21600.0  # in this time
