"""A pool of real hosts for tests: a lab, a controller and a registry of its own, driven through the command line."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vmctl import lab
from vmctl.lab import images
from vmctl.local import paths

# The lab's name unless told otherwise; its hosts are kvm1-p, kvm2-p, ... Each worker of several has a lab of its own.
NAME = os.environ.get("VMCTL_TEST_LAB") or "p" + os.environ.get("PYTEST_XDIST_WORKER", "").removeprefix("gw")


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def wait_for(look: Callable[[], Any], limit_s: float, what: str) -> Any:
    """Look until there is something, or fail with what was waited for."""
    deadline = time.monotonic() + limit_s
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {limit_s:g} s: {what}"
        time.sleep(0.1)


class Pool:
    """The pool; `hosts` are its names."""

    def __init__(
        self,
        hosts: int,
        name: str = NAME,
        storage: str = "",
        controllers: int = 0,
        database: str = "",
        hosted: int = 0,
    ) -> None:
        self.place = Path(tempfile.mkdtemp(prefix="vmctl-"))
        self._names = ("data", "state", "config")
        os.environ.update({f"XDG_{name.upper()}_HOME": str(self.place / name) for name in self._names})
        os.environ["VMCTL_LAB"] = name
        (self.place / "config" / "vmctl").mkdir(parents=True)
        settings = (
            "sample_period_s = 1.0\n[policy]\nstall_s = 3.0\nno_progress_s = 20.0\ncooldown_s = 30.0\n"
            "[timeouts]\nssh_keepalive_s = 2.0\n"
            "[health]\nhung_after_s = 20.0\nheal_after_s = 4.0\n"
        )
        (self.place / "config" / "vmctl" / "vmctl.toml").write_text(settings)
        lab.down()
        self.status = lab.up(
            hosts, storage=storage, controller_count=controllers, database_kind=database, hosted=hosted
        )
        self.hosts = [host.name for host in self.status.hosts]
        self.key = paths.ssh_key_path()

    def close(self) -> None:
        """End everything and leave nothing."""
        self("serve", "--stop")
        lab.down()
        self.remove_files()

    def remove_files(self) -> None:
        """Its own folders."""
        shutil.rmtree(self.place, ignore_errors=True)

    def __call__(self, *words: str, stdin: str = "", timeout_s: float = 120.0) -> Ran:
        """Run vmctl."""
        command = [sys.executable, "-m", "vmctl.cli.main", *words]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=timeout_s)
        assert "Traceback" not in done.stderr, done.stderr
        return Ran(done.returncode, done.stdout, done.stderr)

    def do(self, *words: str, stdin: str = "", timeout_s: float = 120.0) -> Ran:
        """Run vmctl; it must succeed."""
        ran = self(*words, stdin=stdin, timeout_s=timeout_s)
        assert ran.code == 0, (words, ran)
        return ran

    def begin(self, *words: str) -> subprocess.Popen[str]:
        """Run vmctl in the background."""
        command = [sys.executable, "-m", "vmctl.cli.main", *words]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True)

    def set_up(self) -> None:
        """Hosts, storage and image, as a user adds them."""
        self.do("host", "add", *self.hosts)
        self.do("storage", "add", "main", "--path", "/shared")
        self.image("tiny")

    def image(self, name: str) -> None:
        """An image that the lab builds, added once."""
        if name not in self.do("image", "list", "-o", "name").out.split():
            image = images.ensure(name, lambda _line: None)
            boot = ("--kernel", str(image.kernel), "--initrd", str(image.initrd), "--cmdline", image.cmdline)
            self.do("image", "add", name, str(image.disk), *boot, timeout_s=600)

    # -- hosts, past vmctl

    def ssh(self, host: str, command: str, check: bool = True) -> str:
        """Run a command on a host (or guest), past vmctl."""
        options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "ConnectTimeout=5"]
        words = ["ssh", "-i", str(self.key), *(part for option in options for part in ("-o", option))]
        done = subprocess.run([*words, f"root@{host}", command], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0 or not check, (host, command, done)
        return done.stdout

    def virsh(self, host: str, *words: str) -> str:
        """Run virsh on a host, past vmctl."""
        return self.ssh(host, "virsh -q " + " ".join(words), check=False)

    def copies(self, name: str) -> dict[str, str]:
        """Every host that has a QEMU for the VM, and its state, past vmctl."""
        found = {}
        for host in lab.status().hosts:
            if host.state == "up":
                state = self.virsh(host.name, "domstate", name).strip()
                if state and state != "shut off":
                    found[host.name] = state
        return found

    # -- VMs

    def vm(self, name: str) -> dict[str, Any]:
        """A VM as vmctl shows it."""
        found: dict[str, Any] = self.do("show", name, "-o", "json").json
        return found

    @contextlib.contextmanager
    def vms(
        self, *names: str, options: tuple[str, ...] = (), memory: str = "160M", image: str = "tiny"
    ) -> Iterator[None]:
        """Make VMs for a test, and delete them afterwards whatever happened."""
        try:
            for name in names:
                self.do("create", name, "--image", image, "--memory", memory, *options)
            yield
        finally:
            for name in names:
                if self("show", name).code == 3:
                    continue  # it is gone already
                for ran in (self("stop", name, "--force"), self("delete", name, "--yes")):
                    print(ran)  # seen when a later test finds it still there

    def address(self, name: str) -> str:
        """The address that the guest got by DHCP."""
        mac = self.vm(name)["mac"]
        return wait_for(lambda: lab.addresses().get(mac), 60, f"{name} gets an address")

    def count(self, address: str) -> tuple[str, int] | None:
        """(boot id, how far it counted) of a tiny guest; None when it does not answer."""
        try:
            with urllib.request.urlopen(f"http://{address}/count", timeout=1) as answer:
                boot_id, number = answer.read().decode().split()
                return boot_id, int(number)
        except (OSError, ValueError):
            return None

    def counting(self, name: str, limit_s: float = 60.0) -> tuple[str, int]:
        """Wait until the guest counts."""
        address = self.address(name)
        return wait_for(lambda: self.count(address), limit_s, f"{name} counts")

    def still_counts(self, name: str, since: tuple[str, int], limit_s: float = 20.0) -> None:
        """The same life of the guest goes on counting."""
        address = self.address(name)
        later = wait_for(lambda: (c := self.count(address)) and c[1] > since[1] and c, limit_s, f"{name} goes on")
        assert later[0] == since[0], "the guest was restarted"


@contextlib.contextmanager
def without(pool: Pool, host: str) -> Iterator[None]:
    """The host outside the pool for a while; afterwards it is in it as it was, whatever happened meanwhile."""
    address = pool.do("host", "show", host, "-o", "json").json["address"]
    pool.do("host", "remove", host)
    try:
        yield
    finally:
        found = pool("host", "show", host, "-o", "json")
        if found.code == 0 and found.json["address"] != address:
            pool.do("host", "remove", host)
        if found.code != 0 or found.json["address"] != address:
            pool.do("host", "add", host)
