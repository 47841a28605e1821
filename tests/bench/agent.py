"""What the guest agent costs: python -m tests.bench.agent [--processes 200,500,1000] [--rounds 21]

D1: CPU time of one scan beside psutil and a C program that only reads (kept files, no parsing). D2: bytes on the wire.
D3: the agent's memory. The methods run by turns in one process each; medians. Needs gcc for the floor.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from guest_agent import picture, wire
from guest_agent.config import check
from guest_agent.guest import Guest

ROOT = Path(__file__).parents[2]
PSUTIL_NAIVE = [
    "pid", "ppid", "name", "cmdline", "username", "status", "cpu_times", "memory_info", "num_threads", "num_fds",
    "create_time",
]  # fmt: skip
PSUTIL_LEAN = ["pid", "cpu_times", "memory_info"]
FLOOR = r"""
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>
int main(int argc, char **argv) {  /* floor ROUNDS: milliseconds of CPU per round, each on a line */
    static int fds[65536]; int count = 0, rounds = atoi(argv[1]); char path[64], buffer[1024];
    struct rlimit limit = {16384, 16384}; setrlimit(RLIMIT_NOFILE, &limit);
    DIR *proc = opendir("/proc"); struct dirent *one;
    while ((one = readdir(proc))) if (one->d_name[0] >= '0' && one->d_name[0] <= '9') {
        snprintf(path, sizeof path, "/proc/%s/stat", one->d_name);
        int fd = open(path, O_RDONLY); if (fd >= 0) fds[count++] = fd;
    }
    for (int round = 0; round < rounds; round++) {
        struct timespec a, b; clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
        for (int i = 0; i < count; i++) { ssize_t n = pread(fds[i], buffer, sizeof buffer, 0); (void)n; }
        rewinddir(proc); while ((one = readdir(proc)));
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
        printf("%.4f\n", (b.tv_sec - a.tv_sec) * 1e3 + (b.tv_nsec - a.tv_nsec) / 1e6);
        usleep(200000);
    }
    return 0;
}
"""


@contextmanager
def sleepers(wanted: int) -> Iterator[int]:
    """So many processes on this machine, those that were there before included. Gives how many there are."""
    there = sum(name.name.isdigit() for name in Path("/proc").iterdir())
    made = [subprocess.Popen(["sleep", "3600"], close_fds=False) for _ in range(max(0, wanted - there))]
    time.sleep(11)  # the agent looks at young processes more closely
    try:
        yield sum(name.name.isdigit() for name in Path("/proc").iterdir())
    finally:
        for one in made:
            one.kill()
        for one in made:
            one.wait()


def cpu_ms(rounds: int, work: Callable[[], object]) -> list[float]:
    """CPU time of each round, user and system; a pause between rounds, as in life."""
    found = []
    for _ in range(rounds):
        began = time.process_time()
        work()
        found.append((time.process_time() - began) * 1000)
        time.sleep(0.2)
    return found


def by_psutil(attributes: list[str]) -> Callable[[], object]:
    """psutil as most programs use it."""
    import psutil

    return lambda: [process.info for process in psutil.process_iter(attributes)]


def by_agent() -> Callable[[], object]:
    """The agent's whole look at processes and their ports."""
    guest = Guest(check({"kernel_threads": True}), time.monotonic())

    def look() -> object:
        now = time.monotonic()
        touched = guest.scanner.scan(now)
        return touched, guest.listeners.scan(now, list(guest.scanner.by_pid), guest.scanner.fresh)

    return look


def by_scanner() -> Callable[[], object]:
    """The scan of processes alone."""
    scanner = Guest(check({"kernel_threads": True}), time.monotonic()).scanner
    return lambda: scanner.scan(time.monotonic())


METHODS: dict[str, Callable[[], Callable[[], object]]] = {
    "psutil naive": lambda: by_psutil(PSUTIL_NAIVE),
    "psutil lean": lambda: by_psutil(PSUTIL_LEAN),
    "agent, processes and ports": by_agent,
    "agent, processes": by_scanner,
}


def measure(method: str, rounds: int) -> list[float]:
    """In a process of its own; the first rounds, which open files, are not counted."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.agent", "--method", method, "--rounds", str(rounds)],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [float(line) for line in done.stdout.split()]


def floor(place: Path, rounds: int) -> list[float]:
    """The same by C."""
    program = place / "floor"
    if not program.exists():
        (place / "floor.c").write_text(FLOOR)
        subprocess.run(["gcc", "-O2", "-o", program, place / "floor.c"], check=True)
    done = subprocess.run([program, str(rounds)], capture_output=True, text=True, check=True)
    return [float(line) for line in done.stdout.split()][2:]


def bytes_on_the_wire(rounds: int) -> tuple[int, float, float]:
    """Of a full picture, and of deltas 5 s apart on a machine that is as idle as this one: median and mean."""
    guest, told = Guest(check({}), time.monotonic()), picture.Picture()
    guest.scan(time.monotonic())
    time.sleep(1)
    guest.scan(time.monotonic())
    everything = sum(map(len, wire.encode("full", 1, picture.full(guest.picture))))
    picture.tell(told, guest.picture)
    sizes = []
    for number in range(rounds):
        time.sleep(5)
        touched = guest.scan(time.monotonic())
        sizes.append(sum(map(len, wire.encode("delta", number, picture.tell(told, guest.picture, touched)))))
    return everything, statistics.median(sizes), statistics.mean(sizes)


def memory(scans: int) -> dict[str, int]:
    """KiB of the packaged agent, at its port, after so many reports (0.1 s apart)."""
    with tempfile.TemporaryDirectory() as place:
        tree, config = Path(place) / "tree", Path(place) / "agent.toml"
        subprocess.run([sys.executable, ROOT / "deploy/agent/build", "--tree", tree], check=True)
        subprocess.run(["/usr/bin/python3", "-I", "-m", "compileall", "-q", tree], check=True)
        config.write_text("period_s = 0.1\nperiod_min_s = 0.1\n")
        master, slave = os.openpty()
        command = ["/usr/bin/python3", "-I", "-S", str(tree), "--config", str(config), "--port", os.ttyname(slave)]
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        try:
            ends = time.monotonic() + scans * 0.1
            while time.monotonic() < ends:
                os.read(master, 65536)
            text = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
        finally:
            process.kill()
            process.wait()
    return {key: int(text.split(f"\n{key}:")[1].split()[0]) for key in ("Rss", "Pss", "Private_Dirty")}


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", default="200,500,1000")
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--method", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.method:
        print(*cpu_ms(args.rounds, METHODS[args.method]())[2:], sep="\n")
        return
    report: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as place:
        for wanted in map(int, args.processes.split(",")):
            with sleepers(wanted) as there:
                medians = {method: round(statistics.median(measure(method, args.rounds)), 2) for method in METHODS}
                medians["C floor"] = round(statistics.median(floor(Path(place), args.rounds)), 2)
                row: dict[str, object] = {"processes": there, **medians}
                if wanted == 200:
                    row["bytes full, delta median, delta mean"] = bytes_on_the_wire(12)
                    row["agent KiB"] = memory(600)
                report[str(wanted)] = row
                print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
