"""Commands to a controller elsewhere: contexts, log-ins, servers that are away, a connection that breaks."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.api.live import Live, served
from tests.cli.run import said, vmctl
from vmctl.cli import client, contexts
from vmctl.cli.main import cli
from vmctl.commands import users
from vmctl.door import handlers
from vmctl.door.user_answers import Named
from vmctl.errors import ControllerUnreachable, NotAllowed, NotFound, NotLoggedIn, Refused, Usage
from vmctl.model.records import Task, TaskState, VMRecord
from vmctl.model.vms import Spec
from vmctl.tasks import now

UUID = "11111111-2222-4333-8444-555555555555"


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory, empty_registry: Path) -> Iterator[Live]:
    folder = tmp_path_factory.mktemp("live")
    with pytest.MonkeyPatch.context() as patch, served(folder, empty_registry) as made:
        patch.setenv("XDG_DATA_HOME", str(folder))
        made.do(made.controller.services.store.add_vm(VMRecord(Spec(UUID, "web1", 1, 64), 1.0)))
        yield made


@pytest.fixture(autouse=True)
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user with no contexts yet."""
    for kind in ("CONFIG", "STATE", "DATA"):
        monkeypatch.setenv(f"XDG_{kind}_HOME", str(tmp_path / kind))
    monkeypatch.delenv("VMCTL_SOCKET", raising=False)
    monkeypatch.delenv("VMCTL_CONTEXT", raising=False)


def add(live: Live, tmp_path: Path, *more: str, server: str = "", token: str | None = None) -> str:
    file = tmp_path / "token"
    file.write_text((live.token() if token is None else token) + "\n")
    trust = more or ("--ca", str(live.ca_file))
    where = server or f"127.0.0.1:{live.port}"
    return said("context", "add", "work", "--server", where, "--token-file", str(file), *trust)


def test_commands_are_the_same_over_the_network(live: Live, tmp_path: Path) -> None:
    assert "is used from now on" in add(live, tmp_path)
    assert said("whoami", "-o", "json").count("anna") == 2
    assert [vm["name"] for vm in json.loads(said("list", "-o", "json"))] == ["web1"]
    assert "web1" in said("show", "web1")
    refused = vmctl("stop", "web1").exception
    assert isinstance(refused, NotAllowed) and "anna has no permission vm.power" in refused.message
    assert refused.hint == "vmctl can anna vm.power --on vm:web1"


def test_a_context_is_a_private_file(live: Live, tmp_path: Path) -> None:
    add(live, tmp_path)
    assert contexts.path().stat().st_mode & 0o777 == 0o600
    assert "vmctl_" in contexts.path().read_text() and "vmctl_" not in said("context", "list", "-o", "json")
    contexts.path().chmod(0o640)
    assert isinstance(vmctl("list").exception, Refused)
    contexts.path().chmod(0o600)
    contexts.path().write_text("{")
    damaged = vmctl("list").exception
    assert isinstance(damaged, Usage) and "is damaged" in damaged.message


def test_contexts_are_chosen(live: Live, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add(live, tmp_path)
    assert [(c["name"], c["current"]) for c in json.loads(said("context", "list", "-o", "json"))] == [
        ("local", False),
        ("work", True),
    ]
    said("context", "use", "local")
    assert contexts.chosen() is None
    monkeypatch.setenv("VMCTL_CONTEXT", "work")
    assert "anna" in said("whoami")
    monkeypatch.setenv("VMCTL_CONTEXT", "nosuch")
    missing = vmctl("whoami").exception
    assert isinstance(missing, NotFound) and "local, work" in missing.hint
    monkeypatch.delenv("VMCTL_CONTEXT")
    said("context", "use", "work")
    said("context", "remove", "work")
    assert contexts.chosen() is None and isinstance(vmctl("context", "use", "work").exception, NotFound)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("a", ("a:8006",)),
        ("a:1,b", ("a:1", "b:8006")),
        ("[::1]:9", ("[::1]:9",)),
        ("::1", ("[::1]:8006",)),
        (" a , b:2 ", ("a:8006", "b:2")),
    ],
)
def test_servers_are_addresses_with_or_without_a_port(given: str, wanted: tuple[str, ...]) -> None:
    assert contexts.servers(given) == wanted


@pytest.mark.parametrize("given", ["", ",", "a:x", "a:0", "a:70000", "https://a", ":1"])
def test_what_is_no_server_is_refused(given: str) -> None:
    with pytest.raises(Usage):
        contexts.servers(given)


def test_the_certificate_is_known_before_anything_is_sent(live: Live, tmp_path: Path) -> None:
    from vmctl.api import tls

    right = tls.fingerprint_of(live.folder / "tls" / "server.pem")
    add(live, tmp_path, "--fingerprint", right)
    assert "anna" in said("whoami")
    add(live, tmp_path, "--fingerprint", right.replace(":", "").lower())
    assert "anna" in said("whoami")
    add(live, tmp_path, "--fingerprint", "AB:" * 31 + "AB")
    other = vmctl("whoami").exception
    assert isinstance(other, NotAllowed) and f"shows another certificate ({right})" in other.message
    add(live, tmp_path, "--ca", str(_another_ca(tmp_path)))
    untrusted = vmctl("whoami").exception
    assert isinstance(untrusted, ControllerUnreachable) and "certificate is not trusted" in untrusted.message
    assert isinstance(vmctl("context", "add", "x", "--server", "a", "--fingerprint", "AB").exception, Usage)


def _another_ca(folder: Path) -> Path:
    from vmctl.api import tls

    tls.init(folder / "other", ["127.0.0.1"])
    return folder / "other" / "ca.pem"


def test_another_server_of_the_list_is_tried(live: Live, tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        gone = closed.getsockname()[1]
    add(live, tmp_path, "--ca", str(live.ca_file), server=f"127.0.0.1:{gone},127.0.0.1:{live.port}")
    assert "anna" in said("whoami")
    add(live, tmp_path, "--ca", str(live.ca_file), server=f"127.0.0.1:{gone},localhost:{gone}")
    away = vmctl("whoami").exception
    assert isinstance(away, ControllerUnreachable) and len(away.lines) == 2 and "refused" in away.lines[0]
    assert "no controller of context work" in away.message


def test_one_logs_in(live: Live, tmp_path: Path) -> None:
    live.ask(users.AddUser("ben", "a good password"))
    said("context", "add", "work", "--server", f"127.0.0.1:{live.port}", "--ca", str(live.ca_file))
    unknown = vmctl("list").exception
    assert isinstance(unknown, NotLoggedIn) and "vmctl login" in unknown.hint
    run = CliRunner()
    wrong = run.invoke(cli, ["login", "ben"], input="another\n")
    assert isinstance(wrong.exception, NotLoggedIn)
    done = run.invoke(cli, ["login", "ben"], input="a good password\n")
    assert done.exception is None and "logged in as ben for" in done.output
    assert "ben" in said("whoami")
    live.ask(users.RemoveUser("ben"))
    assert isinstance(vmctl("whoami").exception, NotLoggedIn)


def test_there_is_no_log_in_to_ones_own_controller() -> None:
    assert isinstance(vmctl("login", "anna").exception, Usage)
    assert isinstance(vmctl("context", "add", "local", "--server", "a").exception, Usage)


class Wire:
    """What lies between a client and a server, and can break."""

    def __init__(self, to: int) -> None:
        self._to = to
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port = self.listening.getsockname()[1]
        self.open: list[socket.socket] = []
        self.posts = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self.listening.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self._to))
            self.open += [near, far]
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=self._pass, args=(one, other), daemon=True).start()

    def _pass(self, one: socket.socket, other: socket.socket) -> None:
        try:
            while data := one.recv(65536):
                other.sendall(data)
        except OSError:
            pass

    def close(self) -> None:
        """Take no more, and break what is open."""
        self.listening.shutdown(socket.SHUT_RDWR)  # who waits for a client there wakes up
        self.listening.close()
        self.cut()

    def cut(self) -> None:
        """Break what is open now."""
        gone, self.open = self.open, []
        for one in gone:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # reset, and no goodbye
            with contextlib.suppress(OSError):  # the other end has gone
                one.shutdown(socket.SHUT_RD)
            one.close()


def test_a_connection_that_breaks_is_said_and_the_task_followed_on(
    live: Live, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    store = live.controller.services.store
    number = live.do(store.add(Task(0, "stop", "web1", 1.0, state=TaskState.RUNNING, who="anna", vm=UUID)))
    followed: list[int] = []
    wire = Wire(live.port)

    async def follow(task: int) -> AsyncIterator[Any]:
        followed.append(task)
        yield now(await store.get(Task, task), None)
        if len(followed) == 1:
            await asyncio.sleep(0.3)
            wire.cut()
            while True:  # as long as somebody is thought to listen
                await asyncio.sleep(0.1)
                yield now(await store.get(Task, task), None)
        await store.end_task(task, state=TaskState.DONE, result={"vm": "web1"}, ended_at=2.0)
        yield now(await store.get(Task, task), None)

    monkeypatch.setattr(live.controller.tasks, "follow", follow)
    add(live, tmp_path, "--ca", str(live.ca_file), server=f"127.0.0.1:{wire.port}")
    done = vmctl("task", "attach", str(number))
    assert done.exception is None or done.exit_code == 0, done.exception
    assert followed == [number, number], "followed again, and nothing was given a second time"
    wire.close()
    told = done.stderr
    assert "the connection was lost" in told and "connected again" in told


def test_a_command_that_may_have_been_heard_is_asked_after_and_done_once(
    live: Live, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    live.ask(users.AddUser("mia"))
    live.ask(users.GrantRole("mia", "admin", "all"))
    asked: list[str] = []
    wire = Wire(live.port)

    async def heard(_parts: Any, one: users.AddProject, _who: Any) -> Any:
        asked.append(one.name)
        wire.cut()
        await asyncio.sleep(1)
        return Named("done once")

    monkeypatch.setitem(handlers.AT_ONCE, users.AddProject, heard)
    add(live, tmp_path, "--ca", str(live.ca_file), server=f"127.0.0.1:{wire.port}", token=live.token("mia"))
    told = vmctl("project", "create", "green", "-o", "json")
    wire.close()
    assert asked == ["green"] and json.loads(told.stdout) == {"name": "done once"}
    assert "the connection was lost; asking what became of it" in told.stderr


def test_a_command_whose_controller_is_gone_says_so(
    live: Live, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wire = Wire(live.port)

    async def heard(_parts: Any, _one: users.AddProject, _who: Any) -> Any:
        wire.close()

    live.ask(users.AddUser("kim"))
    live.ask(users.GrantRole("kim", "admin", "all"))
    monkeypatch.setitem(handlers.AT_ONCE, users.AddProject, heard)
    monkeypatch.setattr(client, "AGAIN_S", 0.3)
    add(live, tmp_path, "--ca", str(live.ca_file), server=f"127.0.0.1:{wire.port}", token=live.token("kim"))
    lost = vmctl("project", "create", "green").exception
    assert isinstance(lost, ControllerUnreachable) and "cannot be reached" in lost.message
