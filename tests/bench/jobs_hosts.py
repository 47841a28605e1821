"""What jobs are measured on: real sshds, one for each host, and a whole controller that has all of them as its hosts.

Each host has a port of its own and a folder of its own for what runs there; one key opens all of them. The controller
is `vmctl serve` on a registry in a file (`cluster/whole.py`), of which libvirt alone is a stand-in: jobs need only SSH.
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.cluster.busy import Home, loads
from tests.bench.cluster.simhosts import name_of, uuid_of
from tests.bench.collect import give_one_key
from tests.bench.meter import Meter
from tests.bench.migrate import environment
from tests.cluster.replicas import wait_for
from tests.hosts.sshd import PrivateSshd
from vmctl.model.records import HostRecord
from vmctl.store.opening import open_store

READY_S, SETTLE_S = 120.0, 12.0  # for 10 s after a log-in the collecting program looks twice at new processes
SETTINGS = "sample_period_s = 10\nread_guests = false\n"
VMCTL = str(Path(sys.executable).with_name("vmctl"))


@dataclass(frozen=True)
class Meters:
    """Whose CPU is counted apart."""

    client: Meter  # the command, and all that it starts: of ours and of the peers
    controller: Meter
    hosts: Meter


@contextmanager
def metered() -> Iterator[Meters]:
    """Groups of their own; whatever is left in them ends with them: keepers, kept connections."""
    made = [Meter(f"vmctl-bench-jobs-{name}") for name in ("client", "controller", "hosts")]
    try:
        yield Meters(*made)
    finally:
        for one in made:
            one.end()


@contextmanager
def all_sshds(home: Path, count: int, meter: Meter) -> Iterator[list[PrivateSshd]]:
    """So many that listen."""
    with ExitStack() as ends:
        made = []
        for number in range(count):
            one = PrivateSshd(
                home / f"host{number}", extra="MaxStartups 200", environment=f"VMCTL_RUNS={home}/r{number}"
            )
            made.append(one)
        give_one_key(made)
        for one in made:
            ends.callback(one.stop)
            one.start()
            assert one.process is not None
            meter.join(one.process.pid)
        yield made


async def register(file: Path, sshds: Sequence[PrivateSshd]) -> None:
    """The registry, with all hosts."""
    store = open_store("", file)
    for number, sshd in enumerate(sshds):
        about = {"host_uuid": uuid_of(number)}
        record = HostRecord(name_of(number), "127.0.0.1", sshd.host_key, "bench", 1.0, port=sshd.port, about=about)
        await store.put(record)
    await store.close()


@contextmanager
def controller(folder: Path, sshds: Sequence[PrivateSshd], meter: Meter) -> Iterator[dict[str, str]]:
    """One that has a load of every host; the environment of a command that speaks to it."""
    home = Home(folder)
    for part in ("config/vmctl", "data/vmctl/ssh"):
        (folder / part).mkdir(parents=True)
        (folder / part).chmod(0o700)
    (folder / "data" / "vmctl").chmod(0o700)
    for end in ("", ".pub"):
        shutil.copy(f"{sshds[0].key}{end}", folder / "data" / "vmctl" / "ssh" / f"id_ed25519{end}")
    (folder / "config" / "vmctl" / "vmctl.toml").write_text(SETTINGS)
    asyncio.run(register(folder / "data" / "vmctl" / "registry.db", sshds))
    ours = environment()
    given = {name: value for name, value in home.environment(0).items() if name != "PYTHONDONTWRITEBYTECODE"}
    given["PYTHONPYCACHEPREFIX"] = ours["PYTHONPYCACHEPREFIX"]
    with (folder / "log").open("w") as log:
        command = [sys.executable, "-m", "tests.bench.cluster.whole", "serve"]
        child = subprocess.Popen(command, env=given, stdout=log, stderr=log)
    try:
        meter.join(child.pid)
        print(f"the controller: process {child.pid}", flush=True)
        wait_for(home.listens, "it answers", READY_S)
        wait_for(lambda: len(loads(home)) == len(sshds), "all hosts have a load", READY_S)
        time.sleep(SETTLE_S)
        yield given
    finally:
        child.terminate()
        child.wait(30)
