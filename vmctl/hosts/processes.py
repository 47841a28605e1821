"""A host's QEMU processes and daemons as the ledger sees them. Pure: samples in, values out."""

from __future__ import annotations

from vmctl.hosts.facts import Daemon, QemuProcess, RawSample
from vmctl.hosts.load import rates
from vmctl.ledger import ProcessSample

PROGRAM = "qemu"


def seen_of(before: RawSample | None, after: RawSample, version: str = "") -> list[ProcessSample]:
    """The processes of a sample; their CPU use since the sample before, 0 where that is not known.

    Start times are by the host's own clock, which is read in whole seconds: for people, not for identity.
    """
    step = rates(before, after) if before is not None else None
    used = {uuid: vm.cpu for uuid, vm in step.vms.items()} if step is not None else {}
    vms = [_seen(vm, used.get(vm.uuid, 0.0), after, version) for vm in after.vms]
    known = {one[:2]: one.cpu_ticks for one in before.daemons} if before is not None and step is not None else {}
    elapsed = step.elapsed_s if step is not None else 1.0
    return vms + [_daemon(one, known.get(one[:2]), elapsed, after) for one in after.daemons]


def _daemon(one: Daemon, before_ticks: int | None, elapsed_s: float, sample: RawSample) -> ProcessSample:
    ticks = 0 if before_ticks is None else max(0, one.cpu_ticks - before_ticks)
    return ProcessSample(
        pid=one.pid,
        start_ticks=one.start_ticks,
        started_us=started_us(one.start_ticks, sample),
        parent=one.parent,
        program=one.name,
        command=one.name,
        cpu=min(ticks / sample.ticks_per_s / elapsed_s, float(sample.cpus)),
        rss_kib=one.rss_kib,
        threads=one.threads,
    )


def _seen(vm: QemuProcess, cpu: float, sample: RawSample, version: str) -> ProcessSample:
    return ProcessSample(
        pid=vm.pid,
        start_ticks=vm.start_ticks,
        started_us=started_us(vm.start_ticks, sample),
        program=PROGRAM,
        version=version,
        command=f"-name guest={vm.name} -uuid {vm.uuid}",
        cpu=cpu,
        rss_kib=vm.rss_kib,
        threads=vm.threads,
    )


def started_us(start_ticks: int, sample: RawSample) -> int:
    """When a process began, in UTC microseconds by its host's clock."""
    return max(0, int((sample.wall_s - sample.age_s(start_ticks)) * 1e6))


def same_processes(before: RawSample, after: RawSample) -> bool:
    """Whether nothing began or ended between two samples of one host."""
    return before.boot_id == after.boot_id and _identities(before) == _identities(after)


def _identities(sample: RawSample) -> set[tuple[int, int]]:
    vms = {(vm.pid, vm.start_ticks) for vm in sample.vms}
    return vms | {(one.pid, one.start_ticks) for one in sample.daemons}
