"""What is watched: verdicts, what follows from them, and the events that tell of it.

The texts and verdicts are `health`'s, when to restart is `repair`'s; here they are brought together over time.
"""

import os
from collections import deque
from collections.abc import Callable

from guest_agent import health, probe, repair
from guest_agent.child import Child
from guest_agent.config import Watch as Settings
from guest_agent.machine import at, up_s
from guest_agent.services import Services

UP_AT_ONCE = ("unit", "program")  # after a restart systemd itself waits until these are up
UP_AT_ONCE_S = 5.0
RESTART_WITHIN_S = 120.0
PIDS_MAX = 16
EVENTS_MAX = 32
WHY_MAX = 200


class Watch:
    """One watch and how it stands. Times are of the loop's monotonic clock, `since_s` is told: seconds since boot."""

    def __init__(self, settings: Settings, now: float) -> None:
        self.settings = settings
        self.ok: bool | None = None
        self.why = "not looked at yet"
        self.since_s = round(up_s(), 3)
        self.patient_until = now + settings.start_s
        self.failed_at = 0.0
        self.told_failed = False
        self.fails = 0
        self.pids: list[int] = []
        self.ended = 0  # the process whose exit was told last
        self.probe: probe.Probe | None = None
        self.beat: tuple[int, float] | None = None  # the file's time stamp, and when it was first seen
        self.restarts: list[float] = []
        self.restarts_done = 0
        self.child: Child | None = None
        self.gave_up = False

    def record(self) -> "dict[str, object]":
        """As it is told."""
        settings = self.settings
        return {
            "name": settings.name,
            "kind": settings.kind.partition(" ")[0],
            "unit": settings.units[0] if settings.units else "",
            "ok": self.ok,
            "since_s": self.since_s,
            "why": self.why,
            "restarts": self.restarts_done,
            "pids": self.pids[:PIDS_MAX],
        }


class Watches:
    """All watches. `events` wait to be sent; if nobody takes them the oldest are forgotten."""

    def __init__(self, settings: "tuple[Settings, ...]", limits: repair.Limits, now: float) -> None:
        self.events: deque[dict[str, object]] = deque(maxlen=EVENTS_MAX)
        self._limits = limits
        self._all = [Watch(one, now) for one in settings]

    def records(self) -> "dict[str, dict[str, object]]":
        """As they are told, by name."""
        return {watch.settings.name: watch.record() for watch in self._all}

    def pids(self) -> "set[int]":
        """The processes whose end is to be noticed."""
        return {pid for watch in self._all for pid in watch.pids[:PIDS_MAX]}

    # -- looking

    def look(
        self,
        now: float,
        services: Services,
        programs: "Callable[[tuple[str, ...]], list[int]]",
        ports: "dict[int, list[int] | None]",
    ) -> None:
        """A round over all; `programs(names)` gives the processes of a program, `ports` what each listens on."""
        for watch in self._all:
            kind, target = watch.settings.kind, watch.settings.target
            if kind == "unit or program":
                kind = "program" if services.known is None else "unit"
            if kind == "unit":
                self._now_about(watch, health.main_pids(services.known, watch.settings.units))
                self._judge(watch, now, *health.of_unit(services.known, watch.settings.units))
            elif kind == "program":
                self._now_about(watch, programs(target))
                self._judge(watch, now, *health.of_program(" or ".join(target), watch.pids))
            elif kind == "heartbeat":
                age = self._age(watch, now)
                self._judge(watch, now, *health.of_heartbeat(target, age, watch.settings.max_age_s))
            else:
                watch.pids = [pid for pid, listens in ports.items() if listens and target[1] in listens]
                if watch.probe is None:
                    watch.probe = probe.Probe(target[0], target[1], target[2], now, watch.settings.timeout_s)

    def look_at_units(self, now: float, services: Services) -> None:
        """systemd has answered."""
        for watch in self._all:
            if watch.settings.kind.startswith("unit"):
                self._now_about(watch, health.main_pids(services.known, watch.settings.units))
                self._judge(watch, now, *health.of_unit(services.known, watch.settings.units))

    def _now_about(self, watch: Watch, pids: "list[int]") -> None:
        """The processes of a service. One that was there and is not has exited: its pidfd may not have told that yet,
        or there are none here; systemd's answer may be older than its pidfd's."""
        for pid in watch.pids:
            if pid not in pids and pid != watch.ended:
                watch.ended = pid
                self._tell(watch, "exited", f"process {pid} ended", pid, None)
        watch.pids = pids

    def exited(self, pid: int, start: "int | None") -> None:
        """A process that a watch is about has ended."""
        for watch in self._all:
            if pid in watch.pids:
                watch.pids = [other for other in watch.pids if other != pid]
                watch.ended = pid
                self._tell(watch, "exited", f"process {pid} ended", pid, start)

    def _age(self, watch: Watch, now: float) -> "float | None":
        """How old a heartbeat is. The clock that stamps files may be set, so only the first look believes it; from then
        on it counts when the stamp was seen to change."""
        try:
            seen = os.stat(watch.settings.target)
        except OSError:
            watch.beat = None
            return None
        if watch.beat is None:
            written = float(at()["utc_us"]) / 1e6 - seen.st_mtime  # type: ignore[arg-type]
            watch.beat = (seen.st_mtime_ns, now - max(0.0, written))
        elif watch.beat[0] != seen.st_mtime_ns:
            watch.beat = (seen.st_mtime_ns, now)
        return now - watch.beat[1]

    def _judge(self, watch: Watch, now: float, ok: "bool | None", why: str) -> None:
        watch.fails = watch.fails + 1 if ok is False else 0
        if ok is False and watch.fails < watch.settings.failures and watch.ok is not False:
            return
        if ok is False and watch.ok is None and now < watch.patient_until:
            ok, why = None, f"not well yet: {why}"
        watch.why = why[:WHY_MAX]
        if ok == watch.ok:
            return
        before, watch.ok, watch.since_s = watch.ok, ok, round(up_s(), 3)
        if ok is False:
            watch.failed_at = now
            if not watch.told_failed:
                watch.told_failed = True
                self._tell(watch, "failed", why)
        elif ok and watch.told_failed:
            watch.told_failed = watch.gave_up = False
            self._tell(watch, "recovered", why)
        elif before is False:
            watch.patient_until = now + watch.settings.start_s  # it is coming up again: as long as the first time

    def _tell(self, watch: Watch, what: str, why: str, pid: "int | None" = None, start: "int | None" = None) -> None:
        unit = watch.settings.units[0] if watch.settings.units else ""
        event: dict[str, object] = {"at": at(), "what": what, "watch": watch.settings.name, "unit": unit}
        event.update(pid=pid, start=start, why=why[:WHY_MAX])
        self.events.append(event)

    # -- mending

    def mend(self, now: float, services: Services) -> None:
        """Restart what may be restarted, as far as the limits allow."""
        for watch in self._all:
            if not watch.settings.restart or watch.ok is not False or watch.child is not None:
                continue
            decision = repair.decide(now, watch.failed_at, watch.restarts, self._limits)
            if decision.step == repair.GIVE_UP and not watch.gave_up:
                watch.gave_up = True
                self._tell(watch, "gave up", decision.why)
            elif decision.step == repair.RESTART:
                unit = _unit_to_restart(watch, services)
                watch.restarts = [when for when in watch.restarts if now - when < self._limits.window_s] + [now]
                watch.restarts_done += 1
                watch.child = Child(["systemctl", "--no-ask-password", "restart", unit], now + RESTART_WITHIN_S)

    def _mended(self, watch: Watch, now: float, services: Services) -> None:
        child, watch.child = watch.child, None
        if child is None:
            return
        if child.code == 0:
            self._tell(watch, "restarted", f"restart {watch.restarts_done} since the agent started; was: {watch.why}")
            watch.ok, watch.why = None, "restarted, not looked at yet"
            watch.patient_until = now + _patience_s(watch)
        else:
            reason = " ".join(child.text.split()) or "no systemctl"
            self._tell(watch, "restart failed", f"systemctl ended with {child.code}: {reason}")
        services.forget(now)

    # -- waiting

    def next_look(self, now: float) -> float:
        """When something may be due that no file tells of: a restart that waits for its time."""
        failing = any(one.settings.restart and one.ok is False and not one.gave_up for one in self._all)
        return now + 1.0 if failing else float("inf")

    def fds(self) -> "dict[int, int]":
        """What to wait for: fd -> events."""
        found = {watch.probe.fileno(): watch.probe.events for watch in self._all if _waits(watch)}  # type: ignore[union-attr]
        found.update({watch.child.fd: probe.READ for watch in self._all if watch.child is not None})
        return found

    def poll(self, now: float, ready: "set[int]", services: Services) -> None:
        """Go on with what is ready, or late."""
        for watch in self._all:
            if watch.probe is not None:
                if _waits(watch):
                    watch.probe.step(now, watch.probe.fileno() in ready)
                if watch.probe.result is not None:
                    result, watch.probe = watch.probe.result, None
                    self._judge(watch, now, *result)
            if watch.child is not None and watch.child.poll(now):
                self._mended(watch, now, services)


def _waits(watch: Watch) -> bool:
    return watch.probe is not None and watch.probe.result is None


def _patience_s(watch: Watch) -> float:
    """After a restart: twice as long each time, lest what comes up slowly be stopped again and again on its way."""
    usual: float = UP_AT_ONCE_S if watch.settings.kind in UP_AT_ONCE else watch.settings.start_s
    return usual * 2.0 ** max(0, len(watch.restarts) - 1)


def _unit_to_restart(watch: Watch, services: Services) -> str:
    known = services.known or {}
    units: tuple[str, ...] = watch.settings.units
    return next((unit for unit in units if unit in known), units[0])
