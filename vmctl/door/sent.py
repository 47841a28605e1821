"""What comes back about uploads. Pure: values alone, as in `answers`. Times in UTC seconds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class UploadPart:
    """A file of an upload. `offset`: so many bytes are on the disk, and the next piece begins there."""

    part: str
    size_bytes: int
    offset: int
    sha256: str


@dataclass(frozen=True, slots=True)
class PendingPiece:
    """A piece that was sent and is not counted yet: only the same bytes are taken at its place."""

    part: str
    offset: int
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Upload:
    """An image on its way. `expires_at`: when it is taken away, where nobody goes on with it."""

    id: str
    name: str
    kind: str
    cmdline: str
    storage: str
    project: str
    who: str
    state: str
    parts: list[UploadPart]
    pending: PendingPiece | None
    created_at: float
    changed_at: float
    expires_at: float
