"""`vmctl list` of 100 VMs over TLS, beside the same over the controller's own socket:
python -m tests.bench.api.listing [--rounds 20].
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.bench.api import servers
from vmctl.model.records import VMRecord
from vmctl.model.vms import Disk, Spec
from vmctl.store.opening import open_store

VMS = 100


async def fill(folder: Path) -> None:
    """A registry of VMs that are on no host: nothing is done beside what is measured."""
    store = open_store("", folder / servers.REGISTRY)
    for number in range(VMS):
        name = f"vm{number:03}"
        await store.add_vm(VMRecord(Spec(f"uuid-{name}", name, 2, 4096, (Disk("main", f"/s/{name}.qcow2"),)), 1.0))
    await store.close()


class Home:
    """A user's folders, with a controller of 100 VMs and a context that reaches it over TLS."""

    def __init__(self, top: Path) -> None:
        self.top = top
        top.chmod(0o700)
        folders = {f"XDG_{kind.upper()}_HOME": str(top / kind) for kind in ("data", "state", "config")}
        self._environ = os.environ | folders | {"XDG_RUNTIME_DIR": str(top / "run")}
        for name in ("run", "data/vmctl"):
            (top / name).mkdir(parents=True)
        asyncio.run(fill(top / "data" / "vmctl"))
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._address = f"127.0.0.1:{free.getsockname()[1]}"
        self._made("serve", "--init-tls", "127.0.0.1")
        command = [sys.executable, "-m", "vmctl.cli.main", "serve", "--listen", self._address]
        self._controller = subprocess.Popen(command, env=self._environ, stderr=subprocess.DEVNULL)
        while not (top / "run" / "vmctl" / "controller.sock").exists():
            assert self._controller.poll() is None, "it has ended"
            time.sleep(0.05)

    def join(self) -> None:
        """A user with a token, and her context."""
        token = self.top / "token"
        self._made("user", "add", "anna")
        self._made("grant", "anna", "viewer", "--on", "all")
        token.write_text(self._made("token", "create", "anna"))
        token.chmod(0o600)
        ca = next((self.top / "data").rglob("ca.pem"))
        self._made("context", "add", "work", "--server", self._address, "--token-file", str(token), "--ca", str(ca))

    def _made(self, *words: str, **more: str) -> str:
        command = [sys.executable, "-m", "vmctl.cli.main", *words]
        return subprocess.run(command, env=self._environ | more, check=True, stdout=subprocess.PIPE, text=True).stdout

    def listed(self, context: str) -> tuple[float, float]:
        """(Seconds, CPU seconds) of one `vmctl list`."""
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        told = self._made("list", VMCTL_CONTEXT=context)
        took_s = time.monotonic() - began
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert len(told.splitlines()) > VMS // 2
        return took_s, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    def close(self) -> None:
        """End the controller."""
        self._controller.terminate()
        self._controller.wait()


def main() -> None:
    """Both by turns, in an order that is drawn at random."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", default=20, type=int)
    given = parser.parse_args()
    ways = {"own socket": "local", "TLS": "work"}
    found: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
    with tempfile.TemporaryDirectory() as place:
        home = Home(Path(place))
        try:
            home.join()
            for number in range(-1, given.rounds):
                for way in random.sample(list(ways), len(ways)):
                    one = home.listed(ways[way])
                    if number >= 0:
                        found[way].append(one)
        finally:
            home.close()
    for way, runs in found.items():
        took_s, cpu_s = (statistics.median(values) for values in zip(*runs, strict=True))
        print(f"{way:12} {took_s * 1000:7.0f} ms  {cpu_s * 1000:7.0f} ms CPU")


if __name__ == "__main__":
    main()
