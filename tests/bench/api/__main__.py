"""GET /vms?limit=100 of 20,000 VMs over TLS: python -m tests.bench.api [--rounds 15] [--requests 100]."""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import Executor, ProcessPoolExecutor
from pathlib import Path

from tests.bench.api import servers
from vmctl.api import tls

ASKED = "/api/v1/vms?limit=100"
CLIENTS = 2
TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def _connected(port: int) -> socket.socket:
    """It prints its port just before it listens there."""
    for _ in range(100):
        try:
            return socket.create_connection(("127.0.0.1", port))
        except ConnectionRefusedError:
            time.sleep(0.1)
    raise AssertionError(f"nobody listens at port {port}")


class Wire:
    """One client's connection to a server."""

    def __init__(self, port: int, ca: str, token: str) -> None:
        trust = ssl.create_default_context(cafile=ca)
        self._wire, self._token = trust.wrap_socket(_connected(port), server_hostname="127.0.0.1"), token

    def get(self, path: str) -> bytes:
        """The body of an answer."""
        head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {self._token}\r\n\r\n"
        self._wire.sendall(head.encode())
        got = b""
        while b"\r\n\r\n" not in got:
            got += self._more()
        told, _, body = got.partition(b"\r\n\r\n")
        assert told.startswith(b"HTTP/1.1 200"), told + body
        length = int(told.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        parts, left = [body], length - len(body)
        while left > 0:
            parts.append(self._more())
            left -= len(parts[-1])
        return b"".join(parts)

    def _more(self) -> bytes:
        got = self._wire.recv(1 << 20)
        assert got, "it closed the connection"
        return got


class Way:
    """A server."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.token, self.ca = name, "", str(folder / "tls" / "ca.pem")
        command = [sys.executable, "-m", "tests.bench.api.servers", name, str(folder)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    def cpu_s(self) -> float:
        """CPU seconds so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) * TICK_S

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()


def measure(way: Way, paths: list[str], clients: Executor) -> tuple[float, float]:
    """(CPU milliseconds, requests a second): two clients ask, so that the server always has something to do."""
    cpu = way.cpu_s()
    done = [clients.submit(load, way.port, way.ca, way.token, paths) for _ in range(CLIENTS)]
    times = [one.result() for one in done]
    took_s = max(ended for _, ended in times) - min(began for began, _ in times)
    asked = CLIENTS * len(paths)
    return (way.cpu_s() - cpu) * 1000 / asked, asked / took_s


def load(port: int, ca: str, token: str, paths: list[str]) -> tuple[float, float]:
    """One client, in a process of its own: when it began, and when it had all answers."""
    wire = Wire(port, ca, token)
    wire.get(paths[0])
    began = time.monotonic()
    for path in paths:
        wire.get(path)
    return began, time.monotonic()


def main() -> None:
    """All ways by turns, in an order that is drawn at random."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", default=15, type=int)
    parser.add_argument("--requests", default=100, type=int)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        tls.init(folder / "tls", ["127.0.0.1", "localhost"])
        asyncio.run(servers.fill(folder))
        ways = [Way("ours", folder)]
        token = (folder / servers.TOKEN).read_text()
        (folder / servers.BODY).write_bytes(Wire(ways[0].port, ways[0].ca, token).get(ASKED))
        ways += [Way("bare", folder), Way("plain", folder)]
        try:
            for way in ways:
                way.token = token
            with ProcessPoolExecutor(CLIENTS) as clients:
                found = _rounds(ways, given.rounds, given.requests, clients)
        finally:
            for way in ways:
                way.close()
    _show(found)


def _rounds(ways: list[Way], rounds: int, requests: int, clients: Executor) -> dict[str, list[tuple[float, float]]]:
    same = [ASKED] * requests
    # Another page each time: none is kept from before.
    walked = [f"{ASKED}&after=vm{random.randrange(19_000):05}x{n}" for n in range(requests)]
    jobs = [(way.name, way, same if way.name != "plain" else same[: requests // 5]) for way in ways]
    jobs.append(("ours, other pages", ways[0], walked[: requests // 5]))
    found: dict[str, list[tuple[float, float]]] = {name: [] for name, _, _ in jobs}
    for number in range(-1, rounds):
        for name, way, paths in random.sample(jobs, len(jobs)):
            one = measure(way, paths, clients)
            if number >= 0:
                found[name].append(one)
    return found


def _show(found: dict[str, list[tuple[float, float]]]) -> None:
    bare = statistics.median(cpu for cpu, _ in found["bare"])
    plain = statistics.median(rate for _, rate in found["plain"])
    print(f"{'way':20} {'CPU ms':>8} {'x bare':>7} {'requests/s':>11} {'x plain':>8}")
    for name, runs in found.items():
        cpu, rate = (statistics.median(values) for values in zip(*runs, strict=True))
        print(f"{name:20} {cpu:8.2f} {cpu / bare:7.1f} {rate:11.0f} {rate / plain:8.1f}")


if __name__ == "__main__":
    main()
