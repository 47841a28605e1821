"""One controller per registry, whoever starts it and however many try; its socket is its own."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from vmctl.api.server import listening, private
from vmctl.cli.client import Client
from vmctl.cli.serve import left_open
from vmctl.cli.top import View
from vmctl.commands.users import AddProject
from vmctl.commands.vms import ListVMs, Stop
from vmctl.errors import AlreadyRuns, Refused, Usage
from vmctl.local import lock


class Home:
    """A user's folders of their own, and commands in them."""

    def __init__(self, top: Path) -> None:
        top.chmod(0o700)
        self.data, self.log = top / "data" / "vmctl", top / "state" / "vmctl" / "controller.log"
        self.socket = top / "run" / "vmctl" / "controller.sock"
        (top / "run").mkdir()
        folders = {f"XDG_{kind.upper()}_HOME": str(top / kind) for kind in ("data", "state", "config")}
        kept = {key: value for key, value in os.environ.items() if key != "VMCTL_SOCKET"}
        self.environ = kept | folders | {"XDG_RUNTIME_DIR": str(top / "run")}

    def begin(self, *words: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "vmctl.cli.main", *words]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=self.environ)

    def run(self, *words: str) -> tuple[int, str, str]:
        began = self.begin(*words)
        out, err = began.communicate(timeout=60)
        return began.returncode, out, err

    @property
    def controller(self) -> int | None:
        return lock.holder(self.data / "controller.lock")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    found = Home(tmp_path)
    yield found
    found.run("serve", "--stop")
    assert found.controller is None


def test_of_several_first_commands_one_starts_a_controller_and_all_are_answered(home: Home) -> None:
    first = [home.begin("host", "list") for _ in range(4)]
    ended = [(command.communicate(timeout=60), command.returncode) for command in first]
    assert [code for _, code in ended] == [0] * 4, ended
    told = [err for (_, err), _ in ended if "started a local controller" in err]
    assert len(told) == 1, ended
    assert f"(process {home.controller}," in told[0]
    log = home.log.read_text()
    assert log.count("serving at") == 1 and "already runs" not in log, "who lost the lock wrote nothing"


def test_a_second_controller_leaves_the_first_one_its_socket(home: Home) -> None:
    assert home.run("host", "list")[0] == 0
    before, number = home.socket.stat(), home.controller
    code, _, err = home.run("serve")
    assert (code, f"already runs here (process {number})" in err) == (3, True), err
    assert os.path.samestat(before, home.socket.stat()) and home.socket.stat().st_mode & 0o777 == 0o600
    assert home.run("host", "list") == (0, "", "no hosts yet: vmctl host add NAME...\n")


def test_a_controller_that_was_killed_has_a_successor(home: Home) -> None:
    assert home.run("list")[0] == 0
    number = home.controller
    assert number is not None
    os.kill(number, 9)
    while home.controller is not None:
        time.sleep(0.01)
    assert home.socket.exists(), "nobody took it away"
    code, _, err = home.run("list")
    assert code == 0 and "started a local controller" in err


def _request(one: socket.socket) -> bytes:
    """A whole request, of which the body may come by itself."""
    heard = b""
    while b"\r\n\r\n" not in heard and (more := one.recv(4096)):
        heard += more
    head, _, body = heard.partition(b"\r\n\r\n")
    length = int((head.lower().partition(b"content-length: ")[2].splitlines() or [b"0"])[0])
    while len(body) < length and (more := one.recv(4096)):
        body += more
    return head


@pytest.fixture
def dying(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bytes]]:
    """A controller that ends just as it is asked for the first time; the next one answers, and warns."""
    place, heard = tmp_path / "controller.sock", list[bytes]()
    monkeypatch.setattr("vmctl.cli.client.socket_path", lambda: place)
    monkeypatch.delenv("VMCTL_SOCKET", raising=False)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(place))
        server.listen()

        def serve() -> None:
            for answers in (False, True, True):
                with contextlib.suppress(OSError), server.accept()[0] as one:
                    heard.append(_request(one))
                    warning = quote("the registry cannot be written: no space left")
                    if answers:
                        one.sendall(f"HTTP/1.1 200 OK\r\nX-Vmctl-Warning: {warning}\r\n".encode())
                        one.sendall(b"Content-Length: 2\r\nConnection: close\r\n\r\n[]")

        threading.Thread(target=serve, daemon=True).start()
        yield heard


def test_a_question_to_a_controller_that_just_ends_goes_to_the_next(
    dying: list[bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    client = Client()
    assert client.ask(ListVMs()) == client.ask(ListVMs()) == []
    assert len(dying) == 3
    assert capsys.readouterr().err == "warning: the registry cannot be written: no space left\n", "said once"


def test_a_command_that_may_have_been_heard_is_asked_for_with_its_key(dying: list[bytes]) -> None:
    """So it is not done twice."""
    assert Client().ask(Stop("web1")) == []
    keys = {line for one in dying for line in one.splitlines() if line.startswith(b"Idempotency-Key: ")}
    assert len(dying) >= 2 and len(keys) == 1


@pytest.mark.parametrize(
    "cut",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n",
        b'HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{"name": "b',
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 409 Conflict\r\nContent-Length: 200\r\n\r\n{",
    ],
)
def test_an_answer_that_is_cut_is_asked_for_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut: bytes) -> None:
    """It was done, and its user is told so."""
    place, keys = tmp_path / "controller.sock", list[bytes]()
    monkeypatch.setattr("vmctl.cli.client.socket_path", lambda: place)
    monkeypatch.setenv("VMCTL_SOCKET", str(place))
    whole = b'HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n{"name": "blue"}'
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(place))
        server.listen()

        def serve() -> None:
            for answer in (cut, whole):
                with contextlib.suppress(OSError), server.accept()[0] as one:
                    keys.append(_request(one).lower().partition(b"idempotency-key: ")[2][:32])
                    one.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        assert Client().ask(AddProject("blue")) == {"name": "blue"}
    assert len(keys) == 2 and len(set(keys)) == 1


def test_stopping_takes_the_socket_away_and_says_so(home: Home) -> None:
    assert home.run("list")[0] == 0
    number = home.controller
    home.data.chmod(0o500)
    code, out, _ = home.run("serve", "--stop")
    home.data.chmod(0o700)
    assert (code, out) == (0, f"the controller (process {number}) has ended; hosts and VMs go on\n")
    assert not home.socket.exists()
    assert home.run("serve", "--stop") == (0, "no controller runs\n", "")


def test_stopping_says_what_breaks_off(home: Home) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        where = f"kvm1=127.0.0.1:{silent.getsockname()[1]}"
        assert home.run("host", "add", where, "--detach")[0] == 0
        code, out, _ = home.run("serve", "--stop")
    assert (code, out.splitlines()[0]) == (0, f"1 task breaks off: host add {where} (1)")


def test_what_the_next_controller_takes_up_does_not_break_off() -> None:
    def task(number: int, kind: str, resumes: bool) -> dict[str, Any]:
        return {"id": number, "kind": kind, "subject": "x", "resumes": resumes}

    assert left_open([]) == []
    assert left_open([task(1, "migrate", True)]) == ["1 task goes on when a controller runs again: migrate x (1)"]
    assert left_open([task(1, "create", True), task(2, "reset", False), task(3, "stop", True)]) == [
        "1 task breaks off: reset x (2)",
        "2 tasks go on when a controller runs again: create x (1), stop x (3)",
    ]


def test_an_open_top_leaves_a_stopped_controller_stopped(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    for key, value in home.environ.items():
        monkeypatch.setenv(key, value)
    monkeypatch.delenv("VMCTL_SOCKET", raising=False)
    assert "no controller answers" in View("table").page(Client(autostart=False), 80)
    assert home.controller is None


def test_why_a_controller_does_not_start_reaches_the_command_that_started_it(home: Home, tmp_path: Path) -> None:
    (tmp_path / "config" / "vmctl").mkdir(parents=True)
    (tmp_path / "config" / "vmctl" / "vmctl.toml").write_text("nonsense = 1\n")
    code, out, err = home.run("list")
    assert (code, out) == (2, "")
    assert "unknown setting 'nonsense'" in err and "Traceback" not in err


def test_a_registry_that_is_none_is_told_by_whatever_command_meets_it(home: Home) -> None:
    home.data.mkdir(parents=True)
    (home.data / "registry.db").write_text("garbage")
    for words in (("host", "list"), ("serve",)):
        code, _, err = home.run(*words)
        first, then, mend = err.splitlines()
        assert (code, first) == (1, f"error: the registry {home.data}/registry.db is damaged (file is not a database)")
        assert (
            "read back from their hosts" in then
            and mend == f"try: mv {home.data}/registry.db {home.data}/registry.db.damaged"
        )


# -- the lock and the socket by themselves


def test_the_lock_is_held_once(tmp_path: Path) -> None:
    held = lock.take(tmp_path / "lock")
    with pytest.raises(AlreadyRuns, match=f"process {os.getpid()}"):
        lock.take(tmp_path / "lock")
    assert (tmp_path / "lock").read_text() == str(os.getpid()), "the loser wrote nothing"
    os.close(held)
    os.close(lock.take(tmp_path / "lock"))


@pytest.mark.parametrize("text", ["", "x", "-1", "99999999", "1", "2"])
def test_a_number_that_is_no_controllers_is_nobody(tmp_path: Path, text: str) -> None:
    (tmp_path / "lock").write_text(text)
    assert lock.holder(tmp_path / "lock") is None


def test_a_socket_is_private_and_goes_with_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "sock"
    with listening(path) as sock:
        assert path.stat().st_mode & 0o777 == 0o600
        sock.listen()
        with pytest.raises(Refused, match="another controller answers"), listening(path):
            raise AssertionError
    assert not path.exists()


def test_the_socket_of_another_is_left_alone_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "sock"
    with listening(path):
        path.unlink()
        other = socket.socket(socket.AF_UNIX)
        other.bind(str(path))
    assert path.exists()
    other.close()


def test_what_is_no_socket_is_not_removed(tmp_path: Path) -> None:
    (tmp_path / "sock").write_text("mine")
    with pytest.raises(Usage, match="Address already in use"), listening(tmp_path / "sock"):
        raise AssertionError
    assert (tmp_path / "sock").read_text() == "mine"
    with pytest.raises(Usage, match="too long"), listening(tmp_path / ("x" * 120)):
        raise AssertionError


def test_a_folder_that_others_may_enter_is_refused(tmp_path: Path) -> None:
    assert private(tmp_path / "new" / "one").stat().st_mode & 0o777 == 0o700
    for mode in (0o755, 0o770, 0o701):
        (tmp_path / "new").chmod(mode)
        with pytest.raises(Refused, match=f"open to other users .mode {mode:04o}") as caught:
            private(tmp_path / "new")
        assert f"chmod 700 {tmp_path}/new" in caught.value.hint


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir(mode=0o700)
    os.chown(tmp_path / "theirs", 65534, 65534)
    with pytest.raises(Refused, match="belongs to another user"):
        private(tmp_path / "theirs")
