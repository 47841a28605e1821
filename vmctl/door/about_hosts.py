"""Answers: what is asked about hosts, storages and images."""

from __future__ import annotations

from vmctl.act import storage
from vmctl.commands import hosts, storages
from vmctl.door import answers, views
from vmctl.door.parts import ControllerParts
from vmctl.model.records import Image, Storage
from vmctl.model.versions import version
from vmctl.services.observe import observed, observed_host


async def list_hosts(parts: ControllerParts, _asked: hosts.ListHosts) -> list[answers.Host | answers.Broken]:
    """All hosts."""
    return views.hosts(parts.services, await observed(parts.services))


async def show_host(parts: ControllerParts, asked: hosts.ShowHost) -> answers.ShownHost:
    """One host."""
    seen = await observed_host(parts.services, asked.host)
    record, (found,) = seen.hosts[asked.host], seen.cluster.hosts
    shown = views.host(parts.services, record, found, seen.cluster)
    return views.wider(answers.ShownHost, shown, version=version(record))


async def list_storages(parts: ControllerParts, _asked: storages.ListStorages) -> list[answers.Storage]:
    """All storages."""
    return await parts.services.store.all(Storage)


async def show_storage(parts: ControllerParts, asked: storages.ShowStorage) -> answers.StorageProven:
    """One storage."""
    kept = await parts.services.store.get(Storage, asked.name)
    proven = await storage.proven(parts.services, kept.name)
    room = await storage.room(parts.services, kept)
    return views.wider(answers.StorageProven, kept, proven=proven, room=room)


async def list_images(parts: ControllerParts, _asked: storages.ListImages) -> list[answers.Image]:
    """All images."""
    return [image for image in await parts.services.store.all(Image) if parts.sight.shows(image.thing)]
