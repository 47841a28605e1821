"""Real controllers on one PostgreSQL database: one leads, all answer; who is killed, frozen or removed is replaced."""

from __future__ import annotations

import contextlib
import signal
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx
import psycopg
import pytest

from tests.cluster.replicas import DEPOSED, LIMIT_S, Home, replicas, wait_for
from tests.hosts.sshd import free_port
from tests.postgres import Postgres
from vmctl.api import tls
from vmctl.api.edge import WARNING
from vmctl.api.routes import PREFIX

pytestmark = pytest.mark.long  # they take minutes
TAKEOVER_S = 15.0  # on a busy machine; tests/bench/cluster measures it


@pytest.fixture
def dsn(postgres_server: Postgres) -> Iterator[str]:
    yield postgres_server.create("lives")
    postgres_server.drop("lives")


@pytest.fixture
def homes(tmp_path: Path, dsn: str) -> Iterator[list[Home]]:
    """Three that run; the first leads."""
    with replicas(tmp_path, dsn, 3) as made:
        yield made


def listed(home: Home) -> list[dict[str, Any]]:
    """All controllers, without asking one."""
    found: list[dict[str, Any]] = home.json("controller", "list", "--ended")
    return found


def leader(home: Home) -> str:
    """The life that leads."""
    return next((str(one["life"]) for one in listed(home) if one["leads"]), "")


def projects(home: Home) -> list[str]:
    done = answer(home)
    assert done.returncode == 0, done.stderr
    return sorted(done.stdout.split())


def answer(home: Home) -> subprocess.CompletedProcess[str]:
    return home.vmctl("project", "list", "-o", "name")


@contextlib.contextmanager
def asked_on(home: Home) -> Iterator[list[httpx.Response]]:
    """What a controller answers to one question, asked again and again."""
    answers: list[httpx.Response] = []
    enough = threading.Event()

    def ask() -> None:
        transport = httpx.HTTPTransport(uds=home.environment["VMCTL_SOCKET"])
        with httpx.Client(transport=transport, base_url="http://vmctl", timeout=LIMIT_S) as client:
            while not enough.wait(0.05):
                answers.append(client.get(f"{PREFIX}/projects"))

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield answers
    finally:
        enough.set()
        asking.join()


def test_all_answer_and_a_command_is_done_wherever_it_is_given(homes: list[Home]) -> None:
    assert [one["state"] for one in listed(homes[0])] == ["alive"] * 3
    assert [one["leads"] for one in listed(homes[0])] == [False, False, True]  # the newest first
    for number, home in enumerate(homes):
        assert home.vmctl("project", "create", f"blue{number}").returncode == 0
    for home in homes:
        assert projects(home) == ["blue0", "blue1", "blue2", "default"]
        refused = home.vmctl("project", "create", "blue0")
        assert refused.returncode == 3 and "already a project" in refused.stderr, refused.stderr
        events = home.json("events")
        assert len([one for one in events if one["kind"] == "controller"]) == 1


@pytest.mark.parametrize("how", ["kill", "freeze", "stop"])
def test_another_one_leads_where_the_leader_does_not_any_more(homes: list[Home], how: str) -> None:
    first, second, third = homes
    assert second.vmctl("project", "create", "before").returncode == 0
    life, began = leader(second), time.monotonic()
    if how == "stop":
        first.send(signal.SIGTERM)
        assert first.running is not None and first.running.wait(LIMIT_S) == 0
    elif how == "kill":
        first.kill()
    else:
        first.send(signal.SIGSTOP)
    # Asked while nobody leads, through those that do not: they wait, and answer.
    done = third.vmctl("project", "create", "meanwhile")
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - began < TAKEOVER_S
    for home in (second, third):
        assert projects(home) == ["before", "default", "meanwhile"]
    assert leader(second) not in ("", life)
    why = next(one["why"] for one in listed(second) if one["life"] == life)
    assert why == ("it was stopped" if how == "stop" else "not heard for 6 s: dead, frozen or cut off")
    told = [one["text"] for one in second.json("events") if one["kind"] == "controller"]
    assert len([text for text in told if "has ended its life" in text]) == int(how != "stop")
    if how == "freeze":
        first.send(signal.SIGCONT)
        assert first.running is not None and first.running.wait(LIMIT_S) == DEPOSED
        assert "it ends at once" in first.log
        with psycopg.connect(first.dsn) as opened:
            assert opened.execute("SELECT count(*) FROM replica WHERE ended_at IS NULL").fetchone() == (2,)
    first.serve()  # it comes again, and follows
    assert projects(first) == ["before", "default", "meanwhile"]
    assert [one["state"] for one in listed(first)].count("alive") == 3


@pytest.mark.parametrize("how", ["kill", "freeze"])
def test_questions_are_answered_all_the_time(homes: list[Home], how: str) -> None:
    first, second, third = homes
    assert second.vmctl("project", "create", "before").returncode == 0
    life = leader(second)
    with asked_on(second) as by_second, asked_on(third) as by_third:
        if how == "kill":
            first.kill()
        else:
            first.send(signal.SIGSTOP)
        wait_for(lambda: leader(second) not in ("", life), "another one leads")
    for answers in (by_second, by_third):
        assert all(one.status_code == 200 and "before" in one.text for one in answers), answers
        assert any("no leader answers" in unquote(one.headers.get(WARNING, "")) for one in answers)
    assert second.vmctl("project", "create", "after").returncode == 0
    for home in (second, third):
        done = answer(home)
        assert "after" in done.stdout.split() and not done.stderr, "the next one answers"


def test_one_that_follows_may_go_and_come(homes: list[Home]) -> None:
    life = leader(homes[0])
    homes[2].kill()
    wait_for(lambda: [one["state"] for one in listed(homes[0])].count("ended") == 1, "its life is ended")
    homes[2].serve()
    assert answer(homes[2]).returncode == 0 and leader(homes[0]) == life


def test_each_command_is_done_once_while_leaders_die(homes: list[Home]) -> None:
    """Clients of all three, who ask again where an answer is lost, as the command line does."""
    said: dict[str, subprocess.CompletedProcess[str]] = {}

    def create(home: Home, name: str) -> None:
        said[name] = home.vmctl("project", "create", name)

    def work(home: Home, letter: str) -> None:
        for number in range(12):
            create(home, f"{letter}{number}")

    clients = [threading.Thread(target=work, args=(homes[2], letter)) for letter in "xyz"]
    for client in clients:
        client.start()
    for victim in (homes[0], homes[1]):
        time.sleep(1.5)
        victim.kill()
        wait_for(lambda: leader(homes[2]), "somebody leads", TAKEOVER_S * 2)
        victim.serve()
        if victim is homes[0]:
            wait_for(lambda: [one["state"] for one in listed(homes[2])].count("alive") == 3, "all three live")
    for client in clients:
        client.join(LIMIT_S)
        assert not client.is_alive()
    done = {name for name, ran in said.items() if ran.returncode == 0}
    unknown = {name: ran.stderr for name, ran in said.items() if ran.returncode != 0}
    # What is done at once and was cut in the middle is not known, and told so.
    assert all("not known" in text for text in unknown.values()), unknown
    assert len(done) + len(unknown) == 36 and len(unknown) <= 6
    made = set(projects(homes[2])) - {"default"}
    assert done <= made <= done | unknown.keys()
    told = [one for one in homes[2].json("audit", "--most", "500") if one["what"] == "project create"]
    once = sorted(one["subject"] for one in told if one["outcome"] == "done")
    assert len(once) == len(set(once)) and done <= set(once)


def test_one_that_was_removed_ends_at_once(homes: list[Home]) -> None:
    first, second, _ = homes
    life = leader(first)
    wrong = second.vmctl("controller", "remove", "a", "--i-know-it-is-off", typed="no\n")
    assert wrong.returncode == 3 and leader(first) == life
    assert second.vmctl("controller", "remove", "a").returncode == 3
    done = second.vmctl("controller", "remove", "a", "--i-know-it-is-off", typed="a\n")
    assert done.returncode == 0, done.stderr
    assert first.running is not None and first.running.wait(LIMIT_S) == DEPOSED
    assert second.vmctl("project", "create", "after").returncode == 0
    assert "signed that controller" in second.vmctl("events").stdout
    assert "controller remove" in second.vmctl("audit").stdout


def test_who_is_no_controller_of_this_registry_is_let_in_nowhere(homes: list[Home], tmp_path: Path) -> None:
    """Neither without a certificate, nor with one of another, nor with that of a life that has ended."""
    with psycopg.connect(homes[0].dsn) as opened:
        [(address, certificate)] = opened.execute(
            "SELECT address, certificate FROM replica JOIN lead USING (life)"
        ).fetchall()

    def asked(files: tls.Files | None) -> int:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.load_verify_locations(cadata=certificate)
        if files is not None:
            context.load_cert_chain(files.certificate, files.key)
        with httpx.Client(verify=context, trust_env=False) as client:
            return client.get(f"https://{address}/api/v1/projects", headers={"X-Vmctl-For": "local"}).status_code

    for files in (None, tls.for_life(tmp_path / "other")[0]):
        with pytest.raises(httpx.TransportError):
            asked(files)
    life = homes[2].folder / "run" / "life"
    third = tls.Files(life / "life.pem", life / "life.key")
    assert asked(third) == 200
    homes[2].kill()
    wait_for(lambda: [one["state"] for one in listed(homes[0])].count("ended") == 1, "its life is ended")
    wait_for(lambda: asked(third) == 401, "the leader knows it")


def test_a_second_one_of_the_same_home_takes_nothing_from_the_first(tmp_path: Path, dsn: str) -> None:
    """Neither its port nor its certificate: it hears that one runs already."""
    first, other = Home(tmp_path / "a", dsn, free_port()), Home(tmp_path / "b", dsn)
    try:
        first.serve()
        for _ in range(2):
            second = first.vmctl("serve")
            assert second.returncode == 3 and "already runs" in second.stderr, second.stderr
        other.serve()
        assert other.vmctl("project", "create", "blue").returncode == 0
    finally:
        for home in (first, other):
            home.kill()


def test_what_is_done_goes_into_the_database_and_none_into_a_file(tmp_path: Path, dsn: str) -> None:
    with replicas(tmp_path, dsn, 1) as [first]:
        assert first.vmctl("project", "create", "blue").returncode == 0
        with psycopg.connect(first.dsn) as opened:
            assert opened.execute("SELECT name FROM project").fetchall() == [("blue",)]
        assert not list(first.folder.rglob("registry.db"))
        assert "PostgreSQL" in first.vmctl("db", "status").stdout
        first.kill()
        first.serve()  # the next one begins in its place at once
        assert [one["state"] for one in listed(first)] == ["alive", "ended"]
        assert listed(first)[1]["why"] == "a later one began in its place"
