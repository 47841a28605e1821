"""A host's QEMU processes as the ledger sees them. Pure: samples in, values out."""

from __future__ import annotations

from vmctl.hosts.facts import QemuProcess, RawSample
from vmctl.hosts.load import rates
from vmctl.ledger import ProcessSample

PROGRAM = "qemu"


def seen_of(before: RawSample | None, after: RawSample, version: str = "") -> list[ProcessSample]:
    """The QEMU processes of a sample; their CPU use since the sample before, 0 where that is not known.

    Start times are by the host's own clock, which is read in whole seconds: for people, not for identity.
    """
    step = rates(before, after) if before is not None else None
    used = {uuid: vm.cpu for uuid, vm in step.vms.items()} if step is not None else {}
    return [_seen(vm, used.get(vm.uuid, 0.0), after, version) for vm in after.vms]


def _seen(vm: QemuProcess, cpu: float, sample: RawSample, version: str) -> ProcessSample:
    return ProcessSample(
        pid=vm.pid,
        start_ticks=vm.start_ticks,
        started_us=max(0, int((sample.wall_s - sample.age_s(vm.start_ticks)) * 1e6)),
        program=PROGRAM,
        version=version,
        command=f"-name guest={vm.name} -uuid {vm.uuid}",
        cpu=cpu,
        rss_kib=vm.rss_kib,
        threads=vm.threads,
    )


def same_processes(before: RawSample, after: RawSample) -> bool:
    """Whether nothing began or ended between two samples of one host."""
    return before.boot_id == after.boot_id and _identities(before) == _identities(after)


def _identities(sample: RawSample) -> set[tuple[int, int]]:
    return {(vm.pid, vm.start_ticks) for vm in sample.vms}
