"""A feed over real TLS: what one looks at, again whenever it changes; with resume, and never more than one may see."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.live import Live, bearer, served
from vmctl.commands import users, vms
from vmctl.door.held import MOST_OPEN
from vmctl.model.records import Event, Task, TaskState, VMRecord
from vmctl.model.vms import Spec

PATIENCE_S = 20.0


@pytest.fixture
def live(tmp_path: Path, empty_registry: Path) -> Iterator[Live]:
    with served(tmp_path, empty_registry) as one:
        yield one


class Feed:
    """The messages of a feed, one by one."""

    def __init__(self, answer: httpx.Response) -> None:
        self._lines = answer.iter_lines()
        self.last = ""

    def next(self) -> tuple[str, Any]:
        """(kind, data) of the next message that says something."""
        kind, data, until = "", "", time.monotonic() + PATIENCE_S
        for line in self._lines:
            assert time.monotonic() < until
            name, _, value = line.partition(": ")
            if name == "event":
                kind = value
            elif name == "id":
                self.last = value
            elif name == "data":
                data = value
            elif not line and kind:
                return kind, json.loads(data)
        return "closed", None


@contextmanager
def feed(live: Live, token: str, *views: str, last: str = "") -> Iterator[Feed]:
    headers = bearer(token) | ({"Last-Event-ID": last} if last else {})
    where = f"https://127.0.0.1:{live.port}/api/v1/feed"
    with httpx.stream(
        "GET", where, params={"view": list(views)}, headers=headers, verify=live.ca, timeout=PATIENCE_S
    ) as answer:
        if answer.status_code != 200:
            answer.read()
            raise AssertionError((answer.status_code, answer.json()))
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield Feed(answer)


def add(live: Live, name: str, **more: Any) -> VMRecord:
    record = VMRecord(Spec(f"uuid-{name}", name, 1, 64), 1.0, **more)
    live.do(live.controller.services.store.add_vm(record))
    return record


def test_a_list_is_told_whole_and_then_what_changes(live: Live) -> None:
    add(live, "web1")
    add(live, "web2")
    with feed(live, live.token(), "vms?begins=web") as told:
        kind, first = told.next()
        assert (kind, first["whole"], [vm["name"] for vm in first["items"]]) == ("change", True, ["web1", "web2"])
        live.ask(vms.SetHeal("web2", "reset"))
        _, then = told.next()
        assert (then["whole"], [(vm["name"], vm["heal"]) for vm in then["items"]]) == (False, [("web2", "reset")])
        add(live, "db1")  # is not looked at
        live.do(live.controller.services.store.remove(VMRecord, "uuid-web1"))
        _, last = told.next()
        assert (last["items"], last["gone"]) == ([], ["uuid-web1"])


def test_progress_of_a_task_until_it_ends(live: Live) -> None:
    store = live.controller.services.store
    number = live.do(store.add(Task(0, "stop", "web1", 1.0, state=TaskState.RUNNING)))
    with feed(live, live.token(), f"tasks/{number}") as told:
        assert told.next()[1]["value"]["state"] == "running"
        live.do(store.change(Task, number, step="asking the guest"))
        assert told.next()[1]["value"]["step"] == "asking the guest"
        live.do(store.end_task(number, state=TaskState.DONE, ended_at=2.0))
        assert told.next()[1]["value"]["state"] == "done"


def test_who_was_away_hears_of_each_event_once(live: Live) -> None:
    store = live.controller.services.store

    def happens(text: str) -> None:
        live.do(store.add(Event("note", "kvm1", text, 1.0)))

    happens("long ago")
    with feed(live, live.token(), "events") as told:
        happens("first")
        assert told.next()[1]["text"] == "first", "what was before one began to look is no news"
        last = told.last
    for text in ("second", "third"):
        happens(text)
    with feed(live, live.token(), "events", last=last) as told:
        assert [told.next()[1]["text"] for _ in range(2)] == ["second", "third"]


def test_nothing_is_told_that_one_may_not_see(live: Live) -> None:
    add(live, "web1")
    live.ask(users.AddProject("blue"))
    live.ask(users.AddUser("ben"))
    live.ask(users.GrantRole("ben", "viewer", "project:blue"))
    token = live.token("ben")
    with feed(live, token, "vms", "events") as told:
        assert told.next()[1]["items"] == []
        live.ask(vms.SetHeal("web1", "reset"))  # an event of another's
        live.ask(users.MoveToProject("web1", "blue"))
        kind, data = told.next()
        seen = [data if kind == "change" else data["text"]]
        while kind != "change":
            kind, data = told.next()
            seen.append(data if kind == "change" else data["text"])
        assert [vm["name"] for vm in data["items"]] == ["web1"]
        assert not any("may be treated" in str(one) for one in seen)
        live.ask(users.RevokeRole("ben", "viewer", "project:blue"))
        while kind != "change" or not data["gone"]:
            kind, data = told.next()
        assert data["gone"] == ["uuid-web1"], "what he may no longer see is gone for him"
    for view in ("vms/web1", "hosts"):
        assert live.get("feed", token, params={"view": view}).status_code in (403, 404)


def test_what_is_looked_at_may_go(live: Live) -> None:
    record = add(live, "web1")
    with feed(live, live.token(), "vms/web1") as told:
        assert told.next()[1]["value"]["name"] == "web1"
        live.do(live.controller.services.store.remove(VMRecord, record.uuid))
        _, gone = told.next()
        assert gone["gone"] is True and "no VM" in gone["why"]
        add(live, "web1")
        assert told.next()[1]["value"]["name"] == "web1"


def test_it_ends_with_its_token(live: Live) -> None:
    token = live.token()
    with feed(live, token, "vms") as told:
        told.next()
        began = time.monotonic()
        live.ask(users.RevokeToken(token.split("_")[1]))
        kind, data = told.next()
        assert (kind, data["code"]) == ("end", "NotLoggedIn") and time.monotonic() - began < 5
        assert told.next()[0] == "closed"


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [
        ("view=nosuch", 404, "there is no view 'nosuch'"),
        ("view=dump", 404, "there is no view 'dump'"),
        ("view=vms/nosuch", 404, "no VM"),
        ("view=tasks/x", 422, "whole number"),
        ("view=vms?limit=0", 422, "at least 1"),
        ("view=hosts?x=1", 422, "is not known here"),
        ("view=vms&x=1", 422, "is not known here"),
        ("", 422, "view"),
        ("&".join(f"view=tasks/{n}" for n in range(21)), 422, "at most 20"),
        ("view=vms/%00", 422, ""),
    ],
)
def test_what_is_no_view_is_refused(live: Live, query: str, status: int, words: str) -> None:
    answer = live.get(f"feed?{query}", live.token())
    assert answer.status_code == status and words in answer.json()["detail"], answer.text


def test_a_place_to_go_on_that_is_none_is_refused(live: Live) -> None:
    where = f"https://127.0.0.1:{live.port}/api/v1/feed?view=events"
    for last in ("x", "-1", "9" * 30, "1" * 5000):
        answer = httpx.get(where, verify=live.ca, headers=bearer(live.token()) | {"Last-Event-ID": last})
        assert answer.status_code == 422, answer.text


def test_many_at_once_are_no_more_than_may_be(live: Live) -> None:
    token = live.token()

    def open_one(_number: int) -> int:
        headers, where = bearer(token), f"https://127.0.0.1:{live.port}/api/v1/feed?view=vms"
        with httpx.stream("GET", where, headers=headers, verify=live.ca, timeout=PATIENCE_S) as answer:
            if answer.status_code == 200:
                opened.release()
                done.wait(PATIENCE_S)
            return answer.status_code

    opened, done = threading.Semaphore(0), threading.Event()
    with ThreadPoolExecutor(25) as clients:
        found = [clients.submit(open_one, number) for number in range(25)]
        for _ in range(MOST_OPEN):
            assert opened.acquire(timeout=PATIENCE_S)
        while sum(one.done() for one in found) < 25 - MOST_OPEN:
            time.sleep(0.05)
        done.set()
    assert sorted(one.result() for one in found) == [200] * MOST_OPEN + [429] * (25 - MOST_OPEN)


def test_a_view_that_is_refused_fills_no_audit(live: Live) -> None:
    live.ask(users.AddProject("blue"))
    live.ask(users.AddUser("ben"))
    live.ask(users.GrantRole("ben", "viewer", "all"))
    store = live.controller.services.store
    with feed(live, live.token("ben"), "hosts", "hosts?") as told:
        told.next()
        live.ask(users.RevokeRole("ben", "viewer", "all"))
        before = len(live.do(store.chain(0, 1000)))
        _, data = told.next()
        assert data["gone"] is True
        time.sleep(3)
        assert len(live.do(store.chain(0, 1000))) == before


def test_one_user_has_not_all_of_them(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vmctl.door.held.MOST_OPEN", 2)
    token = live.token()
    with feed(live, token, "vms") as one, feed(live, token, "vms") as two:
        one.next(), two.next()
        assert live.get("feed?view=vms", token).status_code == 429
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:  # the other end is heard of a moment later
        try:
            with feed(live, token, "vms") as again:
                assert again.next()[0] == "change"
                return
        except AssertionError:
            time.sleep(0.1)
    raise AssertionError("a feed that was closed still counts")
