"""What an admin wants: of decisions, of what is kept of processes, of the care for guests. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf


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
    downtime_ms: tuple[int, ...] = (100, 200, 300, 500, 1000)  # how long a guest may pause: the steps
    stall_s: float = 10.0  # no new low of remaining memory for this long: the next step
    allow_post_copy: bool = False
    no_progress_s: float = 60.0  # nothing transferred for this long: abort


DAEMONS = ("sshd", "libvirtd", "virtlockd", "virtlogd")  # what a host cannot do without
MOST_NAME = 15  # characters of a process's name that Linux keeps


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
    watch: tuple[str, ...] = ()  # what else is followed on hosts, by its process's name

    @property
    def daemons(self) -> tuple[str, ...]:
        """Names of what is followed on hosts besides QEMU, as the kernel has them: cut to 15 characters."""
        return tuple(dict.fromkeys(name[:MOST_NAME] for name in (*DAEMONS, *self.watch)))


@dataclass(frozen=True, slots=True)
class HealthPolicy:
    """When a guest is called silent or hung, and when a sick one may be treated (if its VM's owner allows it)."""

    silent_after_s: float = 15.0  # and after three of its periods
    hung_after_s: float = 120.0  # of silence without any use of disk or network
    heal_after_s: float = 180.0  # sick for so long: its own agent's repair had its turn
    heal_between_s: float = 300.0  # two steps; doubled with each step taken
    heal_budget: int = 3  # steps
    heal_window_s: float = 21600.0  # in this time
