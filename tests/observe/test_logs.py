"""Log lines say what they are about: the request, the task, the VM, the host; as text or as JSON, and no secret."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncssh
import httpx
import pytest

from tests.api.peers import ELSEWHERE, by
from tests.cli.test_serve import Home
from tests.observe import pool
from tests.observe.pool import Quiet, full, serving
from vmctl.api import measure
from vmctl.api.app import make_app
from vmctl.commands import cluster, users, vms
from vmctl.door import handlers
from vmctl.hosts.link import HostLink
from vmctl.local import logcontext
from vmctl.local.config import Settings
from vmctl.local.loglines import JsonLines, TextLines
from vmctl.model.records import HostRecord
from vmctl.model.rights import LOCAL_USER

log = logging.getLogger("vmctl.test")


class Lines(logging.Handler):
    """Keeps the lines that a log would have."""

    def __init__(self, form: logging.Formatter) -> None:
        super().__init__()
        self.setFormatter(form)
        self.text: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.text.append(self.format(record))

    def of(self, words: str) -> list[dict[str, Any]]:
        """The lines with these words in their message."""
        return [line for line in map(json.loads, self.text) if words in line["message"]]


@pytest.fixture
def lines() -> Iterator[Lines]:
    kept, root = Lines(JsonLines()), logging.getLogger()
    before = root.level
    root.addHandler(kept)
    root.setLevel(logging.DEBUG)
    yield kept
    root.removeHandler(kept)
    root.setLevel(before)


# -- how a line is written


def record(message: str, *arguments: Any, error: Exception | None = None) -> logging.LogRecord:
    told = (type(error), error, None) if error is not None else None
    made = logging.LogRecord("vmctl.x", logging.WARNING, "f", 1, message, arguments, told)
    made.created = 1_700_000_000.25
    return made


def test_a_json_line_is_one_line_whatever_is_in_it() -> None:
    with logcontext.within(request="r1", vm="web1"):
        line = JsonLines().format(record("%s\n\x1b \udcff é", "x", error=ValueError("first\nsecond")))
    assert line.isascii() and line.isprintable()
    assert json.loads(line) == {
        "time": "2023-11-14T22:13:20.250Z",
        "level": "WARNING",
        "logger": "vmctl.x",
        "message": "x\n\x1b \udcff é",
        "request": "r1",
        "vm": "web1",
        "error": "ValueError: first\nsecond",
    }


def test_a_line_for_people_ends_with_what_it_is_about() -> None:
    form = TextLines()
    assert form.format(record("it broke")).endswith(" WARNING vmctl.x: it broke")
    with logcontext.within(request="r1", task="7"):
        first, second = form.format(record("it broke", error=ValueError("why"))).splitlines()
    assert first.endswith(" WARNING vmctl.x: it broke [request=r1 task=7]") and second == "ValueError: why"


async def test_what_lines_are_about_goes_with_the_work_and_ends_with_it() -> None:
    async def later() -> None:
        seen.append(dict(logcontext.now()))
        logcontext.only(host="kvm1")
        seen.append(dict(logcontext.now()))

    seen: list[dict[str, str]] = []
    with logcontext.within(request="r1"):
        logcontext.add(task="7")
        await asyncio.create_task(later())
        assert logcontext.now() == {"request": "r1", "task": "7"}, "what it began says nothing of it"
    assert seen == [{"request": "r1", "task": "7"}, {"host": "kvm1"}]
    assert logcontext.now() == {}


# -- requests


@pytest.mark.parametrize("name", ["abc", "0123-AB.c", "x" * 64])
async def test_a_request_has_the_name_that_its_client_gives(tmp_path: Path, name: str) -> None:
    async with serving(await full(tmp_path)) as http:
        answer = await http.get("/healthz", headers={"X-Request-Id": name})
    assert answer.headers.get_list("x-request-id") == [name]


@pytest.mark.parametrize("name", ["", "x" * 65, "two words", 'a"b', f"vmctl_{'0' * 12}_{'A' * 43}", "é"])
async def test_a_name_that_is_no_short_plain_text_is_not_taken(tmp_path: Path, name: str) -> None:
    async with serving(await full(tmp_path)) as http:
        sent = {b"X-Request-Id": name.encode()}
        made = {(await http.get("/healthz", headers=sent)).headers["x-request-id"] for _ in range(2)}
    assert len(made) == 2 and all(re.fullmatch("[0-9a-f]{16}", one) for one in made)


async def test_every_answer_has_it_also_a_refusal(tmp_path: Path) -> None:
    controller = await full(tmp_path)
    app = make_app(Quiet(controller))
    transport = httpx.ASGITransport(by(ELSEWHERE, app))
    async with httpx.AsyncClient(transport=transport, base_url="https://vmctl") as http:
        for status, method, path, body in (
            (401, "GET", "/api/v1/vms", b""),
            (404, "GET", "/nosuch", b""),
            (422, "GET", "/api/v1/vms/a%2fb", b""),
            (413, "POST", "/api/v1/login", b"x" * (2 << 20)),
        ):
            answer = await http.request(method, path, headers={"X-Request-Id": "r1"}, content=body)
            assert (answer.status_code, answer.headers["x-request-id"]) == (status, "r1"), path


async def test_all_lines_of_a_request_have_its_name(
    tmp_path: Path, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(_parts: Any, _asked: Any) -> Any:
        log.info("about to break")
        await asyncio.create_task(asyncio.sleep(0))
        await asyncio.to_thread(log.info, "in a thread")
        raise ValueError("it broke")

    monkeypatch.setitem(handlers.QUERIES, cluster.About, broken)
    async with serving(await full(tmp_path)) as http:
        names = [f"r{number}" for number in range(5)]
        asked = [http.get("/api/v1/about", headers={"X-Request-Id": name}) for name in names]
        assert {answer.status_code for answer in await asyncio.gather(*asked)} == {500}
    for words in ("about to break", "in a thread", "about broke", "about was answered with 500"):
        assert sorted(line["request"] for line in lines.of(words)) == names, words
    assert all("ValueError: it broke" in line["error"] for line in lines.of("about broke"))


async def test_a_slow_request_is_logged_and_no_other(
    tmp_path: Path, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(await full(tmp_path)) as http:
        await http.get("/healthz")
        assert lines.of("was answered") == []
        monkeypatch.setattr(measure, "SLOW_S", -1.0)
        await http.get("/healthz", headers={"X-Request-Id": "r1"})
    [line] = lines.of("was answered")
    assert (line["request"], line["level"]) == ("r1", "WARNING")
    assert line["message"].startswith("GET /healthz was answered with 200 after 0.")


# -- tasks and hosts


async def test_lines_of_a_task_name_it_its_vm_and_who_asked(tmp_path: Path, lines: Lines) -> None:
    async def works(_job: Any) -> dict[str, Any]:
        log.info("at work")
        return {}

    async with serving(controller := await full(tmp_path)) as http:
        controller.tasks.handlers["reset"] = works
        answer = await http.post("/api/v1/vms/vm1/reset", json={}, headers={"X-Request-Id": "r1"})
        number = answer.json()["id"]
        await controller.tasks.wait(number)
        own = await controller.door.ask(vms.Reset(pool.uuid(2)), LOCAL_USER)
        await controller.tasks.wait(own.id)
    first, second = lines.of("at work")
    assert (first["request"], first["task"], first["vm"]) == ("r1", str(number), "vm1")
    assert ("request" not in second, second["task"], second["vm"]) == (True, str(own.id), "vm2")


async def test_a_link_outlives_the_task_that_added_its_host(tmp_path: Path, lines: Lines) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    key = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()
    record = HostRecord("kvm1", "127.0.0.1", key, "", 1.0, port=port)
    link = HostLink(record, (), tmp_path, Settings(), asyncio.Semaphore())
    with logcontext.within(request="r1", task="7"):
        link.start()
    while not link.tried:  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(0.01)
    await link.close()
    [line] = lines.of("kvm1 is unknown")
    assert (line["host"], line.keys() & {"request", "task"}) == ("kvm1", set())


# -- no secret


async def test_no_secret_is_in_a_line(tmp_path: Path, lines: Lines) -> None:
    controller = await full(tmp_path)
    await controller.door.ask(users.AddUser("anna"), LOCAL_USER)
    token = str((await controller.door.ask(users.CreateToken(user="anna"), LOCAL_USER)).token)
    transport = httpx.ASGITransport(by(ELSEWHERE, make_app(Quiet(controller))))
    async with httpx.AsyncClient(transport=transport, base_url="https://vmctl") as http:
        sent = {"Authorization": f"Bearer {token}", "X-Request-Id": token}
        for path in ("whoami", "vms", "metrics", "nosuch"):
            await http.get(f"/api/v1/{path}", headers=sent)
        await http.post("/api/v1/login", json={"user": "anna", "password": "canary"}, headers=sent)
    told = "\n".join(lines.text)
    assert token not in told and token.split("_", 2)[2] not in told and "canary" not in told


# -- the program


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    found = Home(tmp_path)
    yield found
    found.run("serve", "--stop")


def read(text: str) -> list[dict[str, Any]]:
    """Every line as JSON."""
    return [json.loads(line) for line in text.splitlines()]


def test_a_controller_in_the_foreground_logs_json_when_asked(home: Home) -> None:
    began = home.begin("serve", "--log-json")
    assert began.stderr is not None
    first = began.stderr.readline()
    while "serving at" not in first:
        first = began.stderr.readline()
        assert first, "it ended"
    assert home.run("host", "list")[0] == 0
    began.send_signal(signal.SIGTERM)
    _, rest = began.communicate(timeout=60)
    [line] = read(first)
    assert (line["level"], line["logger"]) == ("INFO", "vmctl.api") and line["time"].endswith("Z")
    read(rest)


def test_a_controller_in_the_background_logs_json_by_its_settings(home: Home, tmp_path: Path) -> None:
    folder = tmp_path / "config" / "vmctl"
    folder.mkdir(parents=True)
    (folder / "vmctl.toml").write_text("[log]\njson = true\n")
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as silent:
        where = f"kvm1=127.0.0.1:{silent.getsockname()[1]}"
        code, _, err = home.run("host", "add", where, "--detach")
        assert code == 0, err
        assert home.run("serve", "--stop")[0] == 0, "while the task goes on"
    told = read(home.log.read_text())
    assert any("serving at" in line["message"] for line in told)
    assert any(line.get("task") == "1" and "request" in line for line in told), told
