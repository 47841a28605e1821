"""The fault table: a live migration, one fault in the middle of its copying, and what everybody shows then. Needs root.

python -m tests.lab.fault_table [--mode p2p|direct|both] [--only NAME] [--rounds N] [--lab b]

"p2p" is `vmctl migrate`; "direct" a small client of libvirt with a connection to each host (managed direct), through
SSH forwards as vmctl has them. Two real hosts, a guest that counts, the copy held open by a limit of 8 MiB/s.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.lab.pool import Pool, wait_for
from vmctl import lab
from vmctl.cli.client import Client
from vmctl.cli.serve import running as controller_pid
from vmctl.commands.hosts import ListHosts
from vmctl.commands.tasks import ShowTask
from vmctl.commands.vms import Migrate, ShowVM
from vmctl.errors import VmctlError
from vmctl.hosts import domainxml
from vmctl.lab import cgroups, names
from vmctl.lab import host as lab_host
from vmctl.local import paths

VM = "busy"
FREEZE_S = 28.0  # how long something is stopped before it goes on
OUTAGE_S = 35.0  # how long a cut or killed host stays so while nobody has an answer
ANSWER_S = 130.0  # an answer later than this is none
SETTLED_S = 25.0  # how long the hosts may take afterwards
COPYING_MS = 3000  # the fault comes this long after the copying began
LATE_MIB = 12.0  # or, for a late one, when so little is left to copy
KNOWN_S = 45.0  # how long vmctl may take to see what the hosts show


# -- looking, past vmctl and past the network


def virsh(host: str, *words: str, limit_s: float = 3.0) -> str | None:
    """Ask a host's libvirtd through its own socket; None when it does not answer."""
    first = lab_host.pid(names.current().find(host))
    socket = f"/proc/{first}/root/run/libvirt/libvirt-sock"
    command = ["virsh", "-q", "-c", f"qemu+unix:///system?socket={socket}", *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit_s)
    except subprocess.TimeoutExpired:
        return None
    if done.returncode and "failed to connect" in done.stderr:
        return None
    return (done.stdout if done.returncode == 0 else done.stderr).strip()


def processes(host: str, program: str) -> list[int]:
    """The host's processes of that name, as this machine numbers them."""
    one = names.current().find(host)
    found = []
    for pid in cgroups.processes(one.lab, one.short):
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/comm").read_text().strip() == program[:15]:
                found.append(pid)
    return found


def qemus(host: str) -> list[int]:
    """The host's living QEMU processes that have the VM."""
    found = []
    for pid in processes(host, "qemu-system-x86_64"):
        with contextlib.suppress(OSError):
            if f"guest={VM},".encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
    return found


def lease_holders(uuid: str) -> set[int]:
    """The processes that hold the VM's lease: /proc/locks by the inode of its file."""
    inode = (names.current().shared / "lockspace" / uuid).stat().st_ino
    lines = [line.split() for line in Path("/proc/locks").read_text().splitlines() if "->" not in line]
    return {int(words[4]) for words in lines if words[5].endswith(f":{inode}")}


@dataclass(frozen=True)
class Sight:
    """One host at one moment."""

    host: str
    libvirt: str  # what its libvirtd says of the VM
    qemus: int
    lease: bool

    def __str__(self) -> str:
        parts = [self.libvirt, "QEMU" if self.qemus == 1 else f"{self.qemus} QEMUs" if self.qemus else ""]
        return f"{self.host}: " + " + ".join([part for part in parts if part] + ["lease"] * self.lease)


def look(host: str, uuid: str) -> Sight:
    """What a host shows: its libvirtd's word, its QEMU processes, the lease."""
    if not lab_host.pid(names.current().find(host)):
        return Sight(host, "down", 0, False)
    state = virsh(host, "domstate", VM, "--reason")
    text = "libvirtd silent" if state is None else "-" if "failed to get domain" in state else state
    holders = lease_holders(uuid)
    return Sight(host, text, len(qemus(host)), bool(holders & set(processes(host, "virtlockd"))))


class Counter:
    """Asks the guest how far it has counted, all the time."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.seen: list[tuple[float, str, int]] = []  # when, boot id, number
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._end.wait(0.25):
            with contextlib.suppress(OSError, ValueError):
                with urllib.request.urlopen(f"http://{self.address}/count", timeout=1) as answer:
                    boot_id, number = answer.read().decode().split()
                self.seen.append((time.monotonic(), boot_id, int(number)))

    def close(self) -> None:
        """Stop asking."""
        self._end.set()
        self._thread.join()

    def verdict(self, since: float) -> str:
        """Whether the guest goes on, and its longest silence since the fault."""
        now = time.monotonic()
        before = [boot for at, boot, _ in self.seen if at <= since]
        times = [since, *(at for at, _, _ in self.seen if at > since), now]
        gap = max(b - a for a, b in pairwise(times))
        if now - self.seen[-1][0] > 3:
            return "silent"
        if before and self.seen[-1][1] != before[-1]:
            return "a new life"
        return f"counts, longest gap {gap:.1f} s"


# -- the two ways to migrate


@dataclass
class Answer:
    """What the one who asked for the migration is told."""

    after_s: float
    text: str


class ByVmctl:
    """`vmctl migrate`: peer to peer."""

    def __init__(self, source: str, target: str) -> None:
        self.number = Client().ask(Migrate(VM, target))["id"]

    def victims(self) -> list[int]:
        """The processes that a dead client takes along."""
        pid = controller_pid()
        return [pid] if pid else []

    def answer(self) -> str | None:
        """The task's end, or None; a dead controller is started again by asking."""
        try:
            task = Client().ask(ShowTask(self.number))
        except VmctlError:
            return None
        if task["state"] not in ("done", "failed", "cancelled"):
            return None
        error = task["error"] or {}
        lines = "; ".join([error.get("message", ""), *error.get("lines", [])]).strip("; ")
        return f"{task['state']}: {lines or ', '.join(task['result']['checked'])}"

    def close(self) -> None:
        """The task is the controller's; nothing of ours runs."""


class Direct:
    """Our own client, managed direct."""

    def __init__(self, source: str, target: str) -> None:
        self._place = tempfile.TemporaryDirectory(prefix="vmctl-faults-")
        sockets = [f"{self._place.name}/{host}.sock" for host in (source, target)]
        self._tunnels = [_tunnel(host, path) for host, path in zip((source, target), sockets, strict=True)]
        for path in sockets:
            wait_for(Path(path).exists, 10, f"{path} appears")
        words = [sys.executable, "-m", "tests.lab.fault_table", "--client", *sockets, _address(target)]
        self._client = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def victims(self) -> list[int]:
        """The client, and the forwards that are inside it in vmctl's case."""
        return [one.pid for one in (self._client, *self._tunnels)]

    def answer(self) -> str | None:
        """The client's last line, or None while it waits."""
        code = self._client.poll()
        if code is None:
            return None
        text = self._client.stdout.read().strip() if self._client.stdout else ""
        return f"killed by signal {-code}" if code < 0 else text.rpartition("\n")[2]

    def close(self) -> None:
        """End the client and its forwards."""
        for one in (self._client, *self._tunnels):
            one.kill()
            one.wait()
        self._place.cleanup()


def _tunnel(host: str, path: str) -> subprocess.Popen[str]:
    options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "ServerAliveInterval=2"]
    words = [part for option in options for part in ("-o", option)]
    forward = ["-N", "-L", f"{path}:/run/libvirt/libvirt-sock", f"root@{_address(host)}"]
    return subprocess.Popen(
        ["ssh", "-i", str(paths.ssh_key_path()), *words, *forward], stdin=subprocess.DEVNULL, text=True
    )


def _address(host: str) -> str:
    return next(one.address for one in lab.status().hosts if one.name == host)


def client(source: str, target: str, address: str) -> None:
    """Migrate with a connection to each host, and print how it ended."""
    import libvirt

    libvirt.registerErrorHandler(lambda _context, _error: None, None)
    libvirt.virEventRegisterDefaultImpl()

    def events() -> None:
        while True:
            libvirt.virEventRunDefaultImpl()

    threading.Thread(target=events, daemon=True).start()
    here, there = (libvirt.open(f"qemu+unix:///system?socket={path}") for path in (source, target))
    for connection in (here, there):
        connection.setKeepAlive(2, 3)
    flags = libvirt.VIR_MIGRATE_LIVE | libvirt.VIR_MIGRATE_UNSAFE | libvirt.VIR_MIGRATE_AUTO_CONVERGE
    flags |= libvirt.VIR_MIGRATE_ABORT_ON_ERROR
    try:
        here.lookupByName(VM).migrate3(there, {libvirt.VIR_MIGRATE_PARAM_URI: f"tcp://{address}"}, flags)
        print("done", flush=True)
    except libvirt.libvirtError as err:
        print(f"failed: {err.get_error_message()}", flush=True)
    os._exit(0)  # a connection that hangs must not keep us


# -- the faults


@dataclass(frozen=True)
class Fault:
    """What is done to whom. What was stopped goes on after a while; a cut or dead host comes back after the answer."""

    name: str
    who: str  # "client", "source" or "target"
    what: str  # a signal's name, "cut" or "power"
    program: str = ""
    late: bool = False  # just before the end of the copying: what follows is then hit as well


FAULTS = (
    Fault("kill -9 client", "client", "SIGKILL"),
    Fault("SIGSTOP client", "client", "SIGSTOP"),
    Fault("kill -9 source libvirtd", "source", "SIGKILL", "libvirtd"),
    Fault("kill -9 target libvirtd", "target", "SIGKILL", "libvirtd"),
    Fault("SIGSTOP target libvirtd", "target", "SIGSTOP", "libvirtd"),
    Fault("SIGSTOP source libvirtd", "source", "SIGSTOP", "libvirtd"),
    Fault("kill -9 source QEMU", "source", "SIGKILL", "qemu-system-x86_64"),
    Fault("kill -9 target QEMU", "target", "SIGKILL", "qemu-system-x86_64"),
    Fault("SIGSTOP target QEMU", "target", "SIGSTOP", "qemu-system-x86_64"),
    Fault("target link down", "target", "cut"),
    Fault("source link down", "source", "cut"),
    Fault("source host killed", "source", "power"),
    Fault("target host killed", "target", "power"),
    Fault("kill -9 source virtlockd", "source", "SIGKILL", "virtlockd"),
    Fault("kill -9 target virtlockd", "target", "SIGKILL", "virtlockd"),
    Fault("late: kill -9 client", "client", "SIGKILL", late=True),
    Fault("late: SIGSTOP client", "client", "SIGSTOP", late=True),
    Fault("late: kill -9 source libvirtd", "source", "SIGKILL", "libvirtd", late=True),
    Fault("late: SIGSTOP source libvirtd", "source", "SIGSTOP", "libvirtd", late=True),
    Fault("late: kill -9 target libvirtd", "target", "SIGKILL", "libvirtd", late=True),
    Fault("late: SIGSTOP target libvirtd", "target", "SIGSTOP", "libvirtd", late=True),
    Fault("late: source link down", "source", "cut", late=True),
    Fault("late: target link down", "target", "cut", late=True),
)


def inject(fault: Fault, host: str, victims: list[int]) -> Callable[[], None]:
    """Do it; returns what undoes it."""
    if fault.what == "cut":
        lab.cut(host)
        return lambda: lab.heal(host)
    if fault.what == "power":
        lab.kill(host)
        return lambda: lab.boot(host)
    pids = victims or processes(host, fault.program)
    number = signal.Signals[fault.what]
    for pid in pids:
        os.kill(pid, number)

    def undo() -> None:
        if number is signal.SIGSTOP:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    return undo


@dataclass
class Row:
    """What was seen of one fault."""

    fault: str
    mode: str
    source: str = ""
    answer_s: float | None = None
    answer: str = ""
    then: list[str] = field(default_factory=list)  # each host when the answer came
    settled_s: float | None = None  # since the fault was over and the answer there
    after: list[str] = field(default_factory=list)
    copies: int = -1  # QEMUs in the end
    guest: str = ""
    lease: str = ""
    vmctl: str = ""  # what the registry says in the end


class Table:
    """A lab of two hosts, a VM, and one fault after the other."""

    def __init__(self, mode: str, pool: Pool, outage_s: float, freeze_s: float) -> None:
        self.mode, self.pool, self.outage_s, self.freeze_s = mode, pool, outage_s, freeze_s
        pool.set_up()
        pool.do("create", VM, "--image", "tiny", "--memory", "256M")
        shown = pool.vm(VM)
        self.uuid: str = shown["uuid"]
        self.xml = ""
        if mode == "direct":
            self.xml = _plain_xml(shown["host"])
            pool.do("serve", "--stop")
        self.address = wait_for(lambda: lab.addresses().get(shown["mac"]), 60, "an address")

    def place(self) -> str | None:
        """The host with the only, running and locked copy; None when there is anything else."""
        sights = [look(host, self.uuid) for host in self.pool.hosts]
        having = [sight for sight in sights if sight.qemus or sight.libvirt != "-"]
        good = len(having) == 1 and having[0].qemus == 1 and having[0].lease
        return having[0].host if good and having[0].libvirt.startswith("running") else None

    def vmctl_says(self) -> str:
        """The registry's view of the VM."""
        shown = Client().ask(ShowVM(VM))
        busy = f", held by task {shown['task']}" if shown["task"] else ""
        return f"{shown['power']} on {shown['host'] or '-'}{busy}"

    def ready(self) -> str:
        """Bring everything into order, by force where it must be; the VM's host."""
        for one in lab.status().hosts:
            if one.state == "cut":
                lab.heal(one.name)
            elif one.state == "down":
                lab.boot(one.name)
        wait_for(lambda: all(virsh(host, "version") for host in self.pool.hosts), 30, "both libvirtds answer")
        if self.mode == "p2p":
            online = lambda: all(host["state"] == "online" for host in Client().ask(ListHosts()))  # noqa: E731
            wait_for(online, 60, "vmctl has both hosts online")
        where = self.place()
        if where is None or (self.mode == "p2p" and self.vmctl_says() != f"running on {where}"):
            where = self.again()
        wait_for(lambda: self.pool.count(self.address), 60, "the guest counts")
        return where

    def again(self) -> str:
        """Start the VM anew."""
        if self.mode == "p2p":
            self.pool("stop", VM, "--force")
        for host in self.pool.hosts:
            virsh(host, "destroy", VM, limit_s=20)
        if self.mode == "p2p":
            wait_for(lambda: self.vmctl_says().startswith("stopped"), 60, "vmctl sees it stopped")
            self.pool.do("start", VM)
        else:
            with tempfile.NamedTemporaryFile("w", suffix=".xml") as file:
                file.write(self.xml)
                file.flush()
                virsh(self.pool.hosts[0], "create", file.name, limit_s=20)
        return wait_for(self.place, 20, "the VM runs and holds its lease")

    def run(self, fault: Fault) -> Row:
        """One fault from order to order."""
        source = self.ready()
        target = next(host for host in self.pool.hosts if host != source)
        row = Row(fault.name, self.mode, source)
        virsh(source, "migrate-setspeed", VM, "8")
        counter = Counter(self.address)
        moving = (ByVmctl if self.mode == "p2p" else Direct)(source, target)
        try:
            wait_for(lambda: _ripe(source, fault.late) or moving.answer(), 40, "it copies")
            host = source if fault.who == "source" else target
            undo = inject(fault, host, moving.victims() if fault.who == "client" else [])
            began = time.monotonic()
            frozen_s = self.freeze_s if fault.what == "SIGSTOP" else 0.0
            undone = threading.Timer(frozen_s or self.outage_s, undo)
            undone.start()
            self._answer(row, moving, began)
            row.then = [str(look(one, self.uuid)) for one in self.pool.hosts]
            if frozen_s:
                undone.join()
            elif undone.is_alive():
                undone.cancel()
                undone.join()
                if fault.what in ("cut", "power") and time.monotonic() - began < self.outage_s:
                    undo()
            self._settle(row)
            time.sleep(1.0)
            row.guest = counter.verdict(began)
        finally:
            moving.close()
            counter.close()
        return row

    def _answer(self, row: Row, moving: ByVmctl | Direct, began: float) -> None:
        while (text := moving.answer()) is None and time.monotonic() - began < ANSWER_S:
            time.sleep(0.1)
        row.answer_s = round(time.monotonic() - began, 1) if text else None
        row.answer = text or f"none within {ANSWER_S:.0f} s"

    def _settle(self, row: Row) -> None:
        """Wait until the hosts show the same for 4 s (services come back after one), or for long enough."""
        began = same_since = time.monotonic()
        last: list[str] = []
        while time.monotonic() - began < SETTLED_S:
            sights = [look(host, self.uuid) for host in self.pool.hosts]
            if (now := [str(sight) for sight in sights]) != last:
                last, same_since = now, time.monotonic()
            silent = any(sight.libvirt in ("libvirtd silent", "down") for sight in sights)
            if not silent and time.monotonic() - same_since > 4:
                break
            time.sleep(0.3)
        row.settled_s = round(same_since - began, 1)
        row.after = last
        row.copies = sum(sight.qemus for sight in sights)
        row.lease = ", ".join(sight.host for sight in sights if sight.lease) or "nobody"
        if self.mode == "p2p":
            row.vmctl = self._known([sight.host for sight in sights if sight.qemus])

    def _known(self, hosts: list[str]) -> str:
        """What the registry says once it is what the hosts show, or after long enough, and when."""
        began = time.monotonic()
        truth = f"running on {hosts[0]}" if len(hosts) == 1 else "stopped on -"
        while (says := self.vmctl_says()) != truth and time.monotonic() - began < KNOWN_S:
            time.sleep(0.2)
        waited = time.monotonic() - began
        return says if says == truth and waited < 1 else f"{says} after {waited:.0f} s"


def _ripe(host: str, late: bool) -> bool:
    """Whether the migration has come to where the fault belongs."""
    lines = [line.split() for line in (virsh(host, "domjobinfo", VM) or "").splitlines()]
    figures = {" ".join(words[:2]): (float(words[2]), words[3]) for words in lines if len(words) == 4}
    elapsed, _ = figures.get("Time elapsed:", (0.0, ""))
    left, unit = figures.get("Memory remaining:", (0.0, ""))
    left_mib = left * {"GiB": 1024, "MiB": 1, "KiB": 1 / 1024, "B": 0}.get(unit, 0)
    return elapsed > COPYING_MS and (not late or left_mib < LATE_MIB)


def _plain_xml(host: str) -> str:
    seen = domainxml.read(virsh(host, "dumpxml", VM) or "")
    assert seen.spec is not None
    return domainxml.build(seen.spec, domainxml.Site(seen.definition.accel, "/shared/lockspace"))


def markdown(rows: list[dict[str, Any]]) -> str:
    """The rows as a table for the README: a fault a line, a mode a column; the last one measured counts."""
    cells: dict[str, dict[str, str]] = {}
    for row in rows:
        cells.setdefault(row["fault"], {})[row["mode"]] = _cell(row)
    lines = ["| fault | vmctl (p2p) | managed direct |", "|---|---|---|"]
    lines += [f"| {fault} | {found.get('p2p', '')} | {found.get('direct', '')} |" for fault, found in cells.items()]
    return "\n".join(lines)


def _cell(row: dict[str, Any]) -> str:
    """One row in a few words; hosts by their part in it."""

    def plain(text: str) -> str:
        for host in ("kvm1", "kvm2"):
            part = "source" if row["source"].startswith(host) else "target"
            text = re.sub(rf"{host}(-\w+)?", part, text)
        text = re.sub(r"libvirt on \w+: |internal error: |operation failed: |job 'migration out' failed: |\|", "", text)
        text = text.replace("failed: busy was not migrated and runs on", "failed, runs on")
        return text.replace(f"{VM} ", "").replace(": running", " runs").strip()

    told = plain(row["answer"].split(";")[0])
    when = "no answer" if row["answer_s"] is None else f"{row['answer_s']:.1f} s"
    held = " + lease" if row["lease"] != "nobody" else " **without its lease**"
    ends = [re.sub(r" \((booted|migrated|unpaused|migration canceled)\)", "", plain(one)) for one in row["after"]]
    ends = [one.split(" + ")[0] + held * ("QEMU" in one) for one in ends if not one.endswith(": -")]
    known = plain(row["vmctl"])
    known = f"; registry: {known}" if " after " in known else ""
    guest = row["guest"].replace("counts, longest gap", "gap")
    return f"{when}: {told} → {', '.join(ends) or '**no copy**'}; guest {guest}{known}"


def measure(mode: str, faults: list[Fault], given: argparse.Namespace) -> None:
    """All faults in one mode, in a lab of its own; each row is written as it comes."""
    pool = Pool(2, given.lab)
    try:
        table = Table(mode, pool, given.outage, given.freeze)
        for fault in [fault for _ in range(given.rounds) for fault in faults]:
            began = time.monotonic()
            try:
                row = table.run(fault)
            except (AssertionError, VmctlError) as err:  # one row that cannot be had must not cost the others
                row = Row(fault.name, mode, answer=f"no row: {err}")
            with given.out.open("a") as file:
                file.write(json.dumps(asdict(row)) + "\n")
            print(f"[{time.monotonic() - began:.0f} s] {json.dumps(asdict(row), indent=1)}", flush=True)
    finally:
        pool.close()


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mode", choices=("p2p", "direct", "both"), default="both")
    parser.add_argument("--only", default="", help="faults whose name contains this")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--outage", type=float, default=OUTAGE_S, help="seconds that a host is cut or dead at most")
    parser.add_argument("--freeze", type=float, default=FREEZE_S, help="seconds that something is stopped")
    parser.add_argument("--lab", default="b", help="the lab's name; it is made and taken down")
    parser.add_argument("--out", type=Path, default=Path("fault-table.jsonl"), help="rows are added to this file")
    parser.add_argument("--show", action="store_true", help="only print the table of what is in that file")
    parser.add_argument("--client", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.client:
        client(*given.client)
    faults = [fault for fault in FAULTS if given.only in fault.name]
    for mode in ("p2p", "direct") if given.mode == "both" else (given.mode,):
        if not given.show:
            measure(mode, faults, given)
    print(markdown([json.loads(line) for line in given.out.read_text().splitlines()]))


if __name__ == "__main__":
    main()
