"""A service that fails is restarted within its budget, and each step is told once."""

from __future__ import annotations

import time

import pytest

from guest_agent import config, watch
from guest_agent.child import Child
from guest_agent.repair import Limits
from guest_agent.services import Services

SETTINGS = config.check(
    {"watch_sshd": False, "watch": [{"name": "web", "unit": "web.service", "restart": True}]}
).watches
LIMITS = Limits(budget=3, window_s=600, backoff_s=2)


class World:
    """One watch, a clock of its own, and a systemd of which only the answers are real."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, code: int = 0, settings: tuple[config.Watch, ...] = SETTINGS
    ) -> None:
        self.now = 1000.0
        self.services = Services("/nowhere/units")
        self.watches = watch.Watches(settings, LIMITS, self.now)
        self.orders: list[list[str]] = []
        self.comes_up = True

        def child(words: list[str], deadline: float) -> Child:
            self.orders.append(words)
            if self.comes_up:
                self.show("active")
            return Child(["sh", "-c", f"echo Access denied; exit {code}"], deadline)

        monkeypatch.setattr(watch, "Child", child)
        self.show("active")

    def show(self, active: str) -> None:
        record: dict[str, object] = {"unit": "web.service", "active": active, "sub": active, "pid": 0}
        self.services.known = {"web.service": record}

    def run(self, seconds: int) -> list[str]:
        """What was told in so many seconds."""
        for _ in range(seconds):
            self.now += 1
            self.watches.look(self.now, self.services, lambda names: [], {})
            self.watches.mend(self.now, self.services)
            for _ in range(100):
                if not self.watches.fds():
                    break
                time.sleep(0.01)
                self.watches.poll(self.now, set(), self.services)
        told = [str(event["what"]) for event in self.watches.events]
        self.watches.events.clear()
        return told


def test_one_failure_is_one_restart(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    assert world.run(5) == []
    world.show("failed")
    assert world.run(30) == ["failed", "restarted", "recovered"]
    assert world.orders == [["systemctl", "--no-ask-password", "restart", "web.service"]]
    assert world.watches.records()["web"]["restarts"] == 1


def test_what_does_not_come_up_uses_up_its_budget_and_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    world.run(5)
    world.comes_up = False
    world.show("failed")
    assert world.run(120) == ["failed", "restarted", "restarted", "restarted", "gave up"]
    world.show("active")
    assert world.run(5) == ["recovered"]


def test_a_restart_that_is_not_allowed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, code=4)
    world.run(5)
    world.comes_up = False
    world.show("failed")
    told = world.run(10)
    assert told[:2] == ["failed", "restart failed"]


def test_what_comes_up_slowly_is_not_restarted_again_on_its_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that takes longer than it is given has twice as long after each restart: 60, then 120 s."""
    one = {"name": "web", "unit": "web.service", "restart": True, "heartbeat": "/nowhere"}
    world = World(monkeypatch, settings=config.check({"watch_sshd": False, "watch": [one]}).watches)
    assert world.run(75) == ["failed", "restarted"]
    assert world.run(55) == ["restarted"]
    assert world.run(110) == []


def test_what_was_never_well_has_time_to_start(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    world.show("failed")
    assert world.run(50) == []
    assert world.watches.records()["web"]["ok"] is None
    assert world.run(20)[0] == "failed"
