"""What runs use, by real processes of this machine."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from vmctl.errors import Unreadable
from vmctl.hosts.runuse import InUse, use

TREE = "import os, time\nif not os.fork():\n  while True: pass\ntime.sleep(60)"


def asked(runs: list[int], daemons: list[int] | None = None) -> InUse:
    fact = use(runs, daemons or [])
    return fact.read(subprocess.run(fact.command, capture_output=True, text=True, check=True).stdout, "kvm1")


@pytest.fixture
def run() -> Iterator[int]:
    """The leader of a session, which sleeps; its child is busy."""
    process = subprocess.Popen(["python3", "-c", TREE], start_new_session=True)
    yield process.pid
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def test_a_runs_use_is_that_of_its_session(run: int) -> None:
    time.sleep(0.3)
    before = asked([run])
    time.sleep(0.7)
    after = asked([run])
    one = after.runs[run]
    assert (one.pid, one.parent, one.threads, one.name) == (run, os.getpid(), 2, "python3") and one.rss_kib > 4000
    assert 0.2 < after.cores(run, before) < 1.2 and 0.0 < after.cores(run, None) < 1.2
    assert abs(after.started_us(run) / 1e6 - time.time()) < 4 and one.ports == ()


def test_a_process_that_is_not_the_same_is_counted_from_its_beginning(run: int) -> None:
    time.sleep(0.2)
    now = asked([run])
    another = replace(now, boot_id="another boot", uptime_s=1.0)
    assert now.cores(run, another) == now.cores(run, None)


ODD = "import ctypes, time; ctypes.CDLL(None).prctl(15, b'a\\n1 (b) S 1', 0, 0, 0); time.sleep(60)"


def test_a_name_with_line_ends_is_one_name(run: int) -> None:
    """Neither does it hide its process, nor stand for another one."""
    odd = subprocess.Popen(["python3", "-c", ODD], start_new_session=True)
    try:
        time.sleep(0.5)
        found = asked([odd.pid, run])
        assert found.runs.keys() == {odd.pid, run} and found.runs[odd.pid].parent == os.getpid()
        assert " " not in found.runs[odd.pid].name and found.runs[odd.pid].name.startswith("a?")
    finally:
        odd.kill()
        odd.wait()


def test_a_dead_leader_is_no_run() -> None:
    gone = subprocess.Popen(["sh", "-c", "sleep 5 & exit 0"], start_new_session=True)
    gone.wait()
    assert asked([gone.pid]).runs == {}
    os.killpg(gone.pid, signal.SIGKILL)


def test_the_ports_of_a_daemon_and_of_nobody() -> None:
    server, other = socket.create_server(("127.0.0.1", 0)), socket.create_server(("::1", 0), family=socket.AF_INET6)
    with server, other:
        found, ports = asked([], [os.getpid(), 2**22 + 1]), {one.getsockname()[1] for one in (server, other)}
    assert set(found.daemons[os.getpid()]) >= ports
    assert found.runs == {} and set(found.daemons) == {os.getpid()}


def test_what_is_no_answer_is_unreadable() -> None:
    for text in ("", "host a b", "nonsense of nobody\n"):
        with pytest.raises(Unreadable):
            use([]).read(text, "kvm1")
    found = use([]).read("host b 1 2 3 4096\nrun 1 2\nsees abc\nhas 1\nof 1 y)\nrun 7 1 2 sh 3 1 5\n", "kvm1")
    assert found.runs.keys() == {7}, "one line that cannot be read is only that"
