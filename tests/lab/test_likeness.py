"""What real hosts answer to the sequences by which the simulated ones are measured (tests/sim/likeness.py).

`VMCTL_RECORD=1` writes it down anew.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.lab.pool import Pool
from tests.sim.likeness import (
    FOLDER,
    FREEZE,
    LOCKSPACE,
    MARK,
    OTHER,
    RECORDED,
    SEQUENCES,
    THAW,
    UUID,
    Likeness,
    recorded_of,
)
from vmctl.hosts.link import HostLink
from vmctl.hosts.port import Link
from vmctl.hosts.ssh import read_host_key
from vmctl.local.config import Settings
from vmctl.model.records import HostRecord

pytestmark = pytest.mark.lab
DISKS = f"{FOLDER}/disk.qcow2 {FOLDER}/other.qcow2"
DEEDS = {
    FREEZE: "pkill -STOP -x libvirtd",
    THAW: "pkill -CONT -x libvirtd || :",
    "files": f"rm -rf {FOLDER} && mkdir -p {FOLDER} && cd {LOCKSPACE} && touch {UUID} {OTHER} && "
    f"for disk in {DISKS}; do qemu-img create -q -f qcow2 $disk 1M; done",
    "nokey": f"rm -f {LOCKSPACE}/{UUID}",
    "nodisk": f"rm -f {FOLDER}/disk.qcow2",
    "tidy": f"rm -rf {FOLDER} {LOCKSPACE}/{UUID} {LOCKSPACE}/{OTHER}",
}


@pytest.fixture(scope="module")
def recorded(pool: Pool) -> Iterator[list[str]]:
    """What was told, for all sequences; no controller looks on, as it would take the VM over."""
    pool("serve", "--stop")
    told: list[str] = []
    yield told
    pool.ssh(pool.hosts[0], DEEDS["tidy"])
    if os.environ.get("VMCTL_RECORD"):
        RECORDED.write_text("\n".join(told) + "\n")


@pytest.fixture
async def hosts(pool: Pool, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Likeness]:
    """Two hosts, each by a link of its own."""
    links = []
    for host in pool.status.hosts[:2]:
        shown = await read_host_key(host.address, 22, 10.0)
        record = HostRecord(host.name, host.address, shown.public, shown.fingerprint, 0.0)
        runtime = pool.place / "like"
        runtime.mkdir(mode=0o700, exist_ok=True)
        links.append(HostLink(record, (pool.key,), runtime, Settings(), asyncio.Semaphore(2)))
        await links[-1].connect()

    async def past(link: Link, verb: str) -> None:
        await asyncio.to_thread(pool.ssh, link.name, DEEDS[verb])

    yield Likeness(links[0], links[1], past)
    for link in links:
        await link.close()


# A third of them each time; all of them take five minutes.
SOME = [pytest.param(one, marks=() if not number % 3 else pytest.mark.nightly) for number, one in enumerate(SEQUENCES)]


@pytest.mark.parametrize("sequence", SOME)
async def test_real_hosts_answer_as_was_written_down(hosts: Likeness, recorded: list[str], sequence: str) -> None:
    told = await hosts.run(sequence)
    recorded += [f"{MARK}{sequence}", *told]
    if not os.environ.get("VMCTL_RECORD"):
        assert told == recorded_of(sequence)
