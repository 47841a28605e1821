"""One guest's port: pictures and changes in, news out; the lost is asked for; the unbelievable changes nothing."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from guest_agent import wire
from tests.guests.agents import HELLO, UTC_US, Agent, process, report
from vmctl.guests import Follower, Guest, Heard
from vmctl.guests.followers import GOODBYE
from vmctl.guests.report import MOST_PROCESSES


def take(guest: Guest, data: bytes, now: float = 10.0) -> tuple[list[Heard], list[wire.Message | wire.Damage]]:
    """News, and what is answered."""
    news, answer = guest.receive(data, now, UTC_US)
    return news, wire.Decoder().feed(answer)


@pytest.fixture
def guest() -> Guest:
    made = Guest()
    made.opened(0.0)
    return made


def test_a_full_picture_and_what_changes(guest: Guest) -> None:
    agent = Agent()
    news, answer = take(guest, agent.begin(process(7, ports=[80, 443]), process(8)))
    assert [(heard.boot_id, [seen.pid for seen in heard.seen], heard.gone) for heard in news] == [
        ("boot-1", [7, 8], None)
    ]
    assert news[0].seen[0].ports == (80, 443) and news[0].seen[1].ports is None
    assert news[0].seen[0].started_us == UTC_US - 59_000_000  # 60 s up, it began in the first second
    assert answer == []
    delta = report(processes=[{"pid": 7, "start": 100, "cpu": 0.5}, process(9)], gone=[[8, 100]])
    news, _ = take(guest, agent.say("delta", delta))
    assert [(seen.pid, seen.cpu, seen.program) for seen in news[0].seen] == [(7, 0.5, "httpd"), (9, 0.0, "httpd")]
    assert news[0].gone == [(8, 100)]
    assert sorted(guest.picture.processes) == [(7, 100), (9, 100)]


def test_its_own_pressure_counts_while_it_is_fresh(guest: Guest) -> None:
    assert guest.stall(10.0) == 0.0
    psi = {"cpu": {"some10": 0.2}, "mem": None, "io": {"some10": 0.45, "full10": 0.1}}
    take(guest, Agent().begin(os={"boot_id": "boot-1", "psi": psi}))
    assert (guest.stall(11.0), guest.stall(25.0), guest.stall(25.1)) == (0.45, 0.45, 0.0)


def test_a_change_that_was_missed_is_asked_for_whole(guest: Guest) -> None:
    agent = Agent()
    take(guest, agent.begin(process(7)))
    agent.say("delta", report(gone=[[7, 100]]))  # lost
    news, answer = take(guest, agent.say("delta", report(processes=[process(8)])))
    assert news == []
    assert [(m.type, m.body) for m in answer if isinstance(m, wire.Message)] == [("want", {"full": True})]
    _, again = take(guest, agent.say("delta", report()), 11.0)
    assert again == []  # it is asked once in a while only
    news, _ = take(guest, agent.say("full", report(os={}, processes=[process(8)], services=None, watches=[])))
    assert [seen.pid for seen in news[0].seen] == [8] and guest.whole


def test_an_agent_that_was_there_before_us_is_asked_who_it_is(guest: Guest) -> None:
    agent = Agent()
    news, answer = take(guest, agent.say("full", report(processes=[process(7)])))
    assert news == []
    assert [m.type for m in answer if isinstance(m, wire.Message)] == ["hello"]


def test_a_clock_that_is_a_day_off_does_not_name_processes(guest: Guest) -> None:
    agent = Agent()
    body = report(processes=[process(7)]) | {"at": {"utc_us": UTC_US * 2, "up_s": 60.0}}
    news, _ = take(guest, agent.say("hello", HELLO) + agent.say("full", body))
    assert news[0].seen[0].started_us == UTC_US - 59_000_000


def test_a_service_that_its_manager_restarted_is_an_event(guest: Guest) -> None:
    agent = Agent()
    service = {"unit": "tomcat.service", "active": "active", "sub": "running", "pid": 7, "restarts": 0, "since_s": 1.0}
    take(guest, agent.begin(services=[service]))
    take(guest, agent.say("delta", report(services=[service | {"pid": 9, "restarts": 2}])))
    assert [(e["what"], e["unit"]) for e in guest.events] == [("restarted by itself", "tomcat.service")]


def test_a_watch_that_is_not_known_is_neither_well_nor_failed(guest: Guest) -> None:
    watches = [{"name": name, "ok": ok, "since_s": 50.0} for name, ok in (("a", True), ("b", False), ("c", None))]
    take(guest, Agent().begin(watches=watches))
    assert [(watch.name, watch.ok, watch.for_s) for watch in guest.watches(12.0)] == [
        ("a", True, 12.0),  # 60 s up when it was heard, 2 s ago
        ("b", False, 12.0),
        ("c", None, 12.0),
    ]


def test_nothing_is_known_of_a_guest_from_before_its_boot(guest: Guest) -> None:
    agent = Agent()
    take(guest, agent.begin(process(7), watches=[{"name": "web", "ok": True}]))
    take(guest, agent.say("hello", HELLO))  # the same boot: its agent was restarted
    assert guest.watches(11.0) and Follower("u", guest).seen(11.0).heard_s == 1.0
    _, answer = take(guest, agent.say("hello", HELLO | {"boot_id": "boot-2"}))
    assert answer == []  # everything comes by itself
    assert guest.watches(11.0) == () and guest.boot_id == "boot-2"
    seen = Follower("u", guest).seen(11.0)
    assert (seen.heard_s, seen.port) == (None, "its agent has said hello and nothing more yet")
    take(guest, agent.say("full", report(os={"boot_id": "boot-2"}, processes=[], watches=[])))
    assert Follower("u", guest).seen(11.0).heard_s == 1.0


def test_a_goodbye_is_the_cause_of_the_silence_after_it(guest: Guest) -> None:
    agent = Agent()
    take(guest, agent.begin(process(7)))
    take(guest, agent.say("bye", {}), 12.0)
    assert Follower("u", guest).seen(40.0).port == GOODBYE and Follower("u", guest).seen(40.0).heard_s == 28.0
    take(guest, agent.say("hello", HELLO), 50.0)
    assert Follower("u", guest).seen(51.0).port == ""


def test_a_silence_counts_from_when_its_vm_goes_on(guest: Guest) -> None:
    take(guest, Agent().begin(process(7)))  # at 10.0
    follower = Follower("u", guest)
    assert follower.seen(500.0, "paused").frozen == "paused"
    assert follower.seen(503.0).heard_s == 3.0 and follower.heard_s(503.0) == 493.0


UNBELIEVABLE: list[tuple[str, Any]] = [
    ("full", {"processes": []}),
    ("full", report(processes=[{"pid": -1, "start": 1}])),
    ("full", report(processes=[{"pid": 2**40, "start": 1}])),
    ("full", report(processes=[{"pid": "1", "start": 1}])),
    ("full", report(processes=[process(1, command="x" * 257)])),
    ("full", report(processes=[process(1, cpu=1e9)])),
    ("full", report(processes=[process(1, ports=[0])])),
    ("full", report(processes={"pid": 1})),
    ("full", report(os={"load": [1.0, 2.0]})),
    ("full", report(os={"filesystems": [{"mount": "/"}] * 33})),
    ("full", report(watches=[{"name": "w", "ok": 1}])),
    ("full", report(up_s=-1.0)),
    ("delta", report(gone=[[1]])),
    ("event", report(what="reboot me", watch="w")),
    ("hello", {"agent": "1"}),
    ("order", {"run": "rm"}),
]


@pytest.mark.parametrize(("kind", "body"), UNBELIEVABLE)
def test_what_is_out_of_bounds_changes_nothing(guest: Guest, kind: str, body: Any) -> None:
    agent = Agent()
    take(guest, agent.begin(process(7)))
    news, _ = take(guest, agent.say(kind, body), 20.0)
    assert news == [] and sorted(guest.picture.processes) == [(7, 100)]
    assert guest.refusals == 1 and guest.refused
    assert guest.heard_at == 10.0  # it was not heard


def test_control_characters_and_markup_cannot_act(guest: Guest) -> None:
    take(guest, Agent().begin(process(7, program="\x1b[2J\u202e[red]x", command="a\nb\x00c")))
    found = guest.picture.processes[7, 100]
    assert str(found["program"]).isprintable() and str(found["command"]).isprintable()


def test_no_number_of_processes_is_too_large(guest: Guest) -> None:
    agent = Agent()
    take(guest, agent.begin())
    for first in range(0, 20_000, 400):
        many = [{"pid": first + i, "start": 1} for i in range(400)]
        take(guest, agent.say("delta", report(processes=many)))
        assert len(guest.picture.processes) <= MOST_PROCESSES


@given(some.lists(some.binary(max_size=300), max_size=30))
def test_garbage_never_breaks_it(pieces: list[bytes]) -> None:
    guest = Guest()
    guest.opened(0.0)
    for piece in pieces:
        take(guest, piece)
    agent = Agent()
    news, _ = take(guest, b"\n" + agent.begin(process(7)), 99.0)
    assert [seen.pid for heard in news for seen in heard.seen] == [7]


def test_memory_stays_within_its_bound_whatever_comes(guest: Guest) -> None:
    agent = Agent()
    longest = [process(pid, command="c" * 256, program="p" * 64, version="v" * 64) for pid in range(MOST_PROCESSES)]
    floods = [b"\x1e" + b"x" * 65536, b'\x1e{"crc":"', agent.begin(*longest), b"\x1e" * 4096, b"[" * 65536]
    tracemalloc.start()
    for number in range(15):
        take(guest, floods[number % len(floods)], float(number))
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 16 << 20


def test_after_too_many_processes_no_change_is_believed(guest: Guest) -> None:
    """What it knew is dropped: a change alone would look like all that there is."""
    agent, first = Agent(), 0
    take(guest, agent.begin(process(7)))
    while guest.picture.processes:
        take(guest, agent.say("delta", report(processes=[{"pid": 100 + first + i, "start": 1} for i in range(400)])))
        first += 400
    news, _ = take(guest, agent.say("delta", report(processes=[process(8)])))
    assert news == [] and not guest.whole
