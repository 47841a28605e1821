"""Real sshds for the tests of vmctl.hosts; each ends with its test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from tests.hosts.sshd import PrivateSshd
from vmctl.hosts.ssh import HostSSH
from vmctl.local.config import Timeouts

TIMEOUTS = Timeouts(ssh_connect_s=5, ssh_keepalive_s=5, command_s=10)
Dial = Callable[..., Awaitable[HostSSH]]


@pytest.fixture(scope="session")
def shared_sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateSshd]:
    """One sshd for all tests that leave it as it is."""
    sshd = PrivateSshd(tmp_path_factory.mktemp("sshd")).start()
    yield sshd
    sshd.stop()


@pytest.fixture
def own_sshd(tmp_path: Path) -> Iterator[PrivateSshd]:
    """An sshd for one test, to be stopped, frozen and reinstalled at will."""
    sshd = PrivateSshd(tmp_path / "sshd").start()
    yield sshd
    sshd.stop()


@pytest.fixture
async def dial() -> AsyncIterator[Dial]:
    """Connects to an sshd; the connection is closed after the test."""
    made: list[HostSSH] = []

    async def connect(sshd: PrivateSshd, timeouts: Timeouts = TIMEOUTS, **changes: object) -> HostSSH:
        host = HostSSH(sshd.target(**changes), [sshd.key], timeouts)  # type: ignore[arg-type]
        made.append(host)
        await host.connect()
        return host

    yield connect
    for host in made:
        await host.close()
