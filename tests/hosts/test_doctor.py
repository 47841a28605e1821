"""The doctor, on a real sshd: one thing that is odd is one line of its report."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.hosts.conftest import TIMEOUTS, Dial
from tests.hosts.sshd import PrivateSshd
from vmctl.errors import Unreachable
from vmctl.hosts import doctor
from vmctl.hosts.collect import Collector
from vmctl.hosts.facts import RawSample
from vmctl.hosts.link import HostLink
from vmctl.hosts.shown import About
from vmctl.local.config import Settings
from vmctl.model.records import HostRecord

ABOUT = About("9.0.0", "7.2.0", "kvm", "", (), 8192, 4, "h")


async def link_to(sshd: PrivateSshd, directory: Path) -> HostLink:
    """A link that is logged in, with what libvirt would have said."""
    target = sshd.target()
    record = HostRecord("kvm1", "127.0.0.1", sshd.host_key, "f", 1.0, port=sshd.port, ssh_user=target.user)
    link = HostLink(record, (sshd.key,), directory, Settings(timeouts=TIMEOUTS), asyncio.Semaphore())
    link.about = ABOUT
    await link.ssh.connect()
    return link


def verdicts(checks: list[doctor.Check]) -> dict[str, str]:
    return {check.name: check.verdict for check in checks}


async def test_a_host_in_order_has_its_size_measured(shared_sshd: PrivateSshd, tmp_path: Path) -> None:
    link = await link_to(shared_sshd, tmp_path)
    found = verdicts(await doctor.examine(link))
    assert found["load"] == found["CPU"] == found["clock"] == doctor.OK
    assert link.size is not None and link.size[0] >= 1 and link.size[1] > 64
    await link.close()


async def test_what_cannot_be_read_is_one_failure_and_stops_no_other_check(tmp_path: Path) -> None:
    """A program of the host that prints something else than it should, whatever its parser trips over."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "cat").write_text("#!/bin/sh\necho 'NOTICE: authorised use only'\n")
    (tmp_path / "bin" / "cat").chmod(0o755)
    sshd = PrivateSshd(tmp_path / "sshd")
    (sshd.home / ".bashrc").write_text(f"PATH={tmp_path}/bin:$PATH\n")
    link = await link_to(sshd.start(), tmp_path)
    try:
        checks = await doctor.examine(link)
        assert verdicts(checks) == {
            "libvirt": "ok", "KVM": "ok", "CPU": "FAIL", "memory": "FAIL", "load": "ok", "clock": "ok", "sshd": "ok",
        }  # fmt: skip
        memory = next(check for check in checks if check.name == "memory")
        assert "kvm1: what cat prints there cannot be read: 'NOTICE: authorised" in memory.text
    finally:
        await link.close()
        sshd.stop()


async def test_without_a_sample_nothing_is_well(tmp_path: Path) -> None:
    sshd = PrivateSshd(tmp_path / "sshd", extra="ForceCommand /bin/true")
    link = await link_to(sshd.start(), tmp_path)
    try:
        load = next(check for check in await doctor.examine(link) if check.name == "load")
        assert load.verdict == doctor.FAIL and "ForceCommand" in load.fix
    finally:
        await link.close()
        sshd.stop()


async def test_a_check_that_breaks_is_its_own_failure() -> None:
    async def odd() -> doctor.Check:
        raise ZeroDivisionError("of course")

    check = await doctor.guard("odd", odd)
    assert (check.name, check.verdict) == ("odd", doctor.FAIL) and "ZeroDivisionError: of course" in check.text


async def test_one_session_is_shared_in_turns(tmp_path: Path, dial: Dial) -> None:
    """MaxSessions 1: the load loop gives way to commands and comes back, and the doctor has one line to say."""
    sshd = PrivateSshd(tmp_path / "sshd", extra="MaxSessions 1")
    link = await link_to(sshd.start(), tmp_path)
    try:
        samples = [await link.measure(10)]
        loop = asyncio.create_task(_samples(link, 3))
        await asyncio.sleep(0.1)
        checks = await doctor.examine(link)
        samples += await loop
        assert len(samples) == 4 and samples[-1].uptime_s > samples[0].uptime_s
        assert [check for check in checks if check.verdict == doctor.FAIL] == []
        ran = await asyncio.gather(*(link.ssh.run(["echo", str(number)]) for number in range(10)))
        assert [each.out for each in ran] == [f"{number}\n" for number in range(10)]
    finally:
        await link.close()
        sshd.stop()


async def test_a_long_command_costs_samples_and_nothing_else_where_there_is_one_session(tmp_path: Path) -> None:
    sshd = PrivateSshd(tmp_path / "sshd", extra="MaxSessions 1")
    link = await link_to(sshd.start(), tmp_path)
    collector = Collector(link.ssh)
    try:
        await collector.sample(10)
        await link.ssh.run(["true"])
        assert link.ssh.in_turns
        long = asyncio.create_task(link.ssh.run(["sleep", "4"]))
        await asyncio.sleep(0.1)
        for _ in range(6):
            with pytest.raises(Unreachable, match="no sample within"):
                await collector.sample(0.4)
        await long
        assert (await collector.sample(10)).cpus
    finally:
        collector.close()
        await link.close()
        sshd.stop()


async def _samples(link: HostLink, count: int) -> list[RawSample]:
    collector = Collector(link.ssh)
    found: list[RawSample] = []
    for _ in range(count):
        found.append(await collector.sample(10))
        await asyncio.sleep(0.2)
    collector.close()
    return found
