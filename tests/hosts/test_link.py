"""What a link learns of its host, each thing once per connection."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest

from tests.hosts.sshd import PrivateSshd
from vmctl.errors import LibvirtError, NoAnswer, NotAllowed
from vmctl.hosts.link import HostLink
from vmctl.hosts.shown import About, DomainSeen
from vmctl.hosts.virt import Virt
from vmctl.local.config import Settings
from vmctl.model.hosts import HostState
from vmctl.model.records import HostRecord
from vmctl.model.vms import PowerState


@pytest.fixture
async def link(tmp_path: Path, shared_sshd: PrivateSshd) -> HostLink:
    record = HostRecord("kvm1", "10.0.0.1", shared_sshd.host_key, "f", 1.0)
    made = HostLink(record, (), tmp_path, Settings(), asyncio.Semaphore())
    made.about = About("9.0.0", "7.2.0", "kvm", "", (), 8192, 4, "h")
    return made


async def test_each_cpu_is_asked_about_once(link: HostLink, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    async def cpu_fits(accel: str, cpu: str) -> bool:
        asked.append((accel, cpu))
        return cpu == "<cpu>a</cpu>"

    monkeypatch.setattr(link.virt, "cpu_fits", cpu_fits)
    await link.learn_cpus(["<cpu>a</cpu>", "<cpu>a</cpu>", ""])
    await link.learn_cpus(["<cpu>a</cpu>", "<cpu>b</cpu>"])
    assert asked == [("kvm", "<cpu>a</cpu>"), ("kvm", "<cpu>b</cpu>")]
    assert link.cpus == {"<cpu>a</cpu>": True, "<cpu>b</cpu>": False}


async def test_what_could_not_be_answered_is_asked_again(link: HostLink, monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[Any] = [LibvirtError("not now"), True]

    async def cpu_fits(accel: str, cpu: str) -> bool:
        answer = answers.pop(0)
        if isinstance(answer, LibvirtError):
            raise answer
        return bool(answer)

    monkeypatch.setattr(link.virt, "cpu_fits", cpu_fits)
    with pytest.raises(LibvirtError):
        await link.learn_cpus(["<cpu/>"])
    await link.learn_cpus(["<cpu/>"])
    assert link.cpus == {"<cpu/>": True} and answers == []


async def test_a_host_is_online_once_it_has_listed_its_domains(link: HostLink, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its libvirt answers, and hangs as soon as it is asked for its domains: nothing is to be placed there."""
    seen: list[HostState] = []
    connected = asyncio.Event()

    async def connect() -> None:
        connected.set()

    async def domains() -> tuple[DomainSeen, ...]:
        seen.append(link.state)
        raise NoAnswer("libvirt on kvm1 did not answer within 30 s")

    monkeypatch.setattr(link, "connect", connect)
    monkeypatch.setattr(link.virt, "domains", domains)
    link.on_domains = lambda one: seen.append(one.state)
    link.start()
    await connected.wait()
    await asyncio.sleep(0.05)
    await link.close()
    assert HostState.ONLINE not in seen and len(seen) >= 2
    assert "did not answer" in link.why and "virsh list" in link.mend


async def test_a_host_whose_pinned_key_is_none_is_away_and_stops_nobody(tmp_path: Path) -> None:
    """As after somebody has changed the registry by hand: no controller would begin otherwise."""
    link = HostLink(HostRecord("kvm1", "127.0.0.1", "rubbish", "f", 1.0), (), tmp_path, Settings(), asyncio.Semaphore())
    away = asyncio.Event()
    link.on_domains = lambda _: away.set()
    link.start()
    await away.wait()
    await link.close()
    assert link.state is HostState.UNKNOWN and "the pinned host key cannot be read" in link.why
    assert "vmctl host remove kvm1" in link.mend


async def test_what_a_host_showed_before_it_was_lost_is_not_judged(
    link: HostLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Back after a reboot, with domains that cannot be listed yet: those of the boot before are not its own."""

    async def nothing(*_: Any) -> None:
        return None

    async def about() -> About:
        assert link.about is not None
        return link.about

    for owner, name in ((link.ssh, "connect"), (link, "_forward_libvirt")):
        monkeypatch.setattr(owner, name, nothing)
    monkeypatch.setattr(Virt, "open", nothing)
    monkeypatch.setattr(Virt, "about", lambda _self: about())
    link.domains_at = 1.0
    await link.connect()
    assert link.domains_at is None


async def test_a_domain_that_looks_otherwise_is_read_again(link: HostLink, monkeypatch: pytest.MonkeyPatch) -> None:
    """An external snapshot sends no event."""
    shapes = iter((1, 1, 2))

    async def domains() -> tuple[DomainSeen, ...]:
        return (DomainSeen("u1", "web1", PowerState.RUNNING, shape=next(shapes)),)

    monkeypatch.setattr(link.virt, "domains", domains)
    for changed in (set(), set(), {"u1"}):
        await link.refresh_domains()
        assert link.changed == changed


@pytest.mark.parametrize("setting", ["AllowTcpForwarding no", "DisableForwarding yes", "AllowStreamLocalForwarding no"])
async def test_forbidden_forwarding_is_told_from_a_libvirtd_that_does_not_run(
    setting: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = tmp_path / "libvirt-sock"
    monkeypatch.setattr("vmctl.hosts.link.LIBVIRT_SOCKETS", (str(there),))
    sshd = PrivateSshd(tmp_path / "sshd", extra=setting).start()
    record = HostRecord("kvm1", "127.0.0.1", sshd.host_key, "f", 1.0, port=sshd.port, ssh_user=sshd.target().user)
    link = HostLink(record, (sshd.key,), tmp_path / "run", Settings(), asyncio.Semaphore())
    try:
        with pytest.raises(NotAllowed, match="libvirtd does not run there") as caught:
            await link.connect()
        assert "systemctl enable --now libvirtd" in caught.value.hint
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(there))
            with pytest.raises(NotAllowed, match="libvirtd does not run there"):  # a file that nobody listens on
                await link.connect()
            server.listen()
            with pytest.raises(NotAllowed, match="sshd forbids forwarding") as caught:
                await link.connect()
        assert "AllowStreamLocalForwarding yes" in caught.value.hint
    finally:
        await link.close()
        sshd.stop()
