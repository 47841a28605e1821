"""Live migration as libvirt does it: begin, look, limit, abort."""

from __future__ import annotations

import asyncio
from typing import Any

import libvirt

from vmctl.errors import LibvirtError
from vmctl.hosts.shown import JobProgress
from vmctl.hosts.virt.connection import Connection, is_lost, translate


class Migrations(Connection):
    """Migrations out of (and, for their statistics, into) a host."""

    async def migrate(
        self, uuid: str, target_socket: str, migrate_uri: str, *, unsafe: bool, persistent: bool, post_copy: bool
    ) -> None:
        """Live, peer-to-peer: this host's libvirtd talks to the target's through `target_socket` on this host.

        Returns when libvirt says it is done; raises LibvirtError when it says it failed. Neither is believed before
        both hosts were read. `unsafe` only for storage proven to be shared. Waits without limit: the caller watches.
        """
        flags = libvirt.VIR_MIGRATE_LIVE | libvirt.VIR_MIGRATE_PEER2PEER | libvirt.VIR_MIGRATE_ABORT_ON_ERROR
        if unsafe:
            flags |= libvirt.VIR_MIGRATE_UNSAFE
        if persistent:  # its definition goes along
            flags |= libvirt.VIR_MIGRATE_PERSIST_DEST | libvirt.VIR_MIGRATE_UNDEFINE_SOURCE
        if post_copy:
            flags |= libvirt.VIR_MIGRATE_POSTCOPY
        flags |= libvirt.VIR_MIGRATE_AUTO_CONVERGE
        params = {libvirt.VIR_MIGRATE_PARAM_URI: migrate_uri}
        uri = f"qemu+unix:///system?socket={target_socket}"

        def call() -> None:
            try:
                self._domain(uuid).migrateToURI3(uri, params, flags)
            except libvirt.libvirtError as err:
                # The source's libvirtd hands on what the target's connection said: not ours was lost, but its.
                if not is_lost(err) or not self._connected_now():
                    raise
                raise LibvirtError(f"libvirt on {self.host} lost the target's: {err.get_error_message()}") from None

        try:
            running = asyncio.get_running_loop().run_in_executor(self._long, translate, self.host, call, ())
        except RuntimeError:  # the threads have ended with the link
            raise self._no_connection() from None
        await running

    async def job(self, uuid: str, *, completed: bool = False) -> JobProgress:
        """How the running migration goes, or how the last completed one went (read it on the target)."""
        flags = libvirt.VIR_DOMAIN_JOB_STATS_COMPLETED if completed else 0
        return await self._run(lambda: _progress(self._domain(uuid).jobStats(flags)))

    async def broke(self, uuid: str) -> bool:
        """Whether the domain's last job was a migration away from here that failed: its memory is whole, then.

        A half-made copy that came in is paused for the same reason, and says something else of its job.
        """

        def call() -> bool:
            try:
                stats = self._domain(uuid).jobStats(0)
            except libvirt.libvirtError:  # an incoming one has none
                return False
            ended = stats.get("type") in (libvirt.VIR_DOMAIN_JOB_FAILED, libvirt.VIR_DOMAIN_JOB_CANCELLED)
            return ended and stats.get("operation") == libvirt.VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT

        return await self._run(call)

    async def set_max_downtime(self, uuid: str, downtime_ms: int) -> None:
        """How long the guest may pause at the end of a live migration."""
        await self._run(lambda: self._domain(uuid).migrateSetMaxDowntime(downtime_ms, 0))

    async def start_post_copy(self, uuid: str) -> None:
        """Let the guest run on the target now and fetch the rest of its memory afterwards."""
        await self._run(lambda: self._domain(uuid).migrateStartPostCopy(0))

    async def abort_job(self, uuid: str) -> None:
        """Cancel the running migration; the guest goes on where it is."""
        await self._run(lambda: self._domain(uuid).abortJob())


def _progress(stats: dict[str, Any]) -> JobProgress:
    kind = stats.get("type", libvirt.VIR_DOMAIN_JOB_NONE)
    return JobProgress(
        active=kind in (libvirt.VIR_DOMAIN_JOB_BOUNDED, libvirt.VIR_DOMAIN_JOB_UNBOUNDED),
        total=stats.get("memory_total", 0),
        processed=stats.get("memory_processed", 0),
        remaining=stats.get("memory_remaining", 0),
        rate_bps=stats.get("memory_bps", 0),
        dirty_bps=stats.get("memory_dirty_rate", 0) * stats.get("memory_page_size", 4096),
        downtime_ms=stats.get("downtime", 0),
        elapsed_ms=stats.get("time_elapsed", 0),
        iteration=stats.get("memory_iteration", 0),
    )
