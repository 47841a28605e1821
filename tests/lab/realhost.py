"""A machine with systemd of its own, in QEMU: what hosts of the lab, which share this machine's kernel, cannot show."""

from __future__ import annotations

import shlex
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from vmctl.hosts import runs
from vmctl.hosts.facts import Fact
from vmctl.hosts.runs import From, Seen
from vmctl.lab import accelerator
from vmctl.lab.images import Image

Told = TypeVar("Told")
BOOT_S = 240.0  # on an emulated CPU, beside other work
MEMORY_MIB = 1536


class Machine:
    """One, whose disk goes with its folder. It is switched on by `boot`, and off by `stop`."""

    def __init__(self, folder: Path, image: Image, key: Path) -> None:
        self._folder, self._image, self._key = folder, image, key
        self._disk = folder / "disk.qcow2"
        words = ["qemu-img", "create", "-q", "-f", "qcow2", "-b", str(image.disk), "-F", "qcow2", str(self._disk)]
        subprocess.run([*words, "4G"], check=True)
        self._qemu: subprocess.Popen[bytes] | None = None
        self._port = 0

    def boot(self, *cmdline: str) -> None:
        """Switch it on with these words for its kernel, and wait until it lets root in."""
        self.stop()
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            self._port = found.getsockname()[1]
        known = accelerator.known()
        words = ["qemu-system-x86_64", "-accel", "kvm" if known and known.kvm else "tcg", "-smp", "2"]
        words += ["-m", str(MEMORY_MIB), "-nodefaults", "-display", "none", "-serial", f"file:{self._folder}/console"]
        words += ["-kernel", str(self._image.kernel), "-initrd", str(self._image.initrd)]
        words += ["-append", " ".join((self._image.cmdline, *cmdline))]
        words += ["-drive", f"file={self._disk},format=qcow2,if=virtio"]
        words += ["-nic", f"user,model=virtio-net-pci,hostfwd=tcp:127.0.0.1:{self._port}-:22"]
        words += ["-device", "virtio-rng-pci", "-qmp", f"unix:{self._folder}/qmp,server=on,wait=off"]
        self._qemu = subprocess.Popen(words, stdin=subprocess.DEVNULL)
        self.answers()

    def stop(self) -> None:
        """Switch it off at once, as a power cut does."""
        if self._qemu is not None:
            self._qemu.kill()
            self._qemu.wait()
            self._qemu = None

    def answers(self, not_boot: str = "") -> str:
        """Wait until it lets root in, in another boot than this; its boot id."""
        until = time.monotonic() + BOOT_S
        while time.monotonic() < until:
            done = self.ssh("root", "cat /proc/sys/kernel/random/boot_id", check=False)
            if done.returncode == 0 and (boot := done.stdout.decode().strip()) != not_boot:
                return boot
            time.sleep(0.5)
        raise AssertionError((self._folder / "console").read_text(errors="replace")[-2000:])

    def ssh(
        self, user: str, command: str, given: bytes = b"", *, check: bool = True
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a line of a shell there, in a log-in of its own."""
        options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "BatchMode=yes"]
        options += ["ConnectTimeout=10", "ServerAliveInterval=15", "IdentitiesOnly=yes"]
        words = ["ssh", "-F", "none", "-p", str(self._port), "-i", str(self._key)]
        words += [word for option in options for word in ("-o", option)]
        return subprocess.run(
            [*words, f"{user}@127.0.0.1", command], input=given, capture_output=True, timeout=120, check=check
        )

    def root(self, command: str) -> str:
        """What root's shell there prints."""
        return self.ssh("root", command).stdout.decode()


class Login:
    """Who begins runs there."""

    def __init__(self, machine: Machine, user: str) -> None:
        self.machine, self.user = machine, user

    def do(self, argv: tuple[str, ...], given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """A program's command, as it is sent to a host."""
        return self.machine.ssh(self.user, shlex.join(argv), given, check=False)

    def ask(self, fact: Fact[Told], given: bytes = b"") -> Told:
        """What a host tells."""
        done = self.do(fact.command, given)
        assert done.returncode == 0 and done.stderr == b"", done
        return fact.read(done.stdout.decode(), self.user)

    def begin(self, run: str, *words: str, given: bytes = b"", **limits: int) -> Seen:
        """Begin a run; asked again it begins nothing."""
        asked = f"job 1 run 1 of {self.user}"
        return self.ask(runs.begin(run, words, asked, input_bytes=len(given), limit_kib=1024, **limits), given)

    def look(self, run: str) -> Seen:
        """What there is of it now, with all that it printed."""
        return self.ask(runs.follow([From(run, 0, 0)]))[0]

    def wait(self, run: str, until: Callable[[Seen], bool] = lambda seen: seen.ended) -> Seen:
        """As soon as this is so of it."""
        end = time.monotonic() + 120
        while not until(seen := self.look(run)):
            assert time.monotonic() < end, seen
            self.ask(runs.follow([From(run, seen.out_bytes, seen.err_bytes)], 5.0))
        return seen

    def collect(self, *wanted: str) -> list[str]:
        """Those of them that go on."""
        return self.ask(runs.collect(wanted))
