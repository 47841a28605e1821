"""How fast commands feel: vmctl beside virsh and the OpenStack client, by turns. Needs root; see README.md.

python -m tests.bench.cli [--runs 15] [--vms 10] [--lab b] [--no-peers]
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

from tests.bench.collect import PEERS, install_peers
from tests.bench.migrate import environment, uri
from tests.lab.pool import Pool, wait_for
from vmctl.cli.client import Client
from vmctl.commands.vms import ListVMs

VMCTL = str(Path(sys.executable).with_name("vmctl"))
GOALS_MS = {"vmctl --help": 150.0, "vmctl --version": 150.0, "vmctl list": 200.0}
Run = tuple[float, float]  # wall and CPU, in milliseconds


def install_openstack() -> str:
    """The OpenStack client, in the benches' own environment; installed once."""
    program = install_peers() / "openstack"
    if not program.exists():
        print("installing python-openstackclient ...", flush=True)
        subprocess.run([PEERS / "bin" / "pip", "install", "-q", "python-openstackclient"], check=True)
    return str(program)


def run(command: list[str]) -> Run:
    """One run: wall, and the CPU of the process and its children."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=True, env=environment())
    wall = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall * 1000, cpu * 1000


def measure(commands: dict[str, list[str]], runs: int) -> dict[str, list[Run]]:
    """All commands by turns; the first round fills caches and is not counted."""
    found: dict[str, list[Run]] = {name: [] for name in commands}
    for number in range(-1, runs):
        for name, command in commands.items():
            one = run(command)
            if number >= 0:
                found[name].append(one)
    return found


def show(found: dict[str, list[Run]]) -> None:
    """Medians, and the goals."""
    print(f"\n{'command':32} {'wall ms':>9} {'lowest':>8} {'CPU ms':>8}")
    for name, runs in found.items():
        walls = [wall for wall, _ in runs]
        wall, cpu = statistics.median(walls), statistics.median(cpu for _, cpu in runs)
        goal = GOALS_MS.get(name)
        verdict = f"  goal {goal:.0f}: {'met' if wall <= goal else 'NOT met'}" if goal else ""
        print(f"{name:32} {wall:9.0f} {min(walls):8.0f} {cpu:8.0f}{verdict}")


def prepare(pool: Pool, vms: int) -> None:
    """A cluster worth listing."""
    pool.set_up()
    listed = [f"vm{number}" for number in range(vms)]
    for name in listed:
        pool.do("create", name, "--image", "tiny", "--memory", "96M")
    ready = lambda: len([vm for vm in Client().ask(ListVMs()) if vm["power"] == "running"]) == vms  # noqa: E731
    wait_for(ready, 60, "all run")
    for name in listed:  # paused guests leave the cores to what is measured
        pool.do("pause", name)
    time.sleep(5)


def main() -> None:
    """A lab of our own, all commands by turns, and nothing left of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", default=15, type=int)
    parser.add_argument("--vms", default=10, type=int)
    parser.add_argument("--lab", default="b")
    parser.add_argument("--no-peers", dest="peers", action="store_false")
    given = parser.parse_args()
    openstack = install_openstack() if given.peers else ""
    pool = Pool(3, given.lab)
    try:
        prepare(pool, given.vms)
        commands = {
            "vmctl --help": [VMCTL, "--help"],
            "vmctl --version": [VMCTL, "--version"],
            "vmctl list": [VMCTL, "list"],
            "virsh --version": ["virsh", "--version"],
            "virsh list (local socket)": ["virsh", "-q", "-c", uri(pool.hosts[0]), "list", "--all"],
            "python -c pass": [sys.executable, "-c", "pass"],
        }
        if openstack:
            commands["openstack --help"] = [openstack, "--help"]
            commands["openstack server list --help"] = [openstack, "server", "list", "--help"]
        print(f"{given.vms} VMs on {len(pool.hosts)} hosts, load {os.getloadavg()[0]:.1f}")
        show(measure(commands, given.runs))
    finally:
        pool.close()


if __name__ == "__main__":
    main()
