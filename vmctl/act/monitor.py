"""Watching one live migration: what was seen of it, what is done when it does not get on, and the bar.

What follows from a reading is decided in `decide/converge.py`: longer pauses, post-copy, giving up.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import assert_never

from vmctl.act.coldmove import Moving
from vmctl.decide import converge
from vmctl.errors import Cancelled, HostError, MigrationFailed, NoAnswer, NotFound, VmctlError
from vmctl.hosts.port import Link
from vmctl.hosts.shown import LEFT_OVER, JobProgress
from vmctl.model.records import VMRecord
from vmctl.model.vms import PowerState
from vmctl.services import Services

NO_JOB_S = 120.0  # libvirt may take its time for the connection to the target
ABORT_S = 5.0  # an abort that takes longer waits for a target that hangs
MIB = 1 << 20


@dataclass
class MigrationMonitor:
    """What was seen of one migration so far, and the steps that were taken."""

    services: Services
    job: Moving
    vm: VMRecord
    source: Link
    target: str
    downtime_step: int = 0
    step_at: float = 0.0
    low: float = float("inf")
    low_at: float = 0.0
    # No reading equals it, so the first one counts as progress.
    bytes_seen: int = -1
    bytes_at: float = 0.0
    tactic: str = "copying"
    dirty_mib_s: float = 0.0
    no_job_since: float = 0.0  # libvirt shows that nothing is under way; 0: something is
    aborted: VmctlError | None = None
    aborted_at: float = 0.0
    aborting: asyncio.Task[None] | None = None

    async def look(self) -> None:
        """One reading, and what follows from it."""
        if not self.source.online:
            return
        # libvirt's abort waits for the target's QEMU, for minutes where that one hangs.
        if self.aborted and self.services.clock.monotonic() - self.aborted_at > ABORT_S:
            await self._drop_target()
        now = self.services.clock.monotonic()
        try:
            progress = await self.source.virt.job(self.vm.uuid)
        except NotFound:
            progress = JobProgress(False)  # it ends just now: `running` will tell
        except VmctlError:
            return  # the host is silent
        if not progress.active:
            self.no_job_since = self.no_job_since or now
            return
        self.no_job_since = 0.0
        if not progress.total:  # the target prepares: what is left, and for how long, counts from its first byte
            self.low_at = self.step_at = now
        elif progress.remaining < self.low:
            self.low, self.low_at = progress.remaining, now
        if progress.processed != self.bytes_seen:
            self.bytes_seen, self.bytes_at = progress.processed, now
        self._show(progress)
        await self._step(progress, now)

    def check_it_goes_on(self) -> None:
        """Raises NoAnswer where libvirt has shown no job for long, and does not say how the migration ended."""
        if self.no_job_since and self.services.clock.monotonic() - self.no_job_since > NO_JOB_S:
            raise NoAnswer(f"libvirt on {self.source.name} does not say how the migration ended")

    async def allow(self, downtime_step: int) -> None:
        """Allow the guest so long a pause."""
        self.downtime_step, self.step_at = downtime_step, self.services.clock.monotonic()
        with contextlib.suppress(HostError):  # it may have ended meanwhile; a host that is silent is watched on
            await self.source.virt.set_max_downtime(self.vm.uuid, self.services.policy.downtime_ms[downtime_step])

    async def _step(self, progress: JobProgress, now: float) -> None:
        if self.aborted:
            return
        if self.job.cancel_asked.is_set():
            await self._abort(Cancelled("the migration was cancelled, as asked"))
            return
        seen = converge.MigrationReading(
            remaining_mib=progress.remaining / MIB,
            since_low_s=now - self.low_at,
            since_bytes_s=now - self.bytes_at,
            both_online=self.source.online and self.services.link(self.target).online,
            begun=progress.total > 0,
            downtime_step=self.downtime_step,
            since_step_s=now - self.step_at,
            post_copy=self.tactic == "post-copy",
        )
        match converge.next_step(seen, self.services.policy):
            case converge.Wait():
                pass
            case converge.RaiseDowntime() as step:
                self.tactic = f"allowing a pause of {step.downtime_ms} ms"
                self.job.say(f"{self.tactic}: {step.why}")
                await self.allow(step.downtime_step)
            case converge.PostCopy() as step:
                self.tactic = "post-copy"
                self.job.say(f"switching to post-copy: {step.why}")
                await self.source.virt.start_post_copy(self.vm.uuid)
                self.step_at = now
            case converge.Abort() as step:
                await self._abort(MigrationFailed(f"the migration was given up: {step.why}"))
            case other:
                assert_never(other)

    async def _abort(self, why: VmctlError) -> None:
        self.aborted, self.aborted_at, self.tactic = why, self.services.clock.monotonic(), "cancelling"
        self.aborting = asyncio.create_task(self._ask_abort())  # not waited for: it may hang with the target's QEMU

    async def _ask_abort(self) -> None:
        with contextlib.suppress(HostError):
            await self.source.virt.abort_job(self.vm.uuid)

    async def _drop_target(self) -> None:
        """The abort waits for a target's QEMU that does not answer: take that half-made copy away."""
        # Counted anew, so that the next try comes after the same wait.
        self.aborted_at = self.services.clock.monotonic()
        target = self.services.link(self.target)
        with contextlib.suppress(HostError, NotFound):
            here, there = await self.source.virt.power(self.vm.uuid), await target.virt.power(self.vm.uuid)
            # Only a copy that never ran, while the source runs: all else may be the only one with its memory.
            if here[0] is PowerState.RUNNING and there[0] is PowerState.PAUSED and there[1] in LEFT_OVER:
                self.job.say(f"{target.name} does not let go: destroying its half-made copy, {there[1]}")
                await target.virt.destroy(self.vm.uuid)

    def _show(self, p: JobProgress) -> None:
        # What the guest rewrites must be sent again, so only the rest of the rate brings the end nearer.
        left = max(0, p.rate_bps - p.dirty_bps)
        if p.dirty_bps:
            self.dirty_mib_s = p.dirty_bps / MIB
        self.job.show(
            percent=round(100 * (1 - p.remaining / p.total), 1) if p.total else 0.0,
            remaining_mib=round(p.remaining / MIB, 1),
            total_mib=round(p.total / MIB, 1),
            rate_mib_s=round(p.rate_bps / MIB, 1),
            dirty_mib_s=round(p.dirty_bps / MIB, 1),
            downtime_ms=self.services.policy.downtime_ms[self.downtime_step],
            eta_s=round(p.remaining / left, 1) if left else None,
            tactic=self.tactic,
        )
