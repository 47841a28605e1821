"""What is done with storages and images, and asked about them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import MaxLen, MinLen

from vmctl.commands.fields import Image, MaybeName, Name, Project, Storage
from vmctl.commands.rows import Asked, On, Query, task
from vmctl.model.rights import Permission as May


@dataclass(frozen=True, slots=True)
class AddStorage:
    """Register a directory that the hosts share."""

    name: Name
    path: Annotated[str, MinLen(1)]
    lockspace: str = ""


@dataclass(frozen=True, slots=True)
class CheckStorage:
    """Prove a storage again, from every host."""

    name: Storage


@dataclass(frozen=True, slots=True)
class MeasureStorage:
    """Measure how long after a host's loss its locks become free; `host` will be cut off."""

    name: Storage
    host: Name


@dataclass(frozen=True, slots=True)
class RemoveStorage:
    """Forget a storage; its files stay."""

    name: Storage


@dataclass(frozen=True, slots=True)
class AddImage:
    """Upload an image; the files as the controller's own file system has them."""

    name: Name
    file: Annotated[str, MinLen(1)]
    kernel: str = ""
    initrd: str = ""
    cmdline: Annotated[str, MaxLen(2048)] = ""
    storage: MaybeName = ""
    project: Project = "default"

    def problem(self) -> str | None:
        """What does not go together."""
        if not self.kernel and (self.initrd or self.cmdline):
            return f"{'initrd' if self.initrd else 'cmdline'} is for a kernel, and none is given"
        return None


@dataclass(frozen=True, slots=True)
class RemoveImage:
    """Delete an image that no VM's disk is built on."""

    name: Image


@dataclass(frozen=True, slots=True)
class ListStorages:
    """All storages."""


@dataclass(frozen=True, slots=True)
class ShowStorage:
    """One storage, and what it was proven to do."""

    name: Storage


@dataclass(frozen=True, slots=True)
class ListImages:
    """All images."""


# fmt: off
ROWS: tuple[Asked, ...] = (
    task("storage add", AddStorage, "POST storages", May.STORAGES, resumes=True),
    task("storage check", CheckStorage, "POST storages/{name}/check", May.STORAGES, resumes=True),
    task("storage measure", MeasureStorage, "POST storages/{name}/measure", May.STORAGES),
    task("storage remove", RemoveStorage, "DELETE storages/{name}", May.STORAGES, resumes=True),
    task("image add", AddImage, "POST images", May.IMAGES, on=On.PROJECT, resumes=True),
    task("image remove", RemoveImage, "DELETE images/{name}", May.IMAGES, on=On.IMAGE, resumes=True),
    Query(ListStorages, "GET storages", May.LOOK, live=True, by_any=True),
    Query(ShowStorage, "GET storages/{name}", May.LOOK),
    Query(ListImages, "GET images", May.LOOK, on=On.SIGHT, live=True, by_any=True),
)
# fmt: on
