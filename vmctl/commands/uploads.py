"""Images that come over the API, in pieces; and what is asked about them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Le, MaxLen, MinLen

from vmctl.commands.fields import MOST_NUMBER, Body, Help, Inner, MaybeName, Name, Names, Number, Project, Rule
from vmctl.commands.rows import Asked, Command, On, Query, task
from vmctl.model.rights import Permission as May
from vmctl.text import bad_part

HEX = frozenset("0123456789abcdef")
Upload = Annotated[str, Names("upload"), Rule(bad_part), Help("An upload.")]
Kind = Literal["", "qcow2", "raw", "iso"]
Part = Literal["file", "kernel", "initrd"]
Read = Callable[[], Awaitable[bytes]]


def _bad_sha256(text: str) -> str | None:
    good = not text or (len(text) == 64 and HEX.issuperset(text))
    return None if good else "a SHA-256 is 64 lower-case hexadecimal digits"


Sha256 = Annotated[str, Rule(_bad_sha256)]


@dataclass(frozen=True, slots=True)
class BeginUpload:
    """Begin to upload an image, whose files then come in pieces.

    Without `sha256` nobody can tell whether what arrived is what was sent; the end shows what was found.
    """

    name: Name
    size_bytes: Annotated[int, Ge(1), Le(MOST_NUMBER)]
    sha256: Sha256 = ""
    kind: Kind = ""
    kernel_bytes: Number = 0
    kernel_sha256: Sha256 = ""
    initrd_bytes: Number = 0
    initrd_sha256: Sha256 = ""
    cmdline: Annotated[str, MaxLen(2048)] = ""
    storage: MaybeName = ""
    project: Project = "default"

    def problem(self) -> str | None:
        """What does not go together."""
        if not self.kernel_bytes and (self.initrd_bytes or self.cmdline):
            return f"{'initrd' if self.initrd_bytes else 'cmdline'} is for a kernel, and none is given"
        return None


@dataclass(frozen=True, slots=True)
class WritePiece:
    """Write a piece of a file, at most 8 MiB, at the offset that the upload has come to.

    A piece that was sent before may be sent again. The first piece of a file has at least its first 33 KiB.
    """

    upload: Upload
    part: Part
    offset: Number
    read: Annotated[Read | None, Inner(), Body()] = None


@dataclass(frozen=True, slots=True)
class FinishUpload:
    """Check what was uploaded, from the disk, and make an image of it."""

    upload: Upload


@dataclass(frozen=True, slots=True)
class DropUpload:
    """Take an upload away, with what came of it so far."""

    upload: Upload


@dataclass(frozen=True, slots=True)
class FetchImage:
    """Fetch a disk image from another server, where the controller's settings allow it."""

    name: Name
    url: Annotated[str, MinLen(1), MaxLen(2048)]
    sha256: Sha256 = ""
    kind: Kind = ""
    storage: MaybeName = ""
    project: Project = "default"


@dataclass(frozen=True, slots=True)
class ListUploads:
    """All uploads that are under way."""


@dataclass(frozen=True, slots=True)
class ShowUpload:
    """One upload, and how far it is."""

    upload: Upload


# fmt: off
ROWS: tuple[Asked, ...] = (
    Command(BeginUpload, "POST images/uploads", May.IMAGES, "image upload", on=On.PROJECT, on_hosts=True),
    Command(WritePiece, "PUT images/uploads/{upload}/{part}/{offset}", May.IMAGES, "image piece", on=On.UPLOAD,
            quiet=True),
    task("image finish", FinishUpload, "POST images/uploads/{upload}/finish", May.IMAGES, on=On.UPLOAD, resumes=True),
    task("image drop", DropUpload, "DELETE images/uploads/{upload}", May.IMAGES, on=On.UPLOAD, resumes=True),
    task("image fetch", FetchImage, "POST images/fetch", May.IMAGES, on=On.PROJECT, resumes=True),
    Query(ListUploads, "GET images/uploads", May.LOOK, on=On.SIGHT, live=True, by_any=True),
    Query(ShowUpload, "GET images/uploads/{upload}", May.LOOK, on=On.UPLOAD, live=True, by_any=True),
)
# fmt: on
