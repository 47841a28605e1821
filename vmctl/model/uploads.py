"""Files of an image on their way onto a storage, piece by piece. Pure. Times are UTC seconds.

A piece is named in the registry, by its place and by the hash of its bytes, before it is written. Until it is counted
no other bytes may be written at that place, so a write that is late, or done twice, changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from vmctl.errors import Refused
from vmctl.model.rights import Thing
from vmctl.model.vms import DEFAULT_PROJECT

MOST_PIECE = 8 << 20  # bytes
PARTS = ("file", "kernel", "initrd")


class UploadState(StrEnum):
    """How far an upload is."""

    MAKING = "making"  # its files are being made
    OPEN = "open"  # it takes pieces
    GOING = "going"  # its files are being taken away, and it with them


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes at a place of one file, without the bytes."""

    part: str
    offset: int
    size_bytes: int
    sha256: str

    @property
    def end(self) -> int:
        """The place behind it."""
        return self.offset + self.size_bytes


@dataclass(frozen=True, slots=True)
class Upload:
    """An image on its way. `sizes`, `hashes`, `done`: part -> its bytes, its SHA-256 where given, how far it is."""

    id: str
    name: str  # of the image to be
    storage: str
    created_at: float
    changed_at: float
    sizes: dict[str, int]
    hashes: dict[str, str] = field(default_factory=dict)
    done: dict[str, int] = field(default_factory=dict)
    pending: dict[str, Any] = field(default_factory=dict)  # the piece that is being written, as a dict
    state: UploadState = UploadState.MAKING
    made: list[str] = field(default_factory=list)  # volumes, each written here before it is made
    maker: str = ""  # the host that was asked to make them
    unsure: bool = False  # it may still make one: it gave no answer yet
    kind: str = ""  # what the file is said to be: qcow2, raw or iso; empty: whatever it is
    cmdline: str = ""
    project: str = DEFAULT_PROJECT
    who: str = ""

    @property
    def thing(self) -> Thing:
        """What rights reach it by."""
        return Thing(self.project)

    @property
    def folder(self) -> str:
        """Of its files, on the storage. Nobody can guess the id, and nobody else has it."""
        return f"image-{self.name}-{self.id}"

    def volume(self, part: str) -> str:
        """A part's file below the storage's directory."""
        return f"{self.folder}/{'disk' if part == 'file' else part}"

    @property
    def whole(self) -> bool:
        """Whether every byte of every part is counted."""
        return all(self.done.get(part, 0) == size for part, size in self.sizes.items())

    @property
    def next(self) -> dict[str, int]:
        """Part -> the place of its next piece."""
        return {part: self.done.get(part, 0) for part in self.sizes}


def refuse_if_not_open(upload: Upload) -> None:
    """Raises Refused for one that takes no pieces, and cannot be finished."""
    if upload.state is UploadState.MAKING:
        raise Refused(f"the files of upload {upload.id} were never made", hint=f"vmctl image drop {upload.id}")
    if upload.state is UploadState.GOING:
        raise Refused(f"upload {upload.id} is being taken away", hint="begin another one")


def is_counted(upload: Upload, piece: Piece) -> bool:
    """Whether a piece is there already, whole: it was sent again."""
    return piece.end <= upload.done.get(piece.part, 0)


def begun(upload: Upload, piece: Piece) -> Upload:
    """The upload with a piece that is about to be written. Raises Refused, which names the place that holds."""
    refuse_if_not_open(upload)
    if piece.part not in upload.sizes:
        raise Refused(f"upload {upload.id} has no {piece.part}", hint=f"it has {', '.join(upload.sizes)}")
    at, size = upload.done.get(piece.part, 0), upload.sizes[piece.part]
    if piece.offset != at:
        raise Refused(f"upload {upload.id} goes on at byte {at} of its {piece.part}, not at {piece.offset}")
    if not piece.size_bytes or piece.size_bytes > MOST_PIECE:
        raise Refused(f"a piece has 1 to {MOST_PIECE} bytes, not {piece.size_bytes}")
    if piece.end > size:
        raise Refused(f"the {piece.part} has {size} bytes, and this piece ends at {piece.end}")
    other = Piece(**upload.pending) if upload.pending else piece
    if other != piece:
        text = f"bytes {other.offset} to {other.end} of the {other.part} were sent before, and are not counted yet"
        hint = f"send those again, as they were; or vmctl image drop {upload.id}"
        raise Refused(f"{text}: upload {upload.id} takes no others", hint=hint)
    return replace(upload, pending=as_dict(piece))


def counted(upload: Upload, piece: Piece, now: float) -> Upload:
    """The upload with a piece that is on the disk now; one that somebody else counted meanwhile stays so."""
    if is_counted(upload, piece):
        return upload
    return replace(upload, done=upload.done | {piece.part: piece.end}, pending={}, changed_at=now)


def as_dict(piece: Piece) -> dict[str, Any]:
    """A piece as the registry keeps it."""
    return {"part": piece.part, "offset": piece.offset, "size_bytes": piece.size_bytes, "sha256": piece.sha256}
