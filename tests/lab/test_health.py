"""Guests from inside: how they are, and that a run of a program is never taken for another one."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.lab.pool import Pool, wait_for

pytestmark = pytest.mark.lab


def health(pool: Pool, name: str) -> dict[str, Any]:
    """A VM's health as vmctl says it."""
    found: dict[str, Any] = pool.do("health", name, "-o", "json").json
    return found


def becomes(pool: Pool, name: str, word: str, limit_s: float = 60.0) -> dict[str, Any]:
    """Wait for its health to be so."""
    return wait_for(lambda: (h := health(pool, name))["health"] == word and h, limit_s, f"{name} is {word}")


def lives(pool: Pool, name: str, *options: str) -> dict[str, dict[str, Any]]:
    """Its processes by UUID; without those that the guest begins again and again."""
    found = pool.do("ps", name, "-o", "json", *options).json
    return {life["uuid"]: life for life in found if life["program"] != "sleep"}


def steady(pool: Pool, name: str) -> dict[str, dict[str, Any]]:
    """Its processes once it has booted: two looks, as far apart as two reports, show the same."""

    def look() -> dict[str, dict[str, Any]] | None:
        first = lives(pool, name)
        time.sleep(6)
        return first if lives(pool, name).keys() == first.keys() else None

    found: dict[str, dict[str, Any]] = wait_for(look, 60, f"{name} has booted")
    return found


def test_processes_stay_themselves_over_a_migration(pool: Pool) -> None:
    """By either kind of port; both at once, since it is booting that takes long."""
    with pool.vms("inside"), pool.vms("inside-isa", options=("--agent-port", "isa")):
        before = {name: known(pool, name) for name in ("inside", "inside-isa")}
        for name in before:
            pool.do("migrate", name)
        for name in before:
            heard(pool, name)
            after = lives(pool, name, "--history")
            assert {life["program"] for uuid, life in after.items() if uuid not in before[name]} == set()
            assert {life["program"] for uuid, life in after.items() if not life["valid"]} == set()
            assert before[name].keys() == after.keys()
            assert "httpd" in pool.do("who", f"{pool.address(name)}:80").out
        told = pool.do("events").out.splitlines()
        assert not any(f"{name} is" in line for name in before for line in told)  # they were well all the time


def heard(pool: Pool, name: str) -> None:
    """Wait for its next report."""
    wait_for(lambda: (s := health(pool, name)["heard_s"]) is not None and s < 1.0, 20, f"{name} is heard")


def known(pool: Pool, name: str) -> dict[str, dict[str, Any]]:
    """The guest's processes, once it is well and told them all."""
    found = wait_for(lambda: (h := health(pool, name))["why"] == "sshd in order" and h, 60, "sshd is watched")
    assert found["health"] == "well" and found["os"]["mem_total_mib"] > 50
    assert "well" in pool.do("list").out and "sshd" in pool.do("health", name).out
    return wait_for(lambda: len(seen := lives(pool, name)) >= 7 and seen, 20, "its processes are known")


def test_a_service_that_was_restarted_is_another_one(pool: Pool) -> None:
    with pool.vms("again"):
        becomes(pool, "again", "well")
        [(old, life)] = lives(pool, "again", "--program", "dropbear").items()
        pool.ssh(pool.address("again"), "sleep 7")  # a session's own process is not the service
        assert not any("exited" in line for line in pool.do("events").out.splitlines() if "again" in line)
        pool.ssh(pool.address("again"), f"kill -9 {life['pid']}")  # its init starts it again
        wait_for(lambda: old not in lives(pool, "again", "--program", "dropbear"), 20, "the old life has ended")
        [new] = wait_for(lambda: lives(pool, "again", "--program", "dropbear"), 20, "there is a new life")
        shown = pool.do("process", "show", old, "-o", "json").json
        assert not shown["valid"] and shown["why"] and shown["samples"]
        assert [p["uuid"] for p in pool.do("process", "show", new, "-o", "json").json["previous"]] == [old]
        # What agents tell is looked at once a second; its processes come with each report.
        wait_for(lambda: "again: ssh.service exited" in pool.do("events").out, 5, "its end is told")


def test_silence_has_an_age_and_an_end(pool: Pool) -> None:
    with pool.vms("still"):
        becomes(pool, "still", "well")
        address = pool.address("still")
        before = steady(pool, "still")
        pool.ssh(address, "kill -STOP $(pidof python3)")
        found = becomes(pool, "still", "silent")
        assert "nothing heard for" in found["why"] and found["heard_s"] >= 15
        # Silence ends nothing; who stopped the agent may be among them, seen just before it stood still.
        assert lives(pool, "still").keys() >= before.keys()
        pool.ssh(address, "kill -CONT $(pidof python3)")
        becomes(pool, "still", "well")
        # The session that let it go on may be in its first report.
        assert steady(pool, "still").keys() == before.keys()


def test_health_is_frozen_while_a_vm_is_paused(pool: Pool) -> None:
    with pool.vms("frozen"):
        becomes(pool, "frozen", "well")
        pool.do("pause", "frozen")
        wait_for(lambda: health(pool, "frozen")["heard_s"] > 20, 40, "it was not heard for a while")
        found = health(pool, "frozen")
        assert (found["health"], found["why"][:6]) == ("well", "paused")
        pool.do("resume", "frozen")
        wait_for(lambda: (h := health(pool, "frozen"))["heard_s"] < 5 and h["health"] == "well", 20, "it goes on")


def test_a_guest_that_hangs_is_reset_if_its_owner_allows(pool: Pool) -> None:
    with pool.vms("crash"):
        becomes(pool, "crash", "well")
        first = health(pool, "crash")["os"]["boot_id"]
        assert pool("health", "crash", "--heal", "kill").code == 2
        pool.do("health", "crash", "--heal", "reset")
        pool.ssh(pool.address("crash"), "(sleep 1; echo c > /proc/sysrq-trigger) > /dev/null 2>&1 < /dev/null &")
        becomes(pool, "crash", "hung", 90)
        again = wait_for(
            lambda: (h := becomes(pool, "crash", "well", 90))["os"]["boot_id"] != first and h, 9, "it was reset"
        )
        assert again["heal"] == "reset"
        assert any("heal" in line and "reset: hung" in line for line in pool.do("events").out.splitlines())
        ended = [life for life in lives(pool, "crash", "--history").values() if not life["valid"]]
        assert ended and {life["why"] for life in ended} == {"VM rebooted"}
