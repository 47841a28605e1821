"""Load collection beside its peers, in one run, on loopback. Needs root; see README.md.

python -m tests.bench.collect [--hosts 1,16,64] [--rounds 20] [--repeats 3] [--live 500] [--no-peers]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Sequence
from pathlib import Path

from tests.bench.collect_live import live
from tests.bench.collect_worker import COMMAND
from tests.bench.meter import Meter
from tests.hosts.sshd import PrivateSshd

HERE = Path(__file__).parent
PEERS = Path.home() / ".cache" / "vmctl" / "bench-venv"
OURS = ["vmctl-perl", "vmctl-awk", "vmctl-sh"]
SLOW = {"ssh process": 1, "ansible raw": 1, "asyncssh exec": 5, "parallel-ssh": 5, "vmctl-sh": 5}  # rounds that suffice
COLUMNS = ("controller_ms", "host_ms", "wall_ms", "bytes")


def install_peers() -> Path:
    """The peers' own environment; made once."""
    if not (PEERS / "bin" / "ansible").exists():
        print("installing ansible-core and parallel-ssh ...", flush=True)
        venv.create(PEERS, with_pip=True)
        subprocess.run([PEERS / "bin" / "pip", "install", "-q", "ansible-core", "parallel-ssh"], check=True)
    return PEERS / "bin"


def run_one(method: str, hosts: int, rounds: int, sshds: list[PrivateSshd], peers: Path) -> dict[str, float] | None:
    """One method in a process of its own; None when it failed."""
    ports = [str(sshd.port) for sshd in sshds]
    rounds = min(rounds, SLOW.get(method, rounds)) if hosts > 1 else rounds
    command = [sys.executable, "-m", "tests.bench.collect_worker", method, str(hosts), str(rounds), str(sshds[0].key),
               sshds[0].host_key, *ports]  # fmt: skip
    if method == "parallel-ssh":
        groups = [str(Meter(f"vmctl-bench-{name}").path) for name in ("controller", "hosts")]
        command = [str(peers / "python"), str(HERE / "collect_parallel_ssh.py"), str(hosts), str(rounds),
                   str(sshds[0].key), COMMAND, *groups, *ports]  # fmt: skip
    run = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env=os.environ | {"BENCH_PEERS": str(peers), "BENCH_HOME": str(sshds[0].directory.parent)},
    )
    if run.returncode:
        print(f"{method} failed: {run.stderr.strip()[-600:]}")
        return None
    found: dict[str, float] = json.loads(run.stdout.strip().rpartition("\n")[2])
    return found


def give_one_key(sshds: Sequence[PrivateSshd]) -> None:
    """One key opens all of them, and all show the same one."""
    first, *others = sshds
    for sshd in others:
        for name in ("client", "client.pub", "authorized_keys", "host_key", "host_key.pub"):
            shutil.copy(first.directory / name, sshd.directory / name)
        sshd.host_key = first.host_key


def read_floor() -> float:
    """CPU ms to read the files once, with nothing around it: what no collector can go below."""
    files = [os.open(name, os.O_RDONLY) for name in COMMAND.split()[1:]]
    begin, rounds = time.process_time(), 500
    for _ in range(rounds):
        for file in files:
            os.pread(file, 1 << 16, 0)
    for file in files:
        os.close(file)
    return (time.process_time() - begin) * 1000 / rounds


def table(hosts: int, found: dict[str, dict[str, float]]) -> None:
    """Medians, and each method's controller and host CPU as a multiple of ours."""
    best = found.get("vmctl-perl")
    print(f"\n{hosts} hosts{'':14} controller ms   host ms   wall ms    bytes   controller x   host x")
    for method, row in found.items():
        ratio = [row[column] / best[column] if best else 0.0 for column in COLUMNS[:2]]
        print(
            f"  {method:18} {row['controller_ms']:13.3f} {row['host_ms']:9.3f} {row['wall_ms']:9.3f} "
            f"{row['bytes']:8.0f} {ratio[0]:14.1f} {ratio[1]:8.1f}"
        )


def goals(found: dict[str, dict[str, float]], floor_ms: float) -> None:
    """B1 and B2 of the goals, as they came out."""
    ours = found["vmctl-perl"]
    for peer, least in (("ssh process", 500), ("ansible raw", 400), ("asyncssh exec", 5)):
        if peer in found:
            ratio = found[peer]["controller_ms"] / ours["controller_ms"]
            print(
                f"  B1 controller CPU: 1/{ratio:.1f} of {peer} (goal 1/{least})", "met" if ratio >= least else "NOT met"
            )
    if "ssh process" in found:
        ratio = found["ssh process"]["host_ms"] / ours["host_ms"]
        print(f"  B2 host CPU: 1/{ratio:.0f} of ssh process (goal 1/100) {'met' if ratio >= 100 else 'NOT met'}")
    times = ours["host_ms"] / floor_ms
    print(
        f"  B2 host CPU: {times:.1f} x reading the files ({floor_ms:.3f} ms; goal 4 x)",
        "met" if times <= 4 else "NOT met",
    )


def compare(arguments: argparse.Namespace, sshds: list[PrivateSshd]) -> None:
    """Every method at every size, the methods by turns so that a busy moment hits all alike."""
    peers = install_peers() if arguments.peers else PEERS
    methods = OURS + (["asyncssh exec", "parallel-ssh", "ssh process", "ansible raw"] if arguments.peers else [])
    for hosts in arguments.hosts:
        rows: dict[str, list[dict[str, float]]] = {}
        for _ in range(arguments.repeats):
            for method in methods:
                row = run_one(method, hosts, arguments.rounds, sshds, peers)
                if row:
                    rows.setdefault(method, []).append(row)
        found = {
            method: {column: statistics.median(row[column] for row in some) for column in COLUMNS}
            for method, some in rows.items()
        }
        table(hosts, found)
        goals(found, statistics.median(read_floor() for _ in range(5)))


def main() -> None:
    """Start a few sshds, measure, end them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hosts", default=[1, 16, 64], type=lambda text: [int(word) for word in text.split(",")])
    parser.add_argument("--rounds", default=20, type=int)
    parser.add_argument("--repeats", default=3, type=int)
    parser.add_argument("--live", default=0, type=int, help="so many live connections instead of the comparison")
    parser.add_argument("--no-peers", dest="peers", action="store_false")
    arguments = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="vmctl-bench-"))
    meters = [Meter("vmctl-bench-controller"), Meter("vmctl-bench-hosts")]
    sshds = [PrivateSshd(home / f"sshd{n}", extra="MaxStartups 2000\nMaxSessions 100") for n in range(4)]
    try:
        give_one_key(sshds)
        for sshd in sshds:
            sshd.start()
            if sshd.process:
                meters[1].join(sshd.process.pid)
        if arguments.live:
            live(arguments.live, sshds, meters)
        else:
            compare(arguments, sshds)
    finally:
        for sshd in sshds:
            sshd.stop()
        for meter in meters:
            meter.end()
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
