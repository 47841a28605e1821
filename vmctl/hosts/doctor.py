"""Is a host fit to be in the pool? Checks that change nothing on it, each with the command that mends it.

A check answers OK, WARN or FAIL; any FAIL keeps a host out. What must hold between hosts (one lock guards all, every
host reaches every other) is proven by doing it, not by reading configuration.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import Any

from vmctl.errors import CommandFailed, VmctlError
from vmctl.hosts import domainxml, facts
from vmctl.hosts.leaseprobe import LeaseProbe
from vmctl.hosts.lockd import LOCK_CONFIG
from vmctl.hosts.port import Link

log = logging.getLogger("vmctl.doctor")
OK, WARN, FAIL = "ok", "warn", "FAIL"
OLDEST_LIBVIRT, OLDEST_QEMU = (8, 0, 0), (5, 2, 0)
FIRST_PORT, LAST_PORT = 49152, 49215
CLOCK_WARN_S, CLOCK_FAIL_S = 0.5, 5.0
SAMPLE_S = 10.0


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the doctor's report."""

    name: str
    verdict: str
    text: str
    fix: str = ""  # the command that mends it


def as_json(checks: list[Check]) -> list[dict[str, Any]]:
    """The report for the wire."""
    return [asdict(check) for check in checks]


async def examine(link: Link) -> list[Check]:
    """Everything that concerns one host alone. Each check stands for itself: one that breaks is one FAIL."""
    checks: list[tuple[str, Callable[[Link], Awaitable[Check]]]] = [
        ("libvirt", _versions),
        ("KVM", _accelerator),
        ("CPU", _cpu),
        ("memory", _memory),
        ("load", _load),
        ("clock", _clock),
        ("sshd", _sshd),
    ]
    return list(await asyncio.gather(*(guard(name, check, link) for name, check in checks)))


async def guard(name: str, check: Callable[..., Awaitable[Check]], *about: Any) -> Check:
    """A wall around one check: whatever it raises is its own FAIL, and stops no other."""
    try:
        return await check(*about)
    except Exception as err:
        return failed(name, err)


def failed(name: str, err: Exception) -> Check:
    """The line for what went wrong in a check, also where nobody had thought of it."""
    if isinstance(err, VmctlError):
        return Check(name, FAIL, err.message, err.hint)
    log.error("the check %r broke", name, exc_info=err)
    return Check(name, FAIL, f"this check broke: {type(err).__name__}: {err}", "the controller's log has it in full")


async def _versions(link: Link) -> Check:
    about = link.about
    assert about is not None
    text = f"libvirt {about.libvirt}, QEMU {about.qemu}"
    old = number(about.libvirt) < OLDEST_LIBVIRT or number(about.qemu) < OLDEST_QEMU
    if old:
        return Check("libvirt", FAIL, f"{text}: too old", "upgrade to libvirt 8 and QEMU 5.2 or newer")
    return Check("libvirt", OK, text)


def number(version: str) -> tuple[int, ...]:
    """A version such as 9.0.0 so that it can be compared."""
    return tuple(int(part) for part in version.split("."))


async def _accelerator(link: Link) -> Check:
    assert link.about is not None
    if link.about.accel == "kvm":
        return Check("KVM", OK, "usable")
    return Check("KVM", WARN, "not usable: VMs are emulated, which is slow", "enable virtualisation; modprobe kvm")


async def _cpu(link: Link) -> Check:
    assert link.about is not None
    info = await link.ask(facts.CpuInfoFact)
    model = domainxml.cpu_name(link.about.cpu_xml) or "no model known to libvirt"
    return Check("CPU", OK, f"{info.model}, {info.cpus} CPUs; guests can have {model}")


async def _memory(link: Link) -> Check:
    total, available = await link.ask(MEMORY)
    verdict = OK if available >= 512 else WARN
    return Check("memory", verdict, f"{total} MiB, {available} MiB available")


def _parse_memory(text: str) -> tuple[int, int]:
    kib = {key: int(value.split()[0]) for key, _, value in (line.partition(":") for line in text.splitlines()) if value}
    return kib["MemTotal"] >> 10, kib["MemAvailable"] >> 10


MEMORY = facts.Fact(("cat", "/proc/meminfo"), _parse_memory)


async def _load(link: Link) -> Check:
    """Without load a host is never chosen: what the load loop will do is done once, here."""
    sample = await link.measure(SAMPLE_S)
    link.size = (sample.cpus, sample.mem_total_kib >> 10)
    return Check("load", OK, f"a sample was taken: {sample.cpus} CPUs, {len(sample.vms)} VMs")


async def _clock(link: Link) -> Check:
    before = link.clock.now()
    theirs = await link.ask(facts.Clock)
    after = link.clock.now()
    offset = max(0.0, abs(theirs - (before + after) / 2) - (after - before) / 2)
    text = f"{offset:.1f} s off" if offset else f"right to {(after - before) / 2 * 1000:.0f} ms"
    verdict = FAIL if offset > CLOCK_FAIL_S else WARN if offset > CLOCK_WARN_S else OK
    return Check("clock", verdict, text, "" if verdict == OK else f"on {link.name}: systemctl enable --now chrony")


async def _sshd(link: Link) -> Check:
    limits = await link.ask(facts.SshdLimitsFact)
    if limits.max_sessions is None or limits.max_startups is None:
        return Check("sshd", OK, "its limits are not readable as this user; we need 10 sessions")
    text = f"MaxSessions {limits.max_sessions}, MaxStartups {':'.join(map(str, limits.max_startups))}"
    if limits.max_sessions < 10:
        return Check("sshd", WARN, f"{text}: fewer than 10 sessions", "set MaxSessions 10 in sshd_config")
    return Check("sshd", OK, text)


# -- the lock manager


async def lockspace(link: Link) -> tuple[str, Check]:
    """Where the host's lock manager keeps its leases, from its configuration where we may read it."""
    try:
        found = await link.ask(LOCK_CONFIG)
    except CommandFailed as err:
        given = "give the directory with --lockspace DIR, or read it as root"
        return "", Check("lock manager", FAIL, f"its configuration is not readable: {err.message}", given)
    if found.manager != "lockd":
        return "", Check(
            "lock manager",
            FAIL,
            f"{link.name} runs QEMU without a lock manager: two hosts could write one disk",
            f'on {link.name}: set lock_manager = "lockd" in /etc/libvirt/qemu.conf and file_lockspace_dir = a '
            "shared directory in /etc/libvirt/qemu-lockd.conf, then restart virtlockd and libvirtd",
        )
    if not found.lockspace:
        return "", Check(
            "lock manager",
            FAIL,
            "virtlockd locks only this host's files: it has no lockspace on shared storage",
            f"on {link.name}: set file_lockspace_dir = a shared directory in /etc/libvirt/qemu-lockd.conf, then "
            "restart virtlockd and libvirtd",
        )
    return found.lockspace, Check("lock manager", OK, f"virtlockd with its lockspace in {found.lockspace}")


async def prove_lock(lockspace_dir: str, first: Link, second: Link) -> Check:
    """Hold a lease by a 1-MiB VM on one host and try to take it on the other (or again on the same): must fail."""
    probe = LeaseProbe(lockspace_dir)
    try:
        await probe.hold(first)
        if not await probe.take(second):
            return Check("lock", OK, f"a lease held on {first.name} is refused on {second.name}")
        return Check(
            "lock",
            FAIL,
            f"{second.name} took a lease that {first.name} held: the lock manager does not guard between them",
            f"let file_lockspace_dir be the same shared directory on {first.name} and {second.name}",
        )
    except VmctlError as err:
        return Check("lock", FAIL, f"a lease cannot be taken: {err.message}", "see the lock manager's set-up in README")
    finally:
        await probe.end()


# -- between hosts


async def reach(source: Link, target: Link) -> Check:
    """Whether one host reaches the other's migration ports. "Refused" is good: nothing listens there yet."""
    name = "network"
    address = target.record.migration_address or target.record.address
    for port in (FIRST_PORT, LAST_PORT):
        answer = await source.ssh.reach(address, port)
        if answer not in ("open", "refused"):
            return Check(
                name,
                FAIL,
                f"{source.name} cannot reach {address} port {port}: {answer}",
                f"on {target.name}: allow TCP {FIRST_PORT}-{LAST_PORT} from {source.name}",
            )
    return Check(name, OK, f"{address} ports {FIRST_PORT}-{LAST_PORT} can be reached")
