"""The files that a task makes on a storage, and taking away just those.

A task draws their names at random and journals each before it is made, so a file of such a name is this task's own
also where the reply was lost or the controller died in between. What a host refused to make, for whatever reason, is
not: it may be somebody's.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from vmctl.act.mounted import host_with, refuse_unmounted
from vmctl.act.needed import refuse_links
from vmctl.errors import HostError, LibvirtError, Refused
from vmctl.hosts.port import Link
from vmctl.model.records import Storage
from vmctl.services import Services
from vmctl.storage import on
from vmctl.tasks import Job
from vmctl.tasks.journals import Making


class Made:
    """What one task made on one storage."""

    def __init__(self, job: Job[Any, Making], storage: Storage) -> None:
        self._job = job
        self._storage = storage

    @property
    def names(self) -> list[str]:
        """Volumes that are this task's own."""
        return list(self._job.journal.made)

    @asynccontextmanager
    async def making(self, step: str, volume: str, link: Link) -> AsyncIterator[None]:
        """Let a host make a volume of that name inside: journalled before; no longer ours if the host says no."""
        await self._job.note(step, made=[*self.names, volume], maker=link.name)
        try:
            yield
        # libvirt said no, so the file is not ours. Of a reply that was lost that is not known, and the name stays in
        # the journal.
        except LibvirtError:
            self._job.keep(made=[name for name in self.names if name != volume])
            raise

    async def remover(self, services: Services) -> Link:
        """The host that takes it away: the one that made it, where that answers. Raises HostError, Refused.

        What an earlier controller asked of it, and was not answered, is done by then.
        """
        try:
            maker = await services.wait_any_online([self._job.journal.maker])
            await refuse_unmounted(services, maker, self._storage)
        except (Refused, HostError):
            return await host_with(services, self._storage)
        return maker

    def may_come(self, remover: Link) -> bool:
        """Whether something may still be made once `remover` has taken all away: its maker was asked, and is silent."""
        return bool(self.names) and self._job.journal.maker not in ("", remover.name)

    async def undo(self, services: Services, link: Link) -> None:
        """Take away what was made. Raises HostError, Refused; gone already is done."""
        await refuse_links(link, self._storage, self.names)
        for volume in self.names:
            await on(link, self._storage).delete(volume)
        await refuse_unmounted(services, link, self._storage)  # else it may only be out of sight
        self._job.keep(made=[])
