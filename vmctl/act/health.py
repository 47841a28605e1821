"""Every VM's health: kept, told when it changes, and treated as far as its owner allows.

From what a guest says follows its own health, and nothing else.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace

from vmctl.commands.vms import Reboot, Reset
from vmctl.decide import heal
from vmctl.decide.health import GuestObservation, Health, HealthStatus, health
from vmctl.guests import Followed
from vmctl.model.records import DecisionRecord, VMRecord
from vmctl.model.rights import HEALTH
from vmctl.model.vms import PowerState
from vmctl.services import Services
from vmctl.services.walls import wall
from vmctl.tasks import Tasks

log = logging.getLogger("vmctl.health")
# The registry is not read at every look, which comes each second; a VM that is new here is read for at once.
RECORDS_EVERY_S = 5.0
UNKNOWN = Health(HealthStatus.UNKNOWN, "")
MOST_HEALS = 32
STEPS = {"reboot": Reboot, "reset": Reset}  # what a treatment asks for


@dataclass(slots=True)
class HealthHistory:
    """One VM's health over time. Times are monotonic."""

    health: Health = UNKNOWN
    since: float = 0.0
    said: HealthStatus = HealthStatus.WELL  # the last word that was told; to be well from the first is no news
    waits: str = ""  # why nothing is done to it, where something could be
    first: bool = True  # it has not turned since this controller follows it


class HealthMonitor:
    """`look` every second."""

    def __init__(self, services: Services, tasks: Tasks) -> None:
        self._services = services
        self._tasks = tasks
        self._records: dict[str, VMRecord] = {}
        self._read_at = -RECORDS_EVERY_S
        self._records_at: float | None = None  # when they were read, monotonic
        self._kept: dict[str, HealthHistory] = {}

    @property
    def vms(self) -> Mapping[str, VMRecord]:
        """All VMs by UUID, as the registry had them some seconds ago: for who must not read it."""
        return self._records

    def vms_age_s(self) -> float | None:
        """How long ago they were read; None: never yet."""
        return None if self._records_at is None else self._services.clock.monotonic() - self._records_at

    def guests(self) -> dict[str, tuple[HealthStatus, float]]:
        """The health of each guest that is followed, by its VM's UUID, and for how many seconds it has been so."""
        now = self._services.clock.monotonic()
        return {uuid: (kept.health.status, now - kept.since) for uuid, kept in self._kept.items()}

    def of(self, vm: VMRecord) -> tuple[Health, float, str]:
        """A VM's health, for how many seconds it has been so, and why nothing is done about it."""
        kept = self._kept.get(vm.uuid)
        if kept is None:
            return self._not_followed(vm), 0.0, ""
        return kept.health, self._services.clock.monotonic() - kept.since, kept.waits

    def _not_followed(self, vm: VMRecord) -> Health:
        if vm.power is PowerState.STOPPED:
            return health(PowerState.STOPPED, GuestObservation(None))
        if not self._services.settings.read_guests:
            return Health(HealthStatus.UNKNOWN, "guests are not read, by the settings")
        return Health(HealthStatus.UNKNOWN, f"{vm.host or 'its host'} has not shown it yet")

    async def look(self) -> None:
        """See how each guest is that is listened to, here or by another controller."""
        services, now = self._services, self._services.clock.monotonic()
        followers = services.guests.followed
        if now - self._read_at >= RECORDS_EVERY_S or followers.keys() - self._records.keys():
            self._records = {vm.uuid: vm for vm in await services.store.all(VMRecord)}
            self._read_at = self._records_at = now
        self._kept = {uuid: self._kept.get(uuid, HealthHistory(since=now)) for uuid in followers}
        held, restarting = self._held()
        for uuid, follower in list(followers.items()):
            vm = self._records.get(uuid)
            if vm is None:
                continue
            # Its agent is about to end, and tells anew when it is back: a silence meanwhile is no sickness.
            if restarting & {vm.uuid, vm.name}:
                follower.begin_anew(now)
            with wall(log, f"the health of {vm.name}"):
                await self._see(vm, follower, self._kept[uuid], held)

    def _held(self) -> tuple[dict[str, str], set[str]]:
        """VM -> what a task does to it just now; those whose guests begin anew by that.

        By UUID; by name where a task of an earlier version goes on.
        """
        jobs = [job for job in self._tasks.jobs() if job.command.meanwhile]
        restarting = {job.args.vm for job in jobs if job.command.restarts_guest or getattr(job.args, "cold", False)}
        return {job.args.vm: job.command.meanwhile for job in jobs}, restarting

    async def _see(self, vm: VMRecord, follower: Followed, kept: HealthHistory, held: dict[str, str]) -> None:
        now = self._services.clock.monotonic()
        seen = follower.seen(now, self._frozen(vm, follower, held))
        found = health(PowerState.RUNNING, seen, kept.health, self._services.settings.health)
        before, kept.health, follower.status = kept.health, found, str(found.status)
        if found.status is not before.status:
            await self._turned(vm, kept, now, sick=found.status in heal.SICK)
        # What is not known is no news: well, unknown, well again would tell two events of nothing.
        if found.status not in (kept.said, HealthStatus.UNKNOWN):
            kept.said = found.status
            await self._services.record_event("health", vm, f"{vm.name} is {found.status}: {found.why}")
        await self._heal(vm, kept, now, frozen=bool(seen.frozen))

    async def _turned(self, vm: VMRecord, kept: HealthHistory, now: float, *, sick: bool) -> None:
        """It is in another state than before. Since when it is sick outlives this controller."""
        kept.since = now
        since = vm.sick_since
        if sick and since is not None and kept.first:
            kept.since = now - max(0.0, self._services.clock.now() - since)  # an earlier controller saw it fall ill
        elif sick or since is not None:
            await self._services.store.change(
                VMRecord, vm.uuid, sick_since=self._services.clock.now() if sick else None
            )
            # So that the next look reads the record with what was just written.
            self._read_at = -RECORDS_EVERY_S
        kept.first = False

    def _frozen(self, vm: VMRecord, follower: Followed, held: dict[str, str]) -> str:
        link = self._services.links.get(follower.host)
        domain = link.domains.get(vm.uuid) if link is not None else None
        if (doing := held.get(vm.uuid) or held.get(vm.name)) is not None:
            return doing
        return "paused" if domain is not None and domain.power is PowerState.PAUSED else ""

    # -- what its owner allows

    async def _heal(self, vm: VMRecord, kept: HealthHistory, now: float, *, frozen: bool) -> None:
        # What is paused, moved or restarted just now cannot answer: nothing follows from its silence.
        if frozen or vm.heal == heal.LEVELS[0]:
            kept.waits = ""
            return
        sick_s = now - kept.since
        step = heal.next_step(
            vm.heal,
            kept.health,
            sick_s,
            [self._services.clock.now() - at for at in vm.heals],
            self._services.settings.health,
        )
        kept.waits = step.why if isinstance(step, heal.Wait) else ""
        if isinstance(step, heal.Wait):
            return
        # Counted before it is done: a controller that is restarted grants no more than the budget.
        heals = [self._services.clock.now(), *vm.heals][:MOST_HEALS]
        await self._services.store.change(VMRecord, vm.uuid, heals=heals)
        # The next look, a second later, must count this one although it does not read the registry.
        self._records[vm.uuid] = replace(vm, heals=heals)
        why = f"{step.verb}: {step.why}"
        detail = {"level": vm.heal, "word": str(kept.health.status), "sick_s": round(sick_s), "steps": len(heals)}
        await self._services.store.add(
            DecisionRecord(
                "heal", vm.uuid, why, self._services.clock.now(), None, vm.host, detail, HEALTH.name, vm.name
            )
        )
        await self._services.record_event("heal", vm, f"{vm.name}: {why}")
        await self._tasks.submit(STEPS[step.verb](vm.uuid), HEALTH, vm.name, vm.thing)
