"""One way to sample hosts, run in a process (and a cgroup) of its own: prints one line of JSON.

python -m tests.bench.collect_worker METHOD HOSTS ROUNDS KEY HOST_KEY PORT...
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import asyncssh

from tests.bench.meter import Meter
from vmctl.hosts.collect import Collector
from vmctl.hosts.ssh import HostSSH, Target
from vmctl.local.config import Timeouts

FILES = "/proc/stat /proc/meminfo /proc/loadavg /proc/uptime /proc/vmstat /proc/pressure/cpu /proc/pressure/memory"
SETTLE_S = 11.0  # for this long a host's program looks twice at new processes: here all those of all "hosts" are new
COMMAND = f"cat {FILES} /proc/pressure/io /proc/diskstats /proc/net/dev"
Round = Callable[[], Awaitable[int]]  # samples every host once; the bytes of one sample


async def ours(program: str, hosts: int, key: str, host_key: str, ports: list[int]) -> Round:
    """What the controller does, reading of the sample included."""
    collectors = []
    for number in range(hosts):
        target = Target(f"kvm{number}", "127.0.0.1", ports[number % len(ports)], host_key=host_key)
        host = HostSSH(target, [Path(key)], Timeouts())
        await host.connect()
        collectors.append(Collector(host, program=program))

    await asyncio.gather(*(collector.sample(30) for collector in collectors))
    await asyncio.sleep(SETTLE_S)

    async def once() -> int:
        samples = await asyncio.gather(*(collector.sample(30) for collector in collectors))
        return len(samples[0].cpu_lines) + 900  # about: the text itself is not kept

    return once


async def asyncssh_exec(hosts: int, key: str, ports: list[int]) -> Round:
    """A command per sample on a kept connection, with asyncssh's own defaults."""
    connections = [
        await asyncssh.connect(
            "127.0.0.1", ports[n % len(ports)], username="root", client_keys=[key], known_hosts=None, config=None
        )
        for n in range(hosts)
    ]

    async def once() -> int:
        ran = await asyncio.gather(*(connection.run(COMMAND, encoding=None) for connection in connections))
        return len(ran[0].stdout or b"")

    return once


def ssh_options(key: str) -> list[str]:
    """What ssh(1) needs, so that no file of the user matters."""
    return ["-F", "none", "-i", key, "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-q"]


async def ssh_process(hosts: int, key: str, ports: list[int]) -> Round:
    """A fresh ssh(1) per sample, 16 at a time."""
    options = ssh_options(key)
    slots = asyncio.Semaphore(16)

    async def one(number: int) -> int:
        async with slots:
            run = await asyncio.create_subprocess_exec(
                "ssh",
                *options,
                "-p",
                str(ports[number % len(ports)]),
                "root@127.0.0.1",
                COMMAND,
                stdout=subprocess.PIPE,
            )
            return len((await run.communicate())[0])

    async def once() -> int:
        return (await asyncio.gather(*(one(number) for number in range(hosts))))[0]

    return once


def ansible_command(
    program: Path, home: Path, key: str, ports: list[int], command: str
) -> tuple[list[str], dict[str, str]]:
    """Ansible's ad-hoc raw, with pipelining and kept connections (ControlPersist), as many forks as hosts: its words,
    and its environment. `home`: a folder of its own."""
    lines = [f"h{n} ansible_host=127.0.0.1 ansible_port={port} ansible_user=root" for n, port in enumerate(ports)]
    (home / "hosts").write_text("\n".join(lines) + "\n")
    environment = os.environ | {
        "ANSIBLE_HOST_KEY_CHECKING": "False",
        "ANSIBLE_PIPELINING": "True",
        "ANSIBLE_PRIVATE_KEY_FILE": key,
        "ANSIBLE_SSH_CONTROL_PATH_DIR": str(home),
        "ANSIBLE_SSH_CONTROL_PATH": f"{home}/%%C",
        "ANSIBLE_SSH_ARGS": "-F none -o ControlMaster=auto -o ControlPersist=30s -o UserKnownHostsFile=/dev/null",
        "ANSIBLE_HOME": str(home),
        "ANSIBLE_LOCAL_TEMP": str(home / "tmp"),
    }
    words = [str(program), "all", "-i", str(home / "hosts"), "-m", "raw", "-a", command, "-f", str(len(ports))]
    return words, environment


async def ansible(hosts: int, key: str, ports: list[int]) -> Round:
    """Ansible, once for all hosts."""
    home = Path(tempfile.mkdtemp(dir=os.environ["BENCH_HOME"]))
    program, every = Path(os.environ["BENCH_PEERS"]) / "ansible", [ports[n % len(ports)] for n in range(hosts)]
    words, environment = ansible_command(program, home, key, every, COMMAND)

    async def once() -> int:
        run = await asyncio.create_subprocess_exec(
            *words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        out = (await run.communicate())[0]
        if run.returncode:
            raise RuntimeError(out.decode()[-2000:])
        return len(out) // hosts

    return once


async def measure(method: str, hosts: int, rounds: int, key: str, host_key: str, ports: list[int]) -> dict[str, float]:
    """CPU and wall time of some rounds, after one to warm up."""
    if method.startswith("vmctl"):
        once = await ours(method.partition("-")[2], hosts, key, host_key, ports)
    else:
        peers = {"asyncssh exec": asyncssh_exec, "ssh process": ssh_process, "ansible raw": ansible}
        once = await peers[method](hosts, key, ports)
    await once()
    controller, remote = Meter("vmctl-bench-controller"), Meter("vmctl-bench-hosts")
    before = controller.cpu_s(), remote.cpu_s(), time.perf_counter()
    size = 0
    for _ in range(rounds):
        size = await once()
    after = controller.cpu_s(), remote.cpu_s(), time.perf_counter()
    used = [(late - early) * 1000 / rounds / hosts for early, late in zip(before, after, strict=True)]
    return {"controller_ms": used[0], "host_ms": used[1], "wall_ms": used[2], "bytes": size}


def main() -> None:
    """Measure one method, then leave without ceremony."""
    method, hosts, rounds, key, host_key, *ports = sys.argv[1:]
    Meter("vmctl-bench-controller").join()
    found = asyncio.run(measure(method, int(hosts), int(rounds), key, host_key, [int(port) for port in ports]))
    print(json.dumps(found), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
