"""A cluster on one machine: what `vmctl lab` does, as plain functions. Every step can be repeated; only what is missing
is made. Nothing is remembered: what runs is asked from the kernel each time.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from vmctl.errors import Refused, Usage, VmctlError
from vmctl.lab import (
    accelerator,
    cgroups,
    clean,
    controllers,
    database,
    gluster,
    host,
    hostnames,
    images,
    keys,
    machines,
    network,
)
from vmctl.lab.machines import MachineStatus
from vmctl.lab.names import MOST_CONTROLLERS, MOST_HOSTS, Host, Lab, Machine, current
from vmctl.lab.system import Report, locked, marked, require_programs, require_root, run, wait

GIB = 1024**3
FIRST_HOSTS = 3
STORAGES = ("directory", "glusterfs")  # what /shared is: a directory of this machine, or a network file system


@dataclass(frozen=True, slots=True)
class HostStatus:
    """One host as it is now. `state` is up, cut or down."""

    name: str
    address: str
    state: str
    pid: int
    memory_used: int
    memory_limit: int
    vms: int
    boot_id: str


@dataclass(frozen=True, slots=True)
class LabStatus:
    """The lab as it is now."""

    name: str
    network: str
    accelerator: str
    reason: str
    shared: Path
    hosts: list[HostStatus]
    images: list[images.Image]
    machines: list[MachineStatus]  # controllers, and what they share


def _quiet(line: str) -> None:
    """Report to nobody."""


def up(
    hosts: int | None = None,
    report: Report = _quiet,
    memory_bytes: int = 3 * GIB,
    also: tuple[str, ...] = (),
    storage: str = "",
    controller_count: int = 0,
    database_kind: str = "",
    hosted: int = 0,
) -> LabStatus:
    """Start the lab, or what is missing of it. `hosts`: that many (3 at first, later as many as there are).

    `storage`: one of STORAGES; "directory" at first, later what there is. `controller_count`: so many controllers that
    share a database, each a machine of its own, but for those `hosted`, which are on the first hosts.
    `database_kind`: one of database.KINDS; "single" at first.
    """
    require_root("up")
    require_programs()
    lab = current()
    _check_counts(lab, hosts, controller_count, database_kind, hosted)
    with locked(lab):
        networked, kind = _networked(lab, storage), _database_kind(lab, database_kind)
        lab.directory.mkdir(parents=True, exist_ok=True)
        tiny = images.ensure("tiny", report)
        for name in also:
            images.ensure(name, report)
        with _step(report, "accelerator") as said:
            found = accelerator.known() or accelerator.probe(lab, tiny)
            said.append(f"{found.name} ({found.reason})")
        with _step(report, "storage") as said:
            _prepare_shared(lab)
            said.append(str(lab.shared))
        with _step(report, "network") as said:
            subnet = network.ensure_bridge(lab)
            said.append(f"{subnet}.0/24 on {lab.bridge}")
        with _step(report, "services") as said:
            said.append(_ensure_services(lab, subnet))
        source = ""
        if networked:
            with _step(report, "GlusterFS") as said:
                said.append(source := gluster.ensure(lab, subnet))
        _start_hosts(lab, hosts, host.Settings(subnet, memory_bytes, found.kvm, source), report)
        if controller_count:
            with _step(report, "controllers") as said:
                said.append(controllers.ensure(lab, subnet, controller_count, kind, hosted))
        return _status(lab)


def _check_counts(lab: Lab, hosts: int | None, controller_count: int, database_kind: str, hosted: int) -> None:
    """Raises Usage."""
    if not 0 <= controller_count <= MOST_CONTROLLERS:
        raise Usage(f"a lab has up to {MOST_CONTROLLERS} controllers, not {controller_count}")
    if database_kind and not controller_count:
        raise Usage("the database is of controllers", hint="vmctl lab up --controllers 3 --db pair")
    if hosts is not None and not 1 <= hosts <= MOST_HOSTS:
        raise Usage(f"a lab has 1 to {MOST_HOSTS} hosts, not {hosts}")
    if hosted > min(controller_count, hosts or len(_existing(lab)) or FIRST_HOSTS):
        raise Usage(
            f"{hosted} controllers on hosts: there are not so many", hint="vmctl lab up --controllers 3 --on-hosts 2"
        )


def down(report: Report = _quiet, keep_disks: bool = False) -> None:
    """End the lab and remove it, with the VMs' disks unless they are to be kept."""
    require_root("down")
    lab = current()
    with locked(lab), _step(report, "down") as said:
        clean.remove(lab, keep_disks)
        said.append(f"disks kept in {lab.shared}" if keep_disks else "nothing is left, VM disks included")


def status() -> LabStatus:
    """What there is."""
    require_root("status")
    return _status(current())


def addresses() -> dict[str, str]:
    """Which address each guest got by DHCP, by the guest's MAC address."""
    leases = current().directory / "leases"
    lines = leases.read_text().splitlines() if leases.exists() else []
    return {line.split()[1]: line.split()[2] for line in lines}


def cut(name: str) -> None:
    """Cut the cable of a host or machine: nobody reaches it, its processes run on."""
    require_root("cut")
    network.switch(_with_a_cable(name), on=False)


def heal(name: str) -> None:
    """Mend its cable."""
    require_root("heal")
    network.switch(_with_a_cable(name), on=True)


def kill(name: str) -> None:
    """Power failure of one host or machine: all its processes at once, and its link."""
    require_root("kill")
    one = _running(name)
    if isinstance(one, Machine):
        machines.stop(one)
    else:
        _stop_host(one)


def _stop_host(one: Host) -> None:
    for controller in controllers.on(one):
        machines.stop(controller)
    host.stop(one)


def freeze(name: str) -> None:
    """Let a small machine stand still: its connections stay."""
    require_root("freeze")
    machines.freeze(_machine(name))


def thaw(name: str) -> None:
    """Let it go on."""
    require_root("thaw")
    machines.thaw(_machine(name))


def boot(name: str, report: Report = _quiet) -> None:
    """Power a host or machine on, or off and on. A host gets a new boot id."""
    require_root("boot")
    lab = current()
    one = lab.find_any(name)
    if isinstance(one, Machine):
        _boot_machine(lab, one, report)
        return
    if not one.directory.exists():
        raise Refused(f"lab {lab.name!r} has no host {one.name}", hint=f"vmctl lab up --hosts {one.number}")
    with locked(lab):
        memory = cgroups.memory_limit(one) or 3 * GIB
        subnet, found = network.find(lab), accelerator.known()
        if not subnet or not found:
            raise Refused(f"lab {lab.name!r} is down", hint="vmctl lab up")
        _stop_host(one)
        with _step(report, one.name):
            host.start(one, host.Settings(subnet, memory, found.kvm, gluster.source(lab, subnet)))
        for controller in controllers.on(one):
            with _step(report, controller.name):
                controllers.start(controller, subnet)


def _boot_machine(lab: Lab, one: Machine, report: Report) -> None:
    subnet = network.find(lab)
    if not subnet or not one.directory.exists():
        raise Refused(f"lab {lab.name!r} has no machine {one.name}", hint="vmctl lab up --controllers 3")
    with locked(lab), _step(report, one.name):
        controllers.boot(one, subnet)


@contextmanager
def _step(report: Report, name: str) -> Iterator[list[str]]:
    """One line of progress when the step is done, with what it said and the seconds it took."""
    began, said = time.monotonic(), list[str]()
    yield said
    report(": ".join([name, *said]) + f" [{time.monotonic() - began:.2f} s]")


def _networked(lab: Lab, storage: str) -> bool:
    """Whether its storage is to be GlusterFS. `Refused` where the lab that runs has another one."""
    if storage not in ("", *STORAGES):
        raise Usage(f"there is no storage {storage!r}", hint=f"one of {', '.join(STORAGES)}")
    before = gluster.used(lab)
    if storage and _existing(lab) and before != (storage == "glusterfs"):
        raise Refused(f"lab {lab.name!r} runs on {STORAGES[before]}", hint="vmctl lab down, then up again")
    return before or storage == "glusterfs"


def _database_kind(lab: Lab, wanted: str) -> str:
    """What its controllers' database is to be. `Refused` where they have another one."""
    if wanted not in ("", *database.KINDS):
        raise Usage(f"there is no kind of database {wanted!r}", hint=f"one of {', '.join(database.KINDS)}")
    before = database.used(lab)
    if wanted and before and wanted != before:
        raise Refused(
            f"the controllers of lab {lab.name!r} are on a {before} database", hint="vmctl lab down, then up again"
        )
    return before or wanted or "single"


def _prepare_shared(lab: Lab) -> None:
    for name in ("lockspace", "vms"):
        (lab.shared / name).mkdir(parents=True, exist_ok=True)


def _ensure_services(lab: Lab, subnet: str) -> str:
    """One dnsmasq and one lxcfs for all hosts."""
    running = {_command(pid) for pid in marked(lab)}
    lxcfs = lab.directory / "lxcfs"
    note = ""
    if "lxcfs" not in running:
        # What one that was killed has left cannot even be looked at before it is unmounted.
        run("umount", "--lazy", lxcfs, check=False)
        lxcfs.mkdir(exist_ok=True)
        host.detach(["lxcfs", "-f", "-l", "-p", f"{lxcfs}.pid", str(lxcfs)], lab.environment, Path(f"{lxcfs}.log"))
        if not wait((lxcfs / "proc" / "stat").exists, 10):
            raise VmctlError("lxcfs did not start", hint=f"read {lxcfs}.log")
        if any(host.pid(one) for one in _existing(lab)):
            note = "; lxcfs had died: a host started before has its /proc/stat again after `vmctl lab boot HOST`"
    if "dnsmasq" not in running:
        run(*network.dhcp_command(lab, subnet), env=lab.environment)
    return "lxcfs, dnsmasq" + note


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def _existing(lab: Lab) -> list[Host]:
    return [one for one in lab.hosts() if one.directory.exists()]


def _start_hosts(lab: Lab, count: int | None, settings: host.Settings, report: Report) -> None:
    """All at once: a host's start is mostly waiting."""
    wanted = lab.hosts(count or len(_existing(lab)) or FIRST_HOSTS)
    missing = [one for one in wanted if not host.pid(one)]
    keys.public_key()

    def start(one: Host) -> None:
        with _step(report, one.name) as said:
            host.start(one, settings)
            said.append(one.address(settings.network))

    with ThreadPoolExecutor(MOST_HOSTS) as pool:
        list(pool.map(start, missing))
    hostnames.write(lab, _existing(lab), settings.network)


def _running(name: str) -> Host | Machine:
    one = current().find_any(name)
    if not (machines.pid(one) if isinstance(one, Machine) else host.pid(one)):
        raise Refused(f"{one.name} is down", hint=f"vmctl lab boot {one.name}")
    return one


def _with_a_cable(name: str) -> Host | Machine:
    one = _running(name)
    if isinstance(one, Machine) and one.host is not None:
        raise Usage(
            f"{one.name} is on {one.host.name}, and has no cable of its own", hint=f"vmctl lab cut {one.host.name}"
        )
    return one


def _machine(name: str) -> Machine:
    one = _running(name)
    if isinstance(one, Machine):
        return one
    raise Usage(
        f"{one.name} is a host: only controllers, and what they share, are frozen", hint="vmctl lab cut or kill"
    )


def _status(lab: Lab) -> LabStatus:
    found = accelerator.known()
    subnet, cables = network.find(lab), network.plugged(lab)
    return LabStatus(
        name=lab.name,
        network=f"{subnet}.0/24" if subnet else "",
        accelerator=found.name if found else "",
        reason=found.reason if found else "not tried yet",
        shared=lab.shared,
        hosts=[_host_status(one, subnet, cables.get(one.uplink, False)) for one in _existing(lab)],
        images=images.built(),
        machines=controllers.status(lab, subnet, cables),
    )


def _host_status(one: Host, subnet: str, whole: bool) -> HostStatus:
    members = cgroups.processes(one.lab, one.short)
    first = cgroups.first_process(one, members)
    boot_id = one.directory / "boot-id"
    return HostStatus(
        name=one.name,
        address=one.address(subnet) if subnet else "",
        state="down" if not first else "up" if whole else "cut",
        pid=first,
        memory_used=cgroups.memory_used(one),
        memory_limit=cgroups.memory_limit(one),
        vms=sum(_is_qemu(pid) for pid in members),
        boot_id=boot_id.read_text().strip() if first and boot_id.exists() else "",
    )


def _is_qemu(pid: int) -> bool:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return b"qemu-system" in words[0] and b"-name" in words
