"""Answers: what is asked about hosts, storages and images."""

from __future__ import annotations

from vmctl.act import storage
from vmctl.commands import hosts, storages
from vmctl.door import answers, views
from vmctl.door.services import Services
from vmctl.errors import NotFound
from vmctl.observe import observed
from vmctl.records import Image, Storage


async def list_hosts(services: Services, _asked: hosts.ListHosts) -> list[answers.Host | answers.Broken]:
    """All hosts."""
    return views.hosts(services.world, await observed(services.world))


async def show_host(services: Services, asked: hosts.ShowHost) -> answers.Host:
    """One host."""
    seen = await observed(services.world)
    found = seen.cluster.host(asked.host)
    if found is None:
        raise NotFound(f"there is no host {asked.host!r} any more")
    return views.host(services.world, seen.hosts[asked.host], found, seen.cluster)


async def list_storages(services: Services, _asked: storages.ListStorages) -> list[answers.Storage]:
    """All storages."""
    return await services.world.store.all(Storage)


async def show_storage(services: Services, asked: storages.ShowStorage) -> answers.StorageProven:
    """One storage."""
    kept = await services.world.store.get(Storage, asked.name)
    proven = await storage.proven(services.world, kept.name)
    room = await storage.room(services.world, kept)
    return views.wider(answers.StorageProven, kept, proven=proven, room=room)


async def list_images(services: Services, _asked: storages.ListImages) -> list[answers.Image]:
    """All images."""
    return await services.world.store.all(Image)
