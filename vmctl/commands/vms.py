"""Arguments: what is done with VMs, and what is asked about them. Memory in MiB, disks in bytes, times in seconds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

from annotated_types import Ge, Le

from vmctl.commands.fields import (
    MOST_MIB,
    VM,
    WEEK_S,
    Group,
    Image,
    Inner,
    Labels,
    MaybeHost,
    MaybeName,
    Most,
    Name,
    Project,
    Seconds,
    Signature,
    Text,
)
from vmctl.commands.rows import Asked, Command, On, Query, task
from vmctl.model.rights import Permission as May


@dataclass(frozen=True, slots=True)
class Create:
    """Make a VM, and start it where placement says."""

    RENAMED: ClassVar[dict[str, str]] = {"labels": "needs"}  # what an earlier version's tasks call an argument
    name: Name
    image: Image
    mem_mib: Annotated[int, Ge(16), Le(MOST_MIB)]
    cpus: Annotated[int, Ge(1), Le(1024)] = 1
    disk_bytes: Annotated[int, Ge(0), Le(1 << 50)] = 0  # 0: as large as its image
    full: bool = False
    host: MaybeHost = ""
    needs: Labels = field(default_factory=dict)  # labels that its host must carry
    apart: Group = ""
    apart_by: Text = ""
    together: Group = ""
    prefer_apart: Group = ""
    prefer_together: Group = ""
    load_class: MaybeName = ""
    one_numa_node: bool = False
    cpu: Literal["baseline", "host"] = "baseline"
    bridge: MaybeName = ""
    agent_port: Literal["virtio", "isa"] = "virtio"
    no_start: bool = False
    autostart: bool = True
    project: Project = "default"

    def problem(self) -> str | None:
        """What does not go together."""
        if self.apart_by and not self.apart:
            return "apart_by says how VMs of an apart group are kept apart, and none is given"
        return None


@dataclass(frozen=True, slots=True)
class Start:
    """Start a VM where placement says, or on `host`.

    `as_registered`: also where it was changed past the registry, so that the change is lost.
    """

    vm: VM
    host: MaybeHost = ""
    i_know_it_is_off: Signature = ""
    as_registered: bool = False


@dataclass(frozen=True, slots=True)
class Stop:
    """Shut a VM down through its guest; `force` pulls the plug. A timeout of 0 s means the default time."""

    vm: VM
    force: bool = False
    timeout_s: Annotated[float, Ge(0), Le(WEEK_S)] = 0.0
    i_know_it_is_off: Signature = ""


@dataclass(frozen=True, slots=True)
class Reboot:
    """Shut a VM down through its guest, and start it again on the same host."""

    vm: VM
    timeout_s: Annotated[float, Ge(0), Le(WEEK_S), Inner()] = 0.0


@dataclass(frozen=True, slots=True)
class Reset:
    """Press a VM's reset button."""

    vm: VM


@dataclass(frozen=True, slots=True)
class Pause:
    """Stop a VM's CPUs."""

    vm: VM


@dataclass(frozen=True, slots=True)
class Resume:
    """Let a paused VM go on."""

    vm: VM


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete a stopped VM and its disks."""

    vm: VM
    i_know_it_is_off: Signature = ""


@dataclass(frozen=True, slots=True)
class Migrate:
    """Move a VM to another host, live or cold; placement chooses the host where `to` is empty."""

    vm: VM
    to: MaybeHost = ""
    cold: bool = False
    why: Annotated[str, Inner()] = ""  # the reason that a plan gave
    parent: Annotated[int, Inner()] = 0  # the plan's task


@dataclass(frozen=True, slots=True)
class RenewLease:
    """Let a running VM take its lease again."""

    vm: VM


@dataclass(frozen=True, slots=True)
class SetAutostart:
    """Say whether a VM is started again after its host's reboot."""

    vm: VM
    on: bool


@dataclass(frozen=True, slots=True)
class SetHeal:
    """Say how far a VM may be treated when its guest is sick: off, reboot, reset."""

    vm: VM
    level: str


# -- queries


Power = Literal["", "running", "paused", "stopped", "starting", "stopping", "migrating", "crashed", "unknown"]


@dataclass(frozen=True, slots=True)
class ListVMs:
    """VMs by name, page by page: at most `limit` after the one called `after`. `begins`: how their names begin."""

    limit: Most = 500
    after: Text = ""
    begins: Text = ""
    project: MaybeName = ""
    host: MaybeName = ""
    owner: MaybeName = ""
    power: Power = ""


@dataclass(frozen=True, slots=True)
class ShowVM:
    """One VM."""

    vm: VM


@dataclass(frozen=True, slots=True)
class WhereToCreate(Create):
    """Where a new VM would go, and why."""


@dataclass(frozen=True, slots=True)
class WhereToStart:
    """Where a VM would start, and why."""

    vm: VM
    host: MaybeHost = ""
    i_know_it_is_off: Signature = ""
    as_registered: bool = False


@dataclass(frozen=True, slots=True)
class WhereNow:
    """Where a VM would go if it had to be placed now, its own host among the others."""

    vm: VM


@dataclass(frozen=True, slots=True)
class CheckMigration:
    """What stands in the way of migrating a VM, for every host."""

    vm: VM


@dataclass(frozen=True, slots=True)
class Why:
    """The newest decision about a VM, or the one in force at a time (UTC seconds)."""

    vm: VM
    at: Seconds | None = None


@dataclass(frozen=True, slots=True)
class ListHealth:
    """Every VM's health, by name."""


@dataclass(frozen=True, slots=True)
class ShowHealth:
    """One VM's health, and what its guest tells of itself."""

    vm: VM


# fmt: off
ROWS: tuple[Asked, ...] = (
    task("create", Create, "POST vms", May.CREATE, on=On.PROJECT, resumes=True),
    task("start", Start, "POST vms/{vm}/start", May.POWER, resumes=True,
         meanwhile="being started", restarts_guest=True),
    task("stop", Stop, "POST vms/{vm}/stop", May.POWER, resumes=True,
         meanwhile="being stopped", restarts_guest=True),
    task("reboot", Reboot, "POST vms/{vm}/reboot", May.POWER, resumes=True,
         meanwhile="being rebooted", restarts_guest=True),
    task("reset", Reset, "POST vms/{vm}/reset", May.POWER,
         meanwhile="being reset", restarts_guest=True),
    task("pause", Pause, "POST vms/{vm}/pause", May.POWER, resumes=True,
         meanwhile="being paused"),
    task("resume", Resume, "POST vms/{vm}/resume", May.POWER, resumes=True,
         meanwhile="being resumed"),
    task("delete", Delete, "DELETE vms/{vm}", May.DELETE, resumes=True),
    task("migrate", Migrate, "POST vms/{vm}/migrate", May.MOVE, resumes=True,
         meanwhile="being migrated"),
    task("renew lease", RenewLease, "", May.POWER, resumes=True,
         meanwhile="taking its lease again"),
    Command(SetAutostart, "PUT vms/{vm}/autostart", May.SET, "autostart", edits=True),
    Command(SetHeal, "PUT vms/{vm}/heal", May.SET, "heal", edits=True),
    Query(ListVMs, "GET vms", May.LOOK, on=On.SIGHT, pages=True, live=True, by_any=True),
    Query(WhereToCreate, "POST vms/dry-run", May.CREATE, on=On.PROJECT),
    Query(ShowVM, "GET vms/{vm}", May.LOOK, live=True, by_any=True),
    Query(WhereToStart, "POST vms/{vm}/start/dry-run", May.LOOK),
    Query(WhereNow, "GET vms/{vm}/placement", May.LOOK),
    Query(CheckMigration, "GET vms/{vm}/migrate/check", May.LOOK),
    Query(Why, "GET vms/{vm}/why", May.LOOK),
    Query(ListHealth, "GET health", May.LOOK, on=On.SIGHT, live=True),
    Query(ShowHealth, "GET vms/{vm}/health", May.LOOK, live=True),
)
# fmt: on
