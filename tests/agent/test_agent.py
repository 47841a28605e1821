"""The agent as a whole, at a pseudo-terminal that stands for the serial port."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from guest_agent import picture
from guest_agent.picture import Picture
from tests.agent.harness import Host, agent

FAST = "period_s = 0.2\nperiod_min_s = 0.1\nperiod_max_s = 5\nwatch_sshd = false\n"


def known(host: Host) -> Picture:
    """What a controller would know by now."""
    made = Picture()
    for one in host.got:
        if one.type in ("full", "delta"):
            picture.apply(made, one.type, one.body)
    return made


def test_hello_everything_then_changes_then_bye(tmp_path: Path) -> None:
    with agent(tmp_path, FAST) as host:
        hello = host.wait("hello").body
        assert (hello["transport"], hello["period_s"], hello["period_min_s"]) == ("other", 0.2, 0.1)
        everything = host.wait("full").body
        assert {"at", "os", "processes", "hidden", "services", "watches"} == everything.keys()
        for _ in range(5):
            host.wait("delta")
        numbers = [one.number for one in host.got]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        assert host.damage == []
        assert (host.process.pid in [key[0] for key in known(host).processes]) is True
        host.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + 5
        while not any(one.type == "bye" for one in host.got) and time.monotonic() < deadline:
            host.read()
        assert host.got[-1].type == "bye"
        assert host.process.wait(5) == 0


def test_new_and_gone_processes_are_told(tmp_path: Path) -> None:
    with agent(tmp_path, FAST) as host:
        host.wait("full")
        child = subprocess.Popen(["sleep", "77"])
        try:
            host.wait(lambda one: any(p["pid"] == child.pid for p in one.body.get("processes") or []))  # type: ignore[attr-defined]
            record = next(one for key, one in known(host).processes.items() if key[0] == child.pid)
            assert record["program"] == "sleep" and record["command"] == "sleep 77"
        finally:
            child.kill()
            child.wait()
        host.wait(lambda one: any(key[0] == child.pid for key in one.body.get("gone") or []))  # type: ignore[attr-defined]


def test_the_host_asks_for_another_period_and_for_everything(tmp_path: Path) -> None:
    with agent(tmp_path, FAST) as host:
        host.wait("full")
        host.say("want", {"period_s": 0.001})
        host.say("want", {"full": True, "run": "reboot"})
        host.wait("full")
        began = time.monotonic()
        for _ in range(10):
            host.wait("delta")
        assert time.monotonic() - began > 0.6  # 0.1 s is the least that this guest allows
        host.say("want", {"period_s": 1e9})
        time.sleep(0.5)
        host.read()
        began = time.monotonic()
        host.wait("delta")
        assert time.monotonic() - began < 30  # 5 s is the most: a host that asks for less is not forgotten


def test_nonsense_from_the_host_changes_nothing(tmp_path: Path) -> None:
    with agent(tmp_path, FAST) as host:
        host.wait("full")
        host.wait("delta")  # what it learns while it starts is told whole
        for body in ({"period_s": "fast"}, {"period_s": True}, {"period_s": None, "full": 1}, {}):
            host.say("want", body)
        host.say("exec", {"command": "reboot"})
        host.say("full", {})
        os.write(host.master, b"\x1e" + b"x" * 10_000 + b"\x1e\x1e{}\n" + os.urandom(2000))
        host.got.clear()
        for _ in range(5):
            host.wait("delta")
        assert {one.type for one in host.got} == {"delta"}


def test_a_host_that_says_hello_is_told_everything_but_not_at_any_rate(tmp_path: Path) -> None:
    with agent(tmp_path, FAST) as host:
        host.wait("full")
        began = time.monotonic()
        for _ in range(20):
            host.say("hello", {})
        host.wait("hello")
        time.sleep(1.5)
        while host.read():
            pass
        assert sum(one.type == "hello" for one in host.got) - 1 <= 1 + time.monotonic() - began


def test_the_port_is_not_there_at_first_vanishes_and_comes_back(tmp_path: Path) -> None:
    with agent(tmp_path, FAST, plugged=False) as host:
        time.sleep(1.0)
        assert host.process.poll() is None
        for _ in range(3):
            host.plug_in()
            host.wait("hello")
            host.wait("full")
            host.wait("delta")
            host.pull_out()
            time.sleep(0.5)


def test_a_host_that_does_not_read_costs_nothing_and_gets_everything_when_it_does(tmp_path: Path) -> None:
    with agent(tmp_path, FAST.replace("0.2", "0.1")) as host:
        host.wait("full")
        host.wait("delta")
        before = host.rss_kib()
        child = subprocess.Popen(["sleep", "78"])
        for _ in range(8):  # the terminal's buffer must be full, whatever its size
            host.say("want", {"full": True})
            time.sleep(1.1)
        assert host.rss_kib() - before < 2048
        assert host.process.poll() is None
        child.kill()
        child.wait()
        last = host.got[-1].number
        host.wait(lambda _: child.pid not in [key[0] for key in known(host).processes])
        host.wait("delta")
        assert host.got[-1].number > last
        assert host.damage == []


def test_a_stopped_agent_goes_on_as_after_a_pause_of_the_machine(tmp_path: Path) -> None:
    with agent(tmp_path, FAST) as host:
        host.wait("full")
        host.process.send_signal(signal.SIGSTOP)
        time.sleep(2.0)
        host.process.send_signal(signal.SIGCONT)
        host.got.clear()
        began = time.monotonic()
        host.wait("delta")
        host.wait("delta")
        while host.read():
            pass
        assert len(host.got) <= 3 + (time.monotonic() - began) / 0.1  # what was missed is not made up for


def test_the_end_of_a_watched_process_is_told_at_once(tmp_path: Path) -> None:
    program = tmp_path / "tirunner"
    program.symlink_to("/usr/bin/sleep")
    child = subprocess.Popen([str(program), "600"])
    try:
        watch = '\n[[watch]]\nname = "runner"\nprogram = "tirunner"\n'
        with agent(tmp_path, FAST.replace("0.2", "5") + watch) as host:
            host.wait(lambda one: one.type == "full" and one.body["watches"][0]["ok"] is True)  # type: ignore[index]
            time.sleep(0.3)
            child.kill()
            child.wait()
            died = time.monotonic()
            event = host.event("exited", "runner")
            took = time.monotonic() - died
            assert event["pid"] == child.pid and isinstance(event["start"], int)
            assert took < 0.5, took  # 0.05 on a machine that is not busy
            host.event("failed", "runner", 3)
            child = subprocess.Popen([str(program), "600"])
            host.event("recovered", "runner", 12)
    finally:
        child.kill()
        child.wait()


class Answers(BaseHTTPRequestHandler):
    """/ok is well, /bad is not, /slow does not answer."""

    def do_GET(self) -> None:
        if self.path == "/slow":
            time.sleep(3)
        self.send_response(200 if self.path == "/ok" else 500)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def web() -> Iterator[int]:
    """A real web server on loopback."""
    server = HTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_watches_of_ports_paths_and_heartbeats(tmp_path: Path) -> None:
    beat = tmp_path / "alive"
    beat.touch()
    listener = socket.create_server(("127.0.0.1", 0))
    closed = socket.create_server(("127.0.0.1", 0))
    nobody = closed.getsockname()[1]
    closed.close()
    with web() as port:
        config = FAST + "".join(
            f'[[watch]]\nname = "{name}"\nfailures = 1\n{rest}\n'
            for name, rest in (
                ("port", f"port = {listener.getsockname()[1]}"),
                ("nobody", f"port = {nobody}"),
                ("ok", f'http = "http://127.0.0.1:{port}/ok"'),
                ("bad", f'http = "http://127.0.0.1:{port}/bad"'),
                ("beat", f'heartbeat = "{beat}"\nmax_age_s = 4'),
            )
        )
        with agent(tmp_path, config) as host:
            host.wait("full")
            deadline = time.monotonic() + 10
            while "500" not in str(known(host).watches) or "refused" not in str(known(host).watches):
                beat.touch()
                host.read()
                assert time.monotonic() < deadline, known(host).watches
            host.wait("delta")
            verdicts = {name: watch["ok"] for name, watch in known(host).watches.items()}
            # what was never well has a minute before it counts as failed
            assert verdicts == {"port": True, "nobody": None, "ok": True, "bad": None, "beat": True}
            whys = {name: str(watch["why"]) for name, watch in known(host).watches.items()}
            assert "refused" in whys["nobody"] and "status 500" in whys["bad"] and "status 200" in whys["ok"]
            listener.close()
            assert "refused" in (why := str(host.event("failed", "port")["why"])) or "reset" in why
            assert "ago" in str(host.event("failed", "beat")["why"])
            beat.touch()
            host.event("recovered", "beat")
            assert host.damage == []


def test_a_slow_path_delays_nothing(tmp_path: Path) -> None:
    with web() as port:
        watch = f'[[watch]]\nname = "slow"\ntimeout_s = 1\nhttp = "http://127.0.0.1:{port}/slow"\n'
        with agent(tmp_path, FAST + watch) as host:
            host.wait("full")
            began = time.monotonic()
            for _ in range(5):
                host.wait("delta")
            assert time.monotonic() - began < 4.5  # and not five times the second that each look there takes
            told = lambda one: "no answer within 1 s" in str(one.body.get("watches"))  # noqa: E731
            assert any(map(told, host.got)) or host.wait(told), "a change is told once, perhaps among those five"


def test_the_command(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "guest_agent", *words]
        return subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=30)

    assert run("--version").stdout.startswith("vmctl-agent 0.")
    assert "--config" in run("--help").stdout
    wrong = run("--frobnicate")
    assert wrong.returncode == 2 and "frobnicate" in wrong.stderr
    file = tmp_path / "agent.toml"
    file.write_text("perod_s = 1")
    once = run("--once", "--config", str(file))
    assert '"processes"' in once.stdout and "perod_s" in once.stderr and once.returncode == 0


@pytest.mark.parametrize("what", ["wire", "scan"])
def test_modules_stay_light(what: str) -> None:
    heavy = ("typing", "subprocess", "socket", "pathlib")
    code = f"import guest_agent.{what}, sys; print(*[name for name in {heavy} if name in sys.modules])"
    done = subprocess.run(
        ["/usr/bin/python3", "-S", "-c", code], cwd=Path(__file__).parents[2], capture_output=True, text=True
    )
    assert done.stdout.split() == [], done.stderr
