"""parallel-ssh's part of the bench: run by the Python of the peers' own environment, so it imports nothing of ours.

python collect_parallel_ssh.py HOSTS ROUNDS KEY COMMAND CONTROLLER_CGROUP HOSTS_CGROUP PORT...
"""

import json
import os
import sys
import time
from pathlib import Path


def cpu_s(path):  # type: ignore[no-untyped-def]
    first = Path(path) / "cpuacct.usage"
    if first.exists():
        return int(first.read_text()) / 1e9
    words = (Path(path) / "cpu.stat").read_text().split()
    return int(words[words.index("usage_usec") + 1]) / 1e6


def main():  # type: ignore[no-untyped-def]
    from pssh.clients import ParallelSSHClient
    from pssh.config import HostConfig

    hosts, rounds, key, command, controller, remote, *ports = sys.argv[1:]
    count, times = int(hosts), int(rounds)
    (Path(controller) / "cgroup.procs").write_text("0")
    config = [HostConfig(port=int(ports[n % len(ports)]), user="root", private_key=key) for n in range(count)]
    client = ParallelSSHClient(["127.0.0.1"] * count, host_config=config, pool_size=count)

    def once():  # type: ignore[no-untyped-def]
        output = client.run_command(command)
        client.join(output)
        sizes = [sum(len(line) + 1 for line in host.stdout) for host in output]
        return sizes[0]

    once()
    before = cpu_s(controller), cpu_s(remote), time.perf_counter()
    size = [once() for _ in range(times)][-1]
    after = cpu_s(controller), cpu_s(remote), time.perf_counter()
    used = [(late - early) * 1000 / times / count for early, late in zip(before, after, strict=True)]
    print(json.dumps({"controller_ms": used[0], "host_ms": used[1], "wall_ms": used[2], "bytes": size}), flush=True)
    os._exit(0)


main()
