"""What the agent sees of real processes on this machine."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from guest_agent import config, versions, windows
from guest_agent.exits import Exits
from guest_agent.guest import Guest
from guest_agent.listeners import Listeners
from guest_agent.masking import Masks
from guest_agent.scan import Scanner

SERVER = """
import socket, sys
sys.argv[0] = "server"
one = socket.socket(); one.bind(("127.0.0.1", 0)); one.listen()
print(one.getsockname()[1], flush=True)
while True: sys.stdin.readline() or sys.exit()
"""


@pytest.fixture
def server() -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A process that listens, with a secret in its command line, and its port."""
    command = [sys.executable, "-c", SERVER, "--password=geheim", "\x1b[31mred"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout and process.stdin
    try:
        yield process, int(process.stdout.readline())
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def record_of(scanner: Scanner, pid: int) -> dict[str, object] | None:
    return next((record for key, record in scanner.records.items() if key[0] == pid), None)


def test_a_process_as_psutil_sees_it(server: tuple[subprocess.Popen[str], int]) -> None:
    process, _ = server
    scanner = Scanner(Masks())
    scanner.scan(time.monotonic())
    seen, known = record_of(scanner, process.pid), psutil.Process(process.pid)
    assert seen is not None
    assert seen["ppid"] == os.getpid()
    assert seen["user"] == known.username()
    assert seen["threads"] == known.num_threads()
    assert seen["files"] == known.num_fds()
    assert abs(int(str(seen["rss_kib"])) - known.memory_info().rss // 1024) < 2048
    assert abs(int(str(seen["start"])) / 100 - (known.create_time() - psutil.boot_time())) < 2
    assert "geheim" not in str(seen["command"]) and "***" in str(seen["command"])
    assert "\x1b" not in str(seen["command"])
    assert len(str(seen["command"])) <= 256


def test_it_comes_works_and_goes(server: tuple[subprocess.Popen[str], int]) -> None:
    scanner = Scanner(Masks())
    scanner.scan(100.0)
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        assert any(key[0] == busy.pid for key in scanner.scan(101.0))
        assert busy.pid in scanner.fresh
        began, cpu = time.monotonic(), 0.0
        while cpu <= 0.1 and time.monotonic() - began < 20:  # it has to share this machine's CPUs
            time.sleep(0.5)
            assert any(key[0] == busy.pid for key in scanner.scan(101.0 + time.monotonic() - began))
            seen = record_of(scanner, busy.pid)
            assert seen is not None
            cpu = float(str(seen["cpu"]))
        assert cpu > 0.1
    finally:
        busy.kill()
        busy.wait()
    scanner.scan(130.0)
    assert record_of(scanner, busy.pid) is None
    assert not scanner.is_alive(busy.pid)


def test_an_idle_process_is_looked_at_no_more_than_needed(server: tuple[subprocess.Popen[str], int]) -> None:
    scanner = Scanner(Masks())
    for second in range(20):  # it has hardly begun: its last page faults may still be news
        touched = scanner.scan(float(second))
        if second >= 2 and not any(key[0] == server[0].pid for key in touched):
            break
    else:
        pytest.fail("it is looked at every time")
    seen = record_of(scanner, server[0].pid)
    assert seen is not None and seen["cpu"] == 0.0


def test_a_program_that_becomes_another_keeps_its_identity() -> None:
    process = subprocess.Popen(["sh", "-c", "read x; exec sleep 60"], stdin=subprocess.PIPE)
    try:
        scanner = Scanner(Masks())
        scanner.scan(1.0)
        before = next(key for key in scanner.records if key[0] == process.pid)
        assert scanner.records[before]["program"] == "sh"
        assert process.stdin
        process.stdin.write(b"\n")
        process.stdin.close()
        time.sleep(0.2)
        assert before in scanner.scan(2.0)
        assert scanner.records[before]["program"] == "sleep"
    finally:
        process.kill()
        process.wait()


def test_more_processes_than_files_may_be_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guest_agent.scan.file_limit", lambda: 66)
    scanner = Scanner(Masks())
    children = [subprocess.Popen(["sleep", "60"]) for _ in range(4)]
    try:
        for second in range(3):
            scanner.scan(float(second))
        assert all(record_of(scanner, child.pid) for child in children)
        assert sum(one.fd >= 0 for one in scanner.by_pid.values()) <= 2
        assert all(scanner.is_alive(child.pid) for child in children)
    finally:
        for child in children:
            child.kill()
            child.wait()
    scanner.scan(4.0)
    assert not any(record_of(scanner, child.pid) for child in children)


def test_ports_of_a_process(server: tuple[subprocess.Popen[str], int]) -> None:
    process, port = server
    listeners = Listeners()
    assert process.pid in listeners.scan(1000.0, [process.pid, os.getpid()], [])
    assert listeners.ports[process.pid] == [port]
    with socket.create_server(("127.0.0.1", 0)) as later:
        assert os.getpid() not in listeners.scan(1001.0, [process.pid, os.getpid()], [])  # too soon to look at all
        assert os.getpid() in listeners.scan(1003.0, [process.pid, os.getpid()], [])
        assert listeners.ports[os.getpid()] == [later.getsockname()[1]]


def test_ports_that_cannot_be_known_are_null_and_not_none_open(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    listeners = Listeners(str(tmp_path))
    listeners.scan(1.0, [1], [1])
    assert listeners.ports == {1: None}


def test_another_user_sees_null_where_it_may_not_look(server: tuple[subprocess.Popen[str], int]) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    program = f"""
import os
from guest_agent.scan import Scanner
from guest_agent.masking import Masks
from guest_agent.listeners import Listeners
os.setgid(65534); os.setuid(65534)  # only now: the other user may not be able to read what is tested
scanner, pid = Scanner(Masks()), {server[0].pid}
scanner.scan(1.0)
record = next(one for key, one in scanner.records.items() if key[0] == pid)
listeners = Listeners()
listeners.scan(1.0, [pid], [pid])
assert record["rss_kib"] > 0 and record["user"] == "root", record
assert (record["files"], record["read_bps"], listeners.ports[pid]) == (None, None, None), (record, listeners.ports)
"""
    code = f"import sys; sys.path.insert(0, {str(Path(__file__).parents[2])!r})\n{program}"
    done = subprocess.run(["/usr/bin/python3", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_an_exit_is_seen_through_a_pidfd() -> None:
    process = subprocess.Popen(["sleep", "60"])
    exits = Exits()
    exits.follow({process.pid}, lambda pid: True)
    (fd,) = exits.fds()
    process.kill()
    process.wait()
    import select

    assert select.select([fd], [], [], 1.0)[0]
    exits.ended(process.pid)
    assert exits.fds() == {}
    exits.follow({process.pid}, lambda pid: True)  # it is gone: nothing to follow
    assert exits.fds() == {}
    exits.follow({os.getpid()}, lambda pid: False)  # the number belongs to another one by now
    assert exits.fds() == {}


def test_the_whole_machine_in_the_terms_of_the_table() -> None:
    guest = Guest(config.check({}), time.monotonic())
    guest.scan(time.monotonic())
    time.sleep(0.1)
    guest.scan(time.monotonic())
    os_values = guest.picture.os
    assert str(os_values["boot_id"]) == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert 0 <= float(str(os_values["cpu"])) <= int(str(os_values["cpus"]))
    assert int(str(os_values["mem_total_mib"])) == psutil.virtual_memory().total >> 20
    said = guest.introduction()
    assert said["ticks_per_s"] == os.sysconf("SC_CLK_TCK")
    assert all(record["pid"] == key[0] for key, record in guest.picture.processes.items())


@pytest.mark.parametrize("kind", [Guest, windows.Guest])
def test_the_processes_of_a_program_are_its_oldest_ones(kind: type[Guest | windows.Guest]) -> None:
    """Not what a daemon makes of itself for each connection, and not what is dead."""
    guest = kind(config.check({}), time.monotonic())
    rows = [(9, 1, 700, "sshd", "S"), (7, 1, 500, "sshd", "S"), (30, 7, 900, "sshd", "S"), (31, 30, 950, "sshd", "R")]
    rows += [(40, 1, 990, "sshd", "Z"), (8, 1, 100, "cron", "S")]
    guest.picture.processes.clear()
    for pid, parent, start, program, state in rows:
        guest.picture.processes[pid, start] = {"ppid": parent, "program": program, "state": state}
    assert guest.pids_of(("sshd", "dropbear")) == [7, 9]
    assert guest.pids_of(("nothing",)) == []


def test_a_program_of_windows_goes_by_its_name_however_it_is_written() -> None:
    guest = windows.Guest(config.check({}), time.monotonic())
    guest.picture.processes = {(4, 1): {"ppid": 0, "program": "SSHD.EXE", "state": "R"}}
    assert guest.pids_of(("sshd",)) == [4]


def test_versions_of_packages() -> None:
    if not Path(versions.DPKG).exists():
        pytest.skip("no dpkg here")
    known = versions.Versions(0.0)
    assert not known.wants(1.0)
    path = str(Path("/usr/bin/python3").resolve())
    known.ask(100.0, [path, "/nowhere/at/all"])
    deadline = time.monotonic() + 60
    while not known.poll(101.0):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert known.known[path].startswith("3.") and known.known["/nowhere/at/all"] == ""


def test_the_windows_code_on_linux(server: tuple[subprocess.Popen[str], int]) -> None:
    guest = windows.Guest(config.check({}), time.monotonic())
    guest.scan(1.0)
    guest.scan(2.0)
    seen = next(one for key, one in guest.picture.processes.items() if key[0] == server[0].pid)
    linux = Scanner(Masks())
    linux.scan(1.0)
    linux.scan(2.0)
    other = record_of(linux, server[0].pid)
    assert other is not None
    assert seen.keys() == other.keys()
    assert seen["ports"] == [server[1]]
    assert "geheim" not in str(seen["command"])
    assert {key for key in seen if type(seen[key]) is not type(other[key])} <= {"ports"}
    assert guest.start_of(server[0].pid) == seen["start"]
