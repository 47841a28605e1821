"""What comes from outside is checked at the door, and what got in long ago hides nothing else."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.api.conftest import Server
from vmctl import text
from vmctl.api import limits
from vmctl.cluster.schedules import Scheduler
from vmctl.commands import catalogue
from vmctl.commands.fields import MOST_NUMBER, hints
from vmctl.commands.hosts import LabelHost
from vmctl.door import views
from vmctl.door.answers import Broken
from vmctl.errors import NotFound
from vmctl.local import paths
from vmctl.model.records import DecisionRecord, Event, HostRecord, Image, Schedule, Storage, Task, VMRecord
from vmctl.model.rights import LOCAL_USER
from vmctl.model.vms import Spec

VM = "11111111-2222-3333-4444-555555555555"
LIBRARY = ("pydantic", "Input should", "Value error", "String should", "Field required", "Extra inputs", "Traceback")


async def refused(server: Server, method: str, path: str, **more: Any) -> tuple[int, str]:
    """The status and the sentence of a refusal, which is one of ours."""
    answer = await server.ask(method, path, headers={"Content-Type": "application/json"}, **more)
    error = answer.json()
    told = f"{error['detail']} {error['hint']}"
    assert not any(word in told for word in LIBRARY) and told.isprintable() and len(told) < 500, told
    return answer.status_code, told


NEW = {"name": "x", "image": "tiny", "mem_mib": 64}


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"needs": {"ort": "M\udcfcnchen"}}, "needs: ort: 'M\\udcfcnchen' is not UTF-8"),
        ({"needs": {"o\udcfc": "x"}}, "is not UTF-8"),
        ({"needs": {"we ird": "x"}}, "'we ird' is not the key of a label"),
        ({"needs": {"": "x"}}, "'' is not the key of a label"),
        ({"needs": {"a": "b\nc"}}, "has control characters"),
        ({"needs": {f"k{n}": "x" for n in range(65)}}, "at most 64"),
        ({"name": "nl\n"}, "has control characters"),
        ({"name": ""}, "name: '' is not a name"),
        ({"name": "a/b"}, "name: 'a/b' is not a name"),
        ({"name": "x" * 64}, "is not a name"),
        ({"name": "x" * 100_000}, "100000 characters are too many"),
        ({"name": 7}, "name: must be text"),
        ({"apart": "a\x1b[2J"}, "has control characters"),
        ({"apart_by": "rack"}, "none is given"),
        ({"mem_mib": 15}, "mem_mib: at least 16"),
        ({"mem_mib": 2**63}, "mem_mib: at most"),
        ({"mem_mib": 64.5}, "mem_mib: must be a whole number"),
        ({"disk_bytes": 10**30}, "disk_bytes: at most"),
        ({"cpus": 0}, "cpus: at least 1"),
        ({"cpus": "many"}, "cpus: must be a whole number"),
        ({"cpu": "fast"}, "cpu: must be 'baseline' or 'host'"),
        ({"full": "perhaps"}, "full: must be true or false"),
        ({"needs": []}, "needs: must be an object"),
        ({"colour": "red"}, "colour: is not known here"),
        ({"load_class": "nosuch"}, "there is no load class 'nosuch'"),
        ({"image": "no\u2028such"}, "has control characters"),
    ],
)
async def test_what_a_new_vm_may_not_be(server: Server, more: dict[str, Any], words: str) -> None:
    store = server.controller.services.store
    await store.put(Storage("main", "/s", 1.0, hosts=["kvm1"]))
    await store.put(Image("tiny", "main", "/s/tiny", 1.0))
    for path in ("vms", "vms/dry-run"):
        status, told = await refused(server, "POST", path, content=json.dumps(NEW | more))
        assert status == 422 and words in told, told
    assert await server.get("tasks") == [], "nothing became a task"


@pytest.mark.parametrize(
    ("method", "path", "body", "words"),
    [
        ("POST", "vms", b"{", "the body is not JSON"),
        ("POST", "vms", b"", "the body is missing"),
        ("POST", "vms", b"[]", "the body must be an object"),
        ("POST", "vms", b"\xff\xfe", "the body is not JSON"),
        pytest.param("POST", "vms", b"[" * 100_000, "the body cannot be read", id="deep"),
        ("POST", "vms", b'{"name":' + b"[" * 50 + b"]" * 50 + b"}", "nested too deeply"),
        ("POST", "hosts", b'{"hosts": []}', "hosts: at least 1"),
        ("POST", "hosts", b'{"hosts": ["kvm1=10.0.0.1:99999"]}', "is not a port (1 to 65535)"),
        ("POST", "hosts", b'{"hosts": ["kvm1=10.0.0.1:0"]}', "is not a port (1 to 65535)"),
        ("POST", "hosts", b'{"hosts": ["kvm1="]}', "the address is missing"),
        ("POST", "hosts", b'{"hosts": ["a\\nb"]}', "has control characters"),
        ("PUT", "hosts/kvm1/labels", b'{"labels": {"a b": "c"}}', "is not the key of a label"),
        ("POST", "storages", b'{"name": "-", "path": "/x"}', "'-' is not a name"),
        ("POST", "images", b'{"name": "x", "file": "/x", "initrd": "/y"}', "initrd is for a kernel"),
        ("POST", "vms/x/stop", b'{"timeout_s": -1}', "timeout_s: at least 0"),
        ("POST", "vms/x/stop", b'{"timeout_s": NaN}', "timeout_s: must be a number"),
        ("POST", "vms/x/stop", b'{"timeout_s": Infinity}', "timeout_s: "),
        ("POST", "rebalance", b'{"gib": Infinity}', "gib: "),
        ("GET", "tasks?most=0", None, "most: at least 1"),
        ("GET", "tasks?most=1e3", None, "most: must be a whole number"),
        ("GET", f"tasks/{2**63}", None, f"number: at most {MOST_NUMBER}"),
        ("GET", "tasks/-1", None, "number: at least 0"),
        pytest.param("GET", f"tasks/{'9' * 5000}", None, "number: must be a whole number", id="long"),
        ("GET", f"events?after={2**63}", None, "after: at most"),
        ("GET", "events?most=501", None, "most: at most 500"),
        ("GET", "vms/x/why?at=nan", None, "at: "),
        ("GET", "history/vm/x?since_s=-1", None, "since_s: at least 0"),
        ("GET", "vms/a%0Ab", None, "has control characters"),
        ("GET", "vms/%C2%85", None, "has control characters"),
        ("GET", f"vms/{'x' * 300}", None, "300 characters are too many"),
        ("GET", "vms/web1%2Fhealth", None, "a name has no slash in it"),
        ("GET", "vms/web1%2fhealth", None, "a name has no slash in it"),
        ("GET", "processes?machine=%1b", None, "has control characters"),
        ("GET", "rebalance?hosts=3", None, "hosts: is not known here"),
    ],
)
async def test_what_else_is_malformed(server: Server, method: str, path: str, body: bytes | None, words: str) -> None:
    status, told = await refused(server, method, path, content=body)
    assert status == 422 and words in told, told


@pytest.mark.parametrize("path", ["vms/", "nonsense", "vms/x/health/more", "tasks/1/cancel"])
async def test_a_path_that_is_none_is_said_in_our_words(server: Server, path: str) -> None:
    answer = await server.ask("GET", path, follow_redirects=False)
    assert (answer.status_code, answer.json()["code"]) == (404, "NotFound"), answer.text


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


PATHS = [
    "vms",
    "vms/dry-run",
    "storages/x/check",
    "images",
    "vms/x/stop",
    "vms/x/start",
    "vms/x/migrate",
    "hosts/check",
]
FIELDS = st.sampled_from(["name", "needs", "image", "mem_mib", "cpus", "file", "path", "host", "to", "timeout_s"])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(path=st.sampled_from(PATHS), body=JSON | st.dictionaries(FIELDS, JSON))
async def test_any_body_is_refused_in_words(server: Server, path: str, body: Any) -> None:
    if path == "hosts/check" and body == {}:
        return
    status, _ = await refused(server, "POST", path, content=json.dumps(body))
    assert status in (404, 422)


def test_no_command_takes_any_text() -> None:
    """A name in a path or a query is checked text, whatever the route."""
    unchecked = [
        f"{row.way}: {name}"
        for row in catalogue.ROWS
        for name, hint in hints(row.arguments).items()
        if f"{{{name}}}" in row.path or row.method in ("GET", "DELETE")
        if hint in (str, str | None, int, int | None, float, float | None, list[str])
    ]
    assert unchecked == []


# -- how much, and how long


async def test_a_large_body_is_not_taken_in(server: Server) -> None:
    large = b" " * (limits.MOST_BODY + 1)

    async def pieces() -> Any:
        for _ in range(17):
            yield b" " * (1 << 16)

    for body in (large, pieces()):
        status, told = await refused(server, "POST", "vms", content=body)
        assert (status, "at most 1 MiB" in told) == (413, True)


async def test_a_body_that_does_not_come_is_not_waited_for(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BODY_LIMIT_S", 0.05)

    async def slow() -> Any:
        for _ in range(100):
            yield b" "
            await asyncio.sleep(0.01)

    status, told = await refused(server, "POST", "vms", content=slow())
    assert (status, "did not arrive within" in told) == (408, True)


# -- what is there already


async def test_what_got_in_long_ago_is_shown_as_well_as_it_can_be(server: Server) -> None:
    """Earlier versions took any text, and a record may be one of a later version's."""
    store = server.controller.services.store
    odd = "M\udcfcnchen\x1b[2J"
    await store.add(Task(0, "create", "web1", 1.0, args={"labels": {"ort": odd}}, ended_at=2.0, error={"message": odd}))
    await store.add(Event("test", "a\x1b[2J", "said", 1.0))
    await store.add_vm(VMRecord(Spec(VM, "web1", 1, 64, needs={"ort": odd}), 1.0))
    await store.add_vm(VMRecord(Spec(VM[:-1] + "6", "web2", 1, 64), 1.0))
    for path in ("tasks", "events", "vms", "top", "health", "vms/web1"):
        answer = await server.ask("GET", path)
        assert answer.status_code == 200, (path, answer.text)
    assert [vm["name"] for vm in await server.get("vms")] == ["web1", "web2"]


async def test_a_record_that_cannot_be_shown_hides_no_other() -> None:
    def view(event: Event) -> float:
        return 1 / (len(event.text) - 1)

    shown = views.each([Event("k", "a", "ok", 1.0), Event("k", "b", "x", 1.0), Event("k", "c", "ok", 1.0)], view)
    assert [shown[0], shown[2]] == [1.0, 1.0]
    assert isinstance(shown[1], Broken) and "cannot be shown" in shown[1].broken


async def test_a_schedule_that_never_comes_keeps_no_controller_from_starting(server: Server) -> None:
    store, scheduler = server.controller.services.store, server.controller.scheduler
    await store.put(Schedule("rebalance", "0 3 31 2 *", "advise"))
    scheduler.close()
    await Scheduler(server.controller.services, server.controller.tasks).start()
    (shown,) = await server.get("schedules")
    assert (shown["cron"], shown["next_run"]) == ("0 3 31 2 *", None)
    await scheduler.remove("rebalance")
    assert await server.get("schedules") == []


# -- reading changes nothing


async def test_who_only_looks_changes_nothing(server: Server) -> None:
    store = server.controller.services.store
    own = paths.ssh_key_path().with_suffix(".pub").read_text()
    await store.put(HostRecord("kvm1", "127.0.0.1", own, "f", 1.0, port=1))
    server.controller.attach(await store.get(HostRecord, "kvm1"))
    for path in ("rebalance", "rebalance/curve", "hosts/kvm1/drain", "capacity", "reboot-plan", "top", "dump"):
        await server.ask("GET", path)
    events = [event for event in await store.events() if event.kind != "host lost"]  # that is nobody's asking
    assert await store.all(DecisionRecord) == [] and events == [] and await store.tasks() == []


async def test_labels_are_changed_in_one_step(server: Server) -> None:
    store = server.controller.services.store
    await store.put(HostRecord("kvm1", "10.0.0.1", "k", "f", 1.0, labels={"old": "x"}))
    each = [server.ask("PUT", "hosts/kvm1/labels", json={"labels": {f"k{n}": "v"}}) for n in range(10)]
    await asyncio.gather(*each, server.ask("PUT", "hosts/kvm1/labels", json={"labels": {"old": ""}}))
    assert (await store.get(HostRecord, "kvm1")).labels == {f"k{n}": "v" for n in range(10)}
    with pytest.raises(NotFound):
        await server.controller.door.ask(LabelHost("kvm2", {"a": "b"}), LOCAL_USER)


# -- the rules by themselves


@given(st.text(st.characters(exclude_categories=())))
def test_whatever_is_shown_is_one_printable_line(anything: str) -> None:
    assert text.shown(anything).isprintable() or not anything.isprintable()
    assert "\n" not in text.shown(anything) and len(text.shown(anything)) <= 80
    text.shown(anything).encode()


@given(st.text(max_size=70))
def test_a_name_is_a_part_and_a_part_is_text(name: str) -> None:
    if text.bad_name(name) is None:
        assert text.bad_part(name) is None and name == name.strip()
    if text.bad_part(name) is None:
        assert text.bad_text(name) is None


async def test_what_may_be_out_of_date_says_so(server: Server) -> None:
    assert "X-Vmctl-Warning" not in (await server.ask("GET", "vms")).headers
    server.controller.services.store.trouble = "the registry cannot be written: no space left"
    warning = (await server.ask("GET", "vms")).headers["X-Vmctl-Warning"]
    assert unquote(warning).startswith(
        "the registry cannot be written: no space left; what is shown may be out of date"
    )
