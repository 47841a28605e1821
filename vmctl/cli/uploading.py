"""An image's files, sent to a controller piece by piece: a connection that breaks is no end, nor is Ctrl-C.

What was sent is kept there. The same command goes on with it, which it knows by the image's name and the checksums.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vmctl import errors
from vmctl.cli import output, wire
from vmctl.cli.bars import Bar
from vmctl.cli.client import Client
from vmctl.commands.uploads import BeginUpload, DropUpload, FinishUpload, ListUploads, Part, ShowUpload, WritePiece

PIECE = 8 << 20
AGAIN_S = 1.0
PATIENCE_S = 300.0  # how long a controller that is away is tried again, and one answer is waited for
BYTES = "application/octet-stream"
AWAY = (errors.ControllerUnreachable, errors.TooManyRequests, errors.HostError, OSError, http.client.HTTPException)
State = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Source:
    """A file of an image, as it is here."""

    part: Part
    path: Path
    size_bytes: int
    sha256: str


def send(
    client: Client, files: dict[Part, Path], wanted: BeginUpload, *, quiet: bool, timeout_s: float | None
) -> State:
    """Send them; the task that makes an image of them. `wanted`: with the file's checksum, where it was given.

    Raises Refused where the file is another one, TimedOut, and what the controller says.
    """
    bar = _Bar(wanted.name, quiet, timeout_s)
    try:
        sources = [_summed(part, path, bar) for part, path in files.items()]
        if wanted.sha256 and sources[0].sha256 != wanted.sha256:
            text = f"{sources[0].path} is not what was said: its SHA-256 is {sources[0].sha256}"
            raise errors.Refused(text, hint="get the file again")
        upload = _begun_before(client, wanted, sources) or client.ask(_begin(wanted, sources))
        upload = _sent(client, upload, sources, bar)
        return _finish(client, upload["id"])
    except KeyboardInterrupt:
        bar.end()
        print("stopped; what was sent is kept for a day: the same command goes on with it", file=sys.stderr)
        raise SystemExit(130) from None
    finally:
        bar.end()


def _sent(client: Client, upload: State, sources: list[Source], bar: _Bar) -> State:
    """All of it is there. Where not even its beginning is taken, nothing is left behind."""
    sender = _Sender(client, upload, bar)
    try:
        return sender.send(sources)
    except errors.Refused:
        if not any(part["offset"] for part in sender.upload["parts"]):
            with contextlib.suppress(errors.VmctlError):
                client.ask(DropUpload(upload["id"]))
        raise


def _finish(client: Client, key: str) -> State:
    task: State = client.ask(FinishUpload(key))
    return task


def _summed(part: Part, path: Path, bar: _Bar) -> Source:
    summed, size, total = hashlib.sha256(), 0, max(1, path.stat().st_size)
    with path.open("rb") as file:
        while data := file.read(PIECE):
            summed.update(data)
            size += len(data)
            bar.show(100 * size / total, f"summing {path.name}")
    if not size:
        raise errors.Refused(f"{path} is empty")
    return Source(part, path, size, summed.hexdigest())


def _begin(wanted: BeginUpload, sources: list[Source]) -> BeginUpload:
    of = {source.part: source for source in sources}
    kernel, initrd = of.get("kernel"), of.get("initrd")
    return BeginUpload(
        wanted.name,
        of["file"].size_bytes,
        of["file"].sha256,
        wanted.kind,
        kernel.size_bytes if kernel else 0,
        kernel.sha256 if kernel else "",
        initrd.size_bytes if initrd else 0,
        initrd.sha256 if initrd else "",
        wanted.cmdline,
        wanted.storage,
        wanted.project,
    )


def _begun_before(client: Client, wanted: BeginUpload, sources: list[Source]) -> State | None:
    """An upload of the same files under the same name, begun by an earlier command."""
    parts = {source.part: (source.size_bytes, source.sha256) for source in sources}
    same = {"name": wanted.name, "kind": wanted.kind, "cmdline": wanted.cmdline, "project": wanted.project}
    for one in client.ask(ListUploads()):
        its = {part["part"]: (part["size_bytes"], part["sha256"]) for part in one["parts"]}
        here = wanted.storage in ("", one["storage"])
        if one["state"] == "open" and its == parts and here and all(one[key] == value for key, value in same.items()):
            print(f"going on with upload {one['id']}", file=sys.stderr)
            found: State = one
            return found
    return None


class _Sender:
    """Sends pieces where the controller says that it has come to."""

    def __init__(self, client: Client, upload: State, bar: _Bar) -> None:
        self._client, self.upload, self._bar = client, upload, bar
        self._away_since: float | None = None

    def send(self, sources: list[Source]) -> State:
        """All of them; the upload, whole."""
        # What is sent and not counted yet goes first: no other piece is taken before.
        pending = (self.upload["pending"] or {}).get("part")
        for source in sorted(sources, key=lambda one: one.part != pending):
            with source.path.open("rb") as file:
                while (at := self._offset(source.part)) < source.size_bytes:
                    file.seek(at)
                    self._piece(source, at, file.read(self._size(source.part, at)))
        return self.upload

    def _offset(self, part: str) -> int:
        return next(int(one["offset"]) for one in self.upload["parts"] if one["part"] == part)

    def _size(self, part: str, at: int) -> int:
        pending = self.upload["pending"] or {}
        return int(pending["size_bytes"]) if (pending.get("part"), pending.get("offset")) == (part, at) else PIECE

    def _piece(self, source: Source, at: int, data: bytes) -> None:
        self._bar.check_time()
        if not data:
            raise errors.Refused(f"{source.path} has become shorter", hint="begin again, with a file that stays")
        request = wire.request(WritePiece(self.upload["id"], source.part, at))
        try:
            self.upload = self._client.send(request._replace(body=data, kind=BYTES))
        except AWAY as err:
            self._wait(err)
            return
        except errors.Refused:
            before, self.upload = at, self._client.ask(ShowUpload(self.upload["id"]))
            if self._offset(source.part) == before:
                raise  # else somebody else sends the same
        self._away_since = None
        done = sum(int(one["offset"]) for one in self.upload["parts"])
        total = sum(int(one["size_bytes"]) for one in self.upload["parts"])
        self._bar.show(100 * done / total, f"{output.in_bytes(done)} of {output.in_bytes(total)}")

    def _wait(self, err: Exception) -> None:
        """Until it may be tried again; whatever was lost, the controller says where to go on."""
        now = time.monotonic()
        if self._away_since is None:
            self._away_since = now
            self._bar.say(f"{getattr(err, 'message', err)}; it is tried again")
        if now - self._away_since > PATIENCE_S:
            raise err
        time.sleep(AGAIN_S)
        try:
            self.upload = self._client.ask(ShowUpload(self.upload["id"]))
        except AWAY:
            return


class _Bar(Bar):
    """How far an image is, and how long it may take."""

    def __init__(self, name: str, quiet: bool, timeout_s: float | None) -> None:
        super().__init__("image", name, quiet)
        self._deadline = time.monotonic() + timeout_s if timeout_s else None

    def check_time(self) -> None:
        """Raises TimedOut."""
        if self._deadline is not None and time.monotonic() > self._deadline:
            raise errors.TimedOut("the time is over; what was sent is kept", hint="the same command goes on with it")
