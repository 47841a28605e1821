"""What a controller does with requests while another one leads: real TLS to a leader that answers, or dies."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import unquote

import pytest
from fastapi import FastAPI, Request

from vmctl.api import pass_on, tls
from vmctl.api.among import Peers
from vmctl.api.app import _ready
from vmctl.api.edge import WARNING
from vmctl.api.instead import AS_OF, Instead
from vmctl.api.pass_on import PassOn
from vmctl.api.peers import STATE, Peer
from vmctl.commands import catalogue
from vmctl.door import Door
from vmctl.model.replicas import LeaderHeard, Replica

Message = dict[str, Any]
LINES = "HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\nconnection: close\r\n\r\n"


@dataclass
class Leader:
    """Answers each connection's request with the next of `answers`, and closes it."""

    folder: Path
    answers: list[str] = field(default_factory=list)
    heard: list[tuple[str, dict[str, str], str]] = field(default_factory=list)

    async def start(self) -> None:
        self.files, self.certificate = tls.for_life(self.folder)
        self.speaks, _ = tls.among(self.files)
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self.speaks)
        self.port = self.server.sockets[0].getsockname()[1]

    def replica(self, life: str) -> Replica:
        address = f"127.0.0.1:{self.port}"
        return Replica(life, life, f"home-{life}", "0.1", 1.0, address=address, certificate=self.certificate)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            self.heard.append((head[0], headers, body.decode()))
            answer = self.answers.pop(0) if self.answers else "wait"
            if answer == "wait":
                await reader.read()
            writer.write(answer.encode() if answer != "wait" else b"")
            await writer.drain()
            if answer.endswith("..."):  # more is to come, and does not
                await reader.read()
            writer.close()


def plain(body: str) -> str:
    return f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n{body}"


class Cluster:
    """What is known of controllers."""

    def __init__(self) -> None:
        self.acting = False
        self.leader: Replica | None = None
        self.others: list[Replica] = []
        self.leads, self.silence_s = False, 0.0
        self._news = asyncio.Event()

    def led_by(self, leader: Replica | None) -> None:
        self.leader = leader
        self.others = [leader] if leader is not None else []
        self.tell()

    def silent_s(self, _life: str) -> float:
        return self.silence_s

    def tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    async def news(self, limit_s: float | None = None) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                await self._news.wait()


class Knows:
    """What it knows of the cluster while nobody leads; it stands for the door, too."""

    rows = catalogue.ROWS

    def __init__(self) -> None:
        self.stand_in: Knows | None = None
        self.heard: LeaderHeard | None = LeaderHeard(4.2, 1000.0)

    async def read(self) -> LeaderHeard | None:
        return self.heard


@dataclass
class Follower:
    """One that passes on, and what it does itself."""

    cluster: Cluster
    ask: Callable[..., Coroutine[Any, Any, list[Message]]]
    here: list[tuple[str, str]]  # path and body of what it answered itself
    knows: Knows


@pytest.fixture
async def leaders(tmp_path: Path) -> AsyncIterator[list[Leader]]:
    """Two."""
    made = [Leader(tmp_path / name) for name in ("first", "second")]
    for one in made:
        await one.start()
    yield made
    for one in made:
        one.server.close()


@pytest.fixture
async def follower(tmp_path: Path, leaders: list[Leader]) -> AsyncIterator[Follower]:
    files, certificate = tls.for_life(tmp_path / "own")
    for one in leaders:
        tls.trust(one.speaks, certificate)
    cluster, here, app = Cluster(), list[tuple[str, str]](), FastAPI()
    peers = Peers(cluster, *tls.among(files))
    app.state.peers = peers

    async def answers(scope: Any, receive: Any, send: Any) -> None:
        here.append((scope["path"], (await receive())["body"].decode()))
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"x")]})
        await send({"type": "http.response.body", "body": b"here"})

    knows = Knows()
    passes = PassOn(answers, peers, lambda: "drawn", Instead(cast(Door, knows)))

    async def ask(
        method: str = "GET",
        path: str = "/api/v1/vms",
        body: bytes = b"",
        headers: tuple[tuple[str, str], ...] = (),
        peer: Peer = Peer(address="10.9.9.9"),  # noqa: B008
        leaves_after_s: float = 60.0,
    ) -> list[Message]:
        sent: list[Message] = []
        given = asyncio.Event()

        async def receive() -> Message:
            if given.is_set():
                await asyncio.sleep(leaves_after_s)
                return {"type": "http.disconnect"}
            given.set()
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        sized = (("content-length", str(len(body))),) if body else ()
        raw = [(name.lower().encode(), value.encode()) for name, value in (*headers, *sized)]
        scope = {"type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": b"a=b"}
        await passes(scope | {"headers": raw, "app": app, "state": {STATE: peer}}, receive, send)
        return sent

    async with peers.watched():
        yield Follower(cluster, ask, here, knows)


def told(sent: list[Message]) -> tuple[int, str]:
    """Status and body of an answer, which has come to its end."""
    assert not sent[-1].get("more_body", False)
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:]).decode()


async def test_a_request_goes_to_the_leader_as_it_is(follower: Follower, leaders: list[Leader]) -> None:
    leaders[0].answers = [plain("one")]
    follower.cluster.led_by(leaders[0].replica("first"))
    sent = await follower.ask(
        "POST", "/api/v1/vms/a%20b/stop", b'{"x": 1}', (("Authorization", "Bearer t"), ("X", "y"))
    )
    assert told(sent) == (200, "one")
    [(line, headers, body)] = leaders[0].heard
    assert line == "POST /api/v1/vms/a%20b/stop?a=b HTTP/1.1" and body == '{"x": 1}'
    assert (headers["authorization"], headers["x"], headers["x-vmctl-for"]) == ("Bearer t", "y", "10.9.9.9")
    assert headers["idempotency-key"] == "drawn"  # it may have to be given twice


async def test_nobody_says_for_whom_he_is_asked(follower: Follower, leaders: list[Leader]) -> None:
    """A client that says that it is this machine's own user is told as the address that it comes from."""
    leaders[0].answers = [plain("one")] * 2
    follower.cluster.led_by(leaders[0].replica("first"))
    await follower.ask(headers=(("X-Vmctl-For", "local"), ("x-vmctl-for", "local")))
    await follower.ask(peer=Peer(uid=0))
    assert [headers["x-vmctl-for"] for _, headers, _ in leaders[0].heard] == ["10.9.9.9", "local"]
    refused = await follower.ask(peer=Peer(uid=4711))
    assert told(refused)[0] == 403 and len(leaders[0].heard) == 2


async def test_a_key_of_the_clients_stays_and_what_only_looks_has_none(
    follower: Follower, leaders: list[Leader]
) -> None:
    leaders[0].answers = [plain("one")] * 2
    follower.cluster.led_by(leaders[0].replica("first"))
    await follower.ask("DELETE", headers=(("Idempotency-Key", "mine"),))
    await follower.ask("GET")
    keys = [headers.get("idempotency-key") for _, headers, _ in leaders[0].heard]
    assert keys == ["mine", None]


@pytest.mark.parametrize("how", ["no answer", "frozen", "half an answer's head"])
async def test_the_next_leader_is_asked_the_same_where_one_does_not_answer(
    follower: Follower, leaders: list[Leader], how: str
) -> None:
    first, second = leaders
    first.answers = {"no answer": [""] * 100, "frozen": ["wait"], "half an answer's head": ["HTTP/1.1 20"] * 100}[how]
    second.answers = [plain("two")]
    follower.cluster.led_by(first.replica("first"))
    asking = asyncio.create_task(follower.ask("POST", body=b"{}"))
    await asyncio.sleep(0.5)
    assert first.heard and not asking.done()
    follower.cluster.led_by(second.replica("second"))
    assert told(await asking) == (200, "two")
    assert second.heard[0][1]["idempotency-key"] == first.heard[0][1]["idempotency-key"] == "drawn"


async def test_lines_go_on_with_the_next_leaders(follower: Follower, leaders: list[Leader]) -> None:
    """Each is whole: half a line that came before is not told."""
    first, second = leaders
    first.answers, second.answers = [f'{LINES}{{"n": 1}}\n{{"n": 2}}\n{{"n": ...'], [f'{LINES}{{"n": 3}}\n']
    follower.cluster.led_by(first.replica("first"))
    asking = asyncio.create_task(follower.ask())
    await asyncio.sleep(0.5)
    follower.cluster.led_by(second.replica("second"))
    status, body = told(await asking)
    assert status == 200 and [json.loads(line)["n"] for line in body.splitlines()] == [1, 2, 3]


async def test_why_the_next_leader_does_not_go_on_is_no_line(follower: Follower, leaders: list[Leader]) -> None:
    first, second = leaders
    first.answers = [f'{LINES}{{"n": 1}}\n...']
    second.answers = ["HTTP/1.1 503 no\r\ncontent-type: application/problem+json\r\ncontent-length: 2\r\n\r\n{}"]
    follower.cluster.led_by(first.replica("first"))
    asking = asyncio.create_task(follower.ask())
    await asyncio.sleep(0.5)
    follower.cluster.led_by(second.replica("second"))
    with pytest.raises(ConnectionAbortedError, match="503"):
        await asking


async def test_what_was_begun_and_is_no_line_is_cut(follower: Follower, leaders: list[Leader]) -> None:
    """Half an answer is not gone on with, and not ended as if it were whole."""
    first, second = leaders
    first.answers = ["HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf"]
    second.answers = [plain("two")]
    follower.cluster.led_by(first.replica("first"))
    with pytest.raises(ConnectionAbortedError, match="first leads no more"):
        await follower.ask()
    assert not second.heard


async def test_a_feed_ends_so_that_who_follows_it_comes_again(follower: Follower, leaders: list[Leader]) -> None:
    leaders[0].answers = ["HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\nid: 7\ndata: x\n\n..."]
    follower.cluster.led_by(leaders[0].replica("first"))
    asking = asyncio.create_task(follower.ask())
    await asyncio.sleep(0.5)
    follower.cluster.led_by(leaders[1].replica("second"))
    status, body = told(await asking)
    assert status == 200 and body.startswith("id: 7") and not leaders[1].heard


async def test_bytes_are_passed_on_and_not_sent_twice(follower: Follower, leaders: list[Leader]) -> None:
    path = "/api/v1/images/uploads/a1/file/0"
    leaders[0].answers = [""]
    follower.cluster.led_by(leaders[0].replica("first"))
    sent = await follower.ask("PUT", path, b"piece")
    status, body = told(sent)
    assert status == 503 and "try again" in body and len(leaders[0].heard) == 1
    leaders[0].answers = [plain("well")]
    assert told(await follower.ask("PUT", path, b"piece")) == (200, "well")
    assert leaders[0].heard[-1][2] == "piece"


async def test_where_nobody_leads_it_waits_and_then_says_so(
    follower: Follower, leaders: list[Leader], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pass_on, "PATIENCE_S", 0.3)
    status, body = told(await follower.ask())
    assert status == 503 and "no controller leads" in body and json.loads(body)["code"] == "NoLeader"
    monkeypatch.setattr(pass_on, "PATIENCE_S", 20.0)
    leaders[0].answers = [plain("one")]
    asking = asyncio.create_task(follower.ask())
    await asyncio.sleep(0.1)
    follower.cluster.led_by(leaders[0].replica("first"))
    assert told(await asking) == (200, "one")


async def test_why_a_leader_is_not_reached_is_told_and_written_down_once(
    follower: Follower, leaders: list[Leader], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(pass_on, "PATIENCE_S", 1.0)
    forged = replace(leaders[0].replica("first"), certificate=leaders[1].certificate)
    follower.cluster.led_by(forged)
    status, body = told(await follower.ask("POST"))
    assert status == 503 and "first, which leads, does not answer" in body and "CERTIFICATE_VERIFY_FAILED" in body
    said = [one.getMessage() for one in caplog.records if "which leads" in one.getMessage()]
    assert len(said) == 1 and "CERTIFICATE_VERIFY_FAILED" in said[0]


async def test_what_waits_is_answered_here_where_this_one_leads_by_then(follower: Follower) -> None:
    asking = asyncio.create_task(follower.ask("POST", body=b"body"))
    await asyncio.sleep(0.1)
    follower.cluster.acting = True
    follower.cluster.tell()
    assert told(await asking) == (200, "here")
    assert follower.here == [("/api/v1/vms", "body")]


async def test_what_another_one_passes_on_is_not_passed_on_again(
    follower: Follower, leaders: list[Leader], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two that take each other for the leader would send it to and fro."""
    monkeypatch.setattr(pass_on, "PATIENCE_S", 0.3)
    follower.cluster.led_by(leaders[0].replica("first"))
    certificate = tls.trust(leaders[0].speaks, leaders[0].certificate)
    sent = await follower.ask(peer=Peer(address="10.9.9.9", certificate=certificate))
    assert told(sent)[0] == 503 and not leaders[0].heard


async def test_who_goes_away_is_not_waited_for(follower: Follower, leaders: list[Leader]) -> None:
    leaders[0].answers = [f"{LINES}{{}}\n"]
    follower.cluster.led_by(leaders[0].replica("first"))
    async with asyncio.timeout(5):
        await follower.ask(leaves_after_s=0.01)


# -- questions, while nobody leads


def header(sent: list[Message], name: str) -> str:
    found = {key.decode().lower(): value.decode() for key, value in sent[0]["headers"]}
    return unquote(found.get(name.lower(), ""))


async def test_a_question_is_answered_here_at_once_where_nobody_leads(follower: Follower) -> None:
    follower.knows.stand_in = follower.knows
    sent = await follower.ask(path="/api/v1/vms/web1")
    assert told(sent) == (200, "here")
    assert header(sent, AS_OF) == "1970-01-01T00:16:40.000+00:00"
    assert header(sent, WARNING) == "no leader answers (last heard 4 s ago): this is what another controller knows"
    follower.knows.heard = None
    sent = await follower.ask(path="/api/v1/vms/web1")
    assert (told(sent), header(sent, AS_OF)) == ((200, "here"), "")
    assert header(sent, WARNING) == "no leader answers: this is what another controller knows"


@pytest.mark.parametrize("how", ["no answer", "frozen", "half an answer's head"])
async def test_a_question_is_answered_here_where_the_leader_does_not_answer(
    follower: Follower, leaders: list[Leader], how: str
) -> None:
    follower.knows.stand_in = follower.knows
    first = leaders[0]
    first.answers = {"no answer": [""] * 100, "frozen": ["wait"], "half an answer's head": ["HTTP/1.1 20"] * 100}[how]
    follower.cluster.led_by(first.replica("first"))
    asking = asyncio.create_task(follower.ask())
    await asyncio.sleep(0.5)
    assert not asking.done(), "one that lives is asked again for a second"
    await asyncio.sleep(1.5)
    assert asking.done() == (how != "frozen"), "one that only takes long is waited for"
    follower.cluster.silence_s = 3.0
    sent = await asking
    assert told(sent) == (200, "here") and header(sent, WARNING)


async def test_a_leader_that_does_not_know_this_one_yet_is_asked_again(
    follower: Follower, leaders: list[Leader]
) -> None:
    follower.knows.stand_in = follower.knows
    leaders[0].answers = ["", plain("one")]
    follower.cluster.led_by(leaders[0].replica("first"))
    sent = await follower.ask()
    assert told(sent) == (200, "one") and not header(sent, WARNING)


async def test_a_leader_that_answers_is_asked(follower: Follower, leaders: list[Leader]) -> None:
    follower.knows.stand_in = follower.knows
    leaders[0].answers = [plain("one")]
    follower.cluster.led_by(leaders[0].replica("first"))
    sent = await follower.ask()
    assert told(sent) == (200, "one") and not header(sent, WARNING) and not follower.here


async def test_one_that_leads_and_has_not_begun_answers_when_it_has(follower: Follower) -> None:
    """It has just logged in to hosts anew: what it would show is less than others know."""
    follower.knows.stand_in, follower.cluster.leads = follower.knows, True
    asking = asyncio.create_task(follower.ask())
    await asyncio.sleep(0.2)
    assert not asking.done()
    follower.cluster.acting = True
    follower.cluster.tell()
    sent = await asking
    assert told(sent) == (200, "here") and not header(sent, WARNING)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/v1/vms/web1/stop"),
        ("POST", "/api/v1/vms"),
        ("GET", "/api/v1/tasks/1/follow"),
        ("GET", "/api/v1/rebalance"),
        ("GET", "/api/v1/storages/main"),  # it asks hosts
        ("GET", "/api/v1/health"),  # judged by who leads
        ("GET", "/metrics"),
    ],
)
async def test_what_only_a_leader_knows_or_does_waits_for_one(
    follower: Follower, monkeypatch: pytest.MonkeyPatch, method: str, path: str
) -> None:
    monkeypatch.setattr(pass_on, "PATIENCE_S", 0.2)
    follower.knows.stand_in = follower.knows
    status, body = told(await follower.ask(method, path))
    assert status == 503 and "no controller leads" in body and not follower.here


async def test_it_is_ready_while_the_registry_answers(follower: Follower, leaders: list[Leader]) -> None:
    """Where nobody leads, too: who shares requests out would else have nobody to give them to."""

    async def status(trouble: str) -> int:
        app = FastAPI()
        app.state.peers = SimpleNamespace(cluster=follower.cluster)
        app.state.door = SimpleNamespace(trouble=lambda: trouble)
        return (await _ready(Request({"type": "http", "app": app}))).status_code

    assert await status("") == 200
    follower.cluster.led_by(leaders[0].replica("first"))
    assert (await status(""), await status("the database is away")) == (200, 503)


async def test_whether_this_process_lives_it_says_itself(follower: Follower, leaders: list[Leader]) -> None:
    follower.cluster.led_by(leaders[0].replica("first"))
    assert told(await follower.ask(path="/healthz")) == (200, "here")
    assert not leaders[0].heard
