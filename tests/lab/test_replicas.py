"""Three controllers over real hosts: the leader is killed, or stands still, in the middle of everything that it does.

Then another one leads and every accepted command ends with the truth; no VM runs twice, none is lost; the one that
stood still does nothing more. The truth is looked up past vmctl: QEMU by each host's libvirt, tasks and sessions in the
database itself.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.pool import NAME, wait_for
from tests.lab.test_faults import Migration
from tests.lab.trio import Trio, three_controllers
from vmctl import lab
from vmctl.lab import controllers
from vmctl.lab.names import Machine

pytestmark = pytest.mark.lab
Fault = Callable[[Trio], None]
FAULTS: tuple[Fault, ...] = (
    Trio.kill_leader,
    Trio.freeze_leader,
    Trio.cut_leader,
    Trio.cut_leader_from_the_database,
    Trio.cut_the_database_from_its_leader,
    Trio.end_leaders_life,
)
SHORT = (Trio.kill_leader, Trio.freeze_leader, Trio.end_leaders_life)  # of these that are tried each time


@pytest.fixture(scope="module")
def trio() -> Iterator[Trio]:
    """Two hosts, three controllers."""
    with three_controllers(Trio, 2, f"{NAME[:7]}t") as made:
        yield made


@pytest.mark.parametrize(
    "fault", [one if one in SHORT else pytest.param(one, marks=pytest.mark.nightly) for one in FAULTS]
)
def test_a_migration_ends_with_the_truth_whatever_becomes_of_the_leader(trio: Trio, fault: Fault) -> None:
    with trio.vms("busy", memory="256M"):
        moving = Migration(trio, "busy")
        fault(trio)
        end = moving.ended()
        home = moving.target if end["state"] == "done" else moving.source
        assert end["state"] == "done" or f"runs on {moving.source}" in end["error"]["message"], end["error"]
        moving.runs_only_on(home)
        trio.agree("busy")
        # And it is a pool as before.
        assert trio.do("migrate", "busy").code == 0
        trio.agree("busy")


@pytest.mark.parametrize("fault", FAULTS[:2])
def test_what_is_followed_through_another_one_is_followed_to_its_end(trio: Trio, fault: Fault) -> None:
    """The client notices a pause, and no more: it hears how its command ended."""
    began = trio.begin("create", "followed", "--image", "tiny", "--memory", "128M")
    wait_for(lambda: trio.open_tasks(), 20, "it is accepted")
    fault(trio)
    assert began.wait(120) in (0, 1), trio.said.read_text()
    trio.agree("followed")
    ended = trio.rows("SELECT state FROM task WHERE kind = 'create' AND subject = 'followed' ORDER BY id DESC LIMIT 1")
    assert ended == [("done",)] if began.returncode == 0 else ended == [("failed",)]
    if began.returncode == 0:
        trio.do("stop", "followed", "--force")
        trio.do("delete", "followed", "--yes")
    assert "followed" not in trio.do("list", "-o", "name").out


COMMANDS: tuple[tuple[str, tuple[str, ...], bool], ...] = (
    # kind of task, command, whether its VM runs before
    ("create", ("create", "one", "--image", "tiny", "--memory", "128M"), False),
    ("start", ("start", "one"), False),
    ("stop", ("stop", "one"), True),
    ("stop", ("stop", "one", "--force"), True),
    ("reboot", ("reboot", "one"), True),
    ("migrate", ("migrate", "one", "--cold"), True),
    ("migrate", ("migrate", "one"), True),
    ("delete", ("delete", "one", "--yes"), False),
    ("drain", ("host", "drain", "HOST"), True),
)


@pytest.mark.nightly
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("after_s", [0.0, 0.15, 0.6])
@pytest.mark.parametrize(("kind", "command", "runs"), COMMANDS, ids=[" ".join(words) for _, words, _ in COMMANDS])
def test_every_command_ends_with_the_truth(
    trio: Trio, kind: str, command: tuple[str, ...], runs: bool, after_s: float, fault: Fault
) -> None:
    """The leader goes so many seconds after the task was accepted."""
    _delete_one(trio)  # which the case before may have left
    if kind != "create":
        trio.do("create", "one", "--image", "tiny", "--memory", "128M", *(() if runs else ("--no-start",)))
    if runs:
        trio.counting("one")
    host = trio.vm("one")["host"] if kind != "create" else ""
    before = trio.rows("SELECT coalesce(max(id), 0) FROM task")[0][0]
    began = trio.begin(*(host if word == "HOST" else word for word in command))
    wait_for(lambda: trio.rows(f"SELECT id FROM task WHERE id > {before}"), 20, "it is accepted")
    time.sleep(after_s)
    fault(trio)
    code = began.wait(180)
    trio.agree("one")
    ended = trio.rows(f"SELECT state FROM task WHERE id > {before} AND kind = '{kind}' ORDER BY id LIMIT 1")
    assert ended, "it was accepted"
    # The client was told how it ended, through another controller all the time.
    assert code != 8 and (code == 0) == (ended[0][0] == "done"), (code, ended, trio.said.read_text()[-1000:])
    if kind == "drain":
        trio.do("host", "undrain", host)
    _delete_one(trio)
    trio.agree("one")


def _delete_one(trio: Trio) -> None:
    if trio("show", "one").code == 0:
        trio("stop", "one", "--force")
        trio.do("delete", "one", "--yes")


def test_a_console_and_what_is_shown_work_through_every_one(trio: Trio) -> None:
    with trio.vms("talks"):
        trio.counting("talks")
        for one in trio.machines:
            assert trio.at(one, "show", "talks", "-o", "json").json["power"] == "running"
            assert [vm["name"] for vm in trio.at(one, "list", "-o", "json").json] == ["talks"]
            assert b"four=4" in screen(one, "talks")


@pytest.mark.parametrize(
    ("fault", "back"),
    [
        (lab.kill, lab.boot),
        (lab.freeze, lab.thaw),
        pytest.param(lab.cut, lab.heal, marks=pytest.mark.nightly),
    ],
)
def test_the_others_answer_questions_while_nobody_leads(
    trio: Trio, fault: Callable[[str], Any], back: Callable[[str], Any]
) -> None:
    with trio.vms("asked"):
        host = trio.vm("asked")["host"]
        wait_for(lambda: all(one["load"] for one in trio.do("host", "list", "-o", "json").json), 40, "loads")
        victim = trio.leader
        others = [one for one in trio.machines if one.name != victim.name]
        fault(victim.name)
        warned = 0
        while trio.leading_now() in (victim.name, ""):
            for one in others:
                began = time.monotonic()
                hosts, vms = (trio.at(one, *words, "-o", "json") for words in (("host", "list"), ("list",)))
                took_s = time.monotonic() - began
                assert hosts.code == 0 and vms.code == 0 and took_s < 10.0, (hosts, vms, took_s)
                if "no leader answers" not in hosts.err + vms.err:
                    continue  # it did until just now
                if trio.leading_now() not in (victim.name, ""):
                    break  # who has just begun to lead asks the hosts anew
                warned += 1
                assert all(one["state"] == "online" and one["load"] for one in hosts.json), hosts.json
                assert [(vm["power"], vm["host"]) for vm in vms.json] == [("running", host)]
        assert warned, "somebody was asked while nobody led"
        back(victim.name)
        trio.joined_again(victim, said=fault is not lab.kill)
        trio.agree("asked")
        assert not trio.do("host", "list").err


def test_a_leader_that_drains_lets_its_migration_end_and_leaves_the_rest_to_the_next(trio: Trio) -> None:
    with trio.vms("busy", memory="256M"):
        moving, victim = Migration(trio, "busy"), trio.leader
        draining = trio.begin("controller", "drain", victim.name)
        wait_for(lambda: trio.rows("SELECT 1 FROM replica WHERE draining AND ended_at IS NULL"), 10, "that is wanted")
        time.sleep(2.0)
        assert trio.leading_now() == victim.name and moving.state()["state"] == "running"
        later = trio.do("stop", "busy", "--force", "--detach", "-o", "json").json["id"]
        assert trio.rows(f"SELECT state FROM task WHERE id = {later}") == [("queued",)], "the next one begins it"
        trio.virsh(moving.source, "migrate-setspeed", "busy", "1000")
        end = moving.ended()
        assert end["state"] == "done" and "once more" not in str(end["log"]), end
        trio.led_by_another(victim)
        assert draining.wait(60) == 0, trio.said.read_text()
        trio.joined_again(victim, said=False)
        assert victim.name not in trio.watched().values()
        wait_for(lambda: not trio.open_tasks(), 60, "what was accepted meanwhile is done")
        assert trio.vm("busy")["power"] == "stopped"
        trio.agree("busy")
        trio.do("controller", "undrain", victim.name)
        assert not trio.rows("SELECT 1 FROM replica WHERE draining AND ended_at IS NULL")


def screen(one: Machine, name: str) -> bytes:
    """What a guest answers on its console, through one of the controllers."""
    command = [sys.executable, "-m", "vmctl.cli.main", "console", name]
    environment = os.environ | controllers.environment(one)
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as shown:
        assert shown.stdin is not None and shown.stdout is not None
        for typed in (b"", b"\necho four=$((2+2))\n", b"\x1d"):
            shown.stdin.write(typed)
            shown.stdin.flush()
            time.sleep(2.0)
        return shown.stdout.read()


def logs_in(host: str, key: Path) -> bool:
    """Whether somebody with that key is let in there."""
    quiet = ("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR")
    only = ("-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-o", "ConnectTimeout=5", "-i", str(key))
    return subprocess.run(["ssh", *quiet, *only, f"root@{host}", "true"], check=False).returncode == 0


def test_one_that_joins_is_let_into_every_host_and_no_more_once_it_is_removed(trio: Trio, tmp_path: Path) -> None:
    before = {host: trio.ssh(host, "cat ~/.ssh/authorized_keys") for host in trio.hosts}
    away, here = trio.hosts[:2]
    lab.cut(away)
    token = trio.do("controller", "invite").out.strip()
    folders = {f"XDG_{name}_HOME": str(tmp_path / name.lower()) for name in ("CONFIG", "DATA", "STATE")}
    words = ("controller", "join", token, "--name", "joiner")
    joined = subprocess.run(
        [sys.executable, "-m", "vmctl.cli.main", *words], env=os.environ | folders, capture_output=True, text=True
    )
    assert joined.returncode == 0, joined
    key = tmp_path / "data" / "vmctl" / "ssh" / "id_ed25519"
    wait_for(lambda: logs_in(here, key), 60, "it is let in")
    lab.heal(away)
    wait_for(lambda: logs_in(away, key), 90, "it is let in where the host was away")

    def told() -> int:
        return trio.do("events").out.count("controller joiner is let into")

    wait_for(lambda: told() >= 2, 30, "it is told: a key stands on a host before that can be written down")
    assert told() == 2, "once for each host"
    assert trio("controller", "remove", "joiner", stdin="joiner\n").code == 0
    wait_for(lambda: not any(logs_in(host, key) for host in (away, here)), 60, "it is let in no more")
    after = {host: trio.ssh(host, "cat ~/.ssh/authorized_keys") for host in trio.hosts}
    assert after == before, "all other lines are as they were"
