"""Is a directory one and the same on several hosts? Proven by writing on each and reading on the others.

What speaks against a host is told from what only keeps us from knowing: a full storage or a host that is slow takes no
proof away. Each probe is a folder of its own with its time in its name, so one that a killed controller left is known.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from enum import StrEnum

from vmctl.errors import HostError, LibvirtError, NoAnswer, Unreachable, VmctlError
from vmctl.hosts import mounts
from vmctl.hosts.leaseprobe import is_stale
from vmctl.hosts.mounts import Mount
from vmctl.hosts.port import Link
from vmctl.hosts.shown import GONE
from vmctl.model.records import Storage
from vmctl.storage import on

log = logging.getLogger("vmctl.proof")
SIZE = 4096
# Longer than any check takes, so a running check's probe is never taken away.
STALE_S = 600.0
FILE = "probe"
NO_SPACE = ("No space left", "Disk quota exceeded")


class State(StrEnum):
    """What is known of a storage on a host."""

    GOOD = "good"
    WRONG = "wrong"  # proven not to be the same directory, or not to show what others write
    ABSENT = "absent"  # there is no such directory
    UNKNOWN = "unknown"  # full, or no answer


@dataclass(frozen=True, slots=True)
class Finding:
    """What was seen on one host; `text` is empty for a good one."""

    state: State
    text: str = ""
    hint: str = ""


@dataclass(slots=True)
class Proof:
    """What was seen on all of them."""

    findings: dict[str, Finding] = field(default_factory=dict)
    mounts: dict[str, Mount] = field(default_factory=dict)
    capacity: int = 0
    free: int = 0

    def of(self, state: State) -> list[str]:
        """The hosts in that state."""
        return [name for name, found in self.findings.items() if found.state is state]

    @property
    def lines(self) -> tuple[str, ...]:
        """One line for each host of which something is to be said."""
        return tuple(
            f"{name}: {found.text}" + (f"  -> {found.hint}" if found.hint else "")
            for name, found in self.findings.items()
            if found.state is not State.GOOD
        )


async def prove(storage: Storage, links: list[Link]) -> Proof:
    """Look at the storage from every host. Raises nothing that one host is the cause of."""
    proof = Proof()
    there = [link for link in links if await _is_there(storage, link, proof)]
    if there:
        await _remove_stale(storage, there[0])
    probe = _Probe(storage, proof)
    try:
        for link in there:
            proof.findings[link.name] = await probe.look(link)
        await probe.measure()
    finally:
        await probe.remove()
    return proof


async def _is_there(storage: Storage, link: Link, proof: Proof) -> bool:
    try:
        mount = await link.ask(mounts.look(storage.path))
    except VmctlError as err:
        proof.findings[link.name] = Finding(State.UNKNOWN, err.message, err.hint)
        return False
    if mount is None:
        proof.findings[link.name] = Finding(
            State.ABSENT, f"there is no directory {storage.path}", "is it mounted there?"
        )
        return False
    proof.mounts[link.name] = mount
    return True


async def _remove_stale(storage: Storage, link: Link) -> None:
    """Probes that are older than any check takes are a dead controller's."""
    try:
        now = link.clock.now()
        for folder in await link.ask(mounts.probes(storage.path)):
            if now - int(folder.split("-")[2]) > STALE_S:
                await on(link, storage).delete(f"{folder}/{FILE}")
        for key in await link.ask(mounts.probe_keys(storage.lockspace)) if storage.lockspace else ():
            if is_stale(key, now):
                await on(link, storage).remove_key(key)
    except HostError as err:
        log.info("old probes of %s are left: %s", storage.name, err.message)


def is_full(message: str) -> bool:
    """Whether a host says that there is no room."""
    return any(words in message for words in NO_SPACE)


class _Probe:
    """One file that is written by the first host and read and written by the others in turn."""

    def __init__(self, storage: Storage, proof: Proof) -> None:
        self._storage = storage
        self._proof = proof
        self._name = ""
        self._writer: Link | None = None
        self._made: list[tuple[Link, str]] = []
        self._text = b""

    async def look(self, link: Link) -> Finding:
        """What one more host shows."""
        try:
            if self._writer is None:
                return await self._begin(link)
            return await self._compare(self._writer, link)
        except (NoAnswer, Unreachable) as err:
            return Finding(State.UNKNOWN, err.message, err.hint)
        except VmctlError as err:
            return await self._full(link) if is_full(err.message) else Finding(State.WRONG, err.message, err.hint)

    async def _begin(self, link: Link) -> Finding:
        self._name = f".vmctl-probe-{int(link.clock.now())}-{link.ids.token()[:8]}/{FILE}"
        # Noted before it is made: a reply that is lost leaves the file there all the same.
        self._made.append((link, self._name))
        await on(link, self._storage).make(self._name, "raw", SIZE)
        await self._write(link)
        # Read by the writer, too: a full storage may take a file and not keep its bytes.
        if await self._read(link) != self._text:
            if await self._is_full(link):
                return await self._full(link)
            return Finding(State.WRONG, "does not read back what it wrote itself")
        # Only a host that keeps what it writes can be the one that others are compared with.
        self._writer = link
        return Finding(State.GOOD)

    async def _compare(self, writer: Link, link: Link) -> Finding:
        """Both ways, each time over what the other one has just read: a cache shows itself by the old contents."""
        try:
            if await self._read(link) != self._text:
                return await self._unlike(writer, link, f"reads something else than {writer.name} wrote")
        except LibvirtError as err:
            if err.code_number not in GONE:
                raise
            return self._another(writer, link)
        # Both have just read the file, so whoever caches shows the old contents now.
        for author, reader in ((link, writer), (writer, link)):
            before = self._text
            await self._write(author)
            seen = await self._read(reader)
            if seen == before:
                return self._stale(author, reader)
            if seen != self._text:
                return await self._unlike(writer, link, f"{reader.name} does not see what {author.name} writes")
        return Finding(State.GOOD)

    def _another(self, writer: Link, link: Link) -> Finding:
        here, there = self._proof.mounts[link.name], self._proof.mounts[writer.name]
        path = self._storage.path
        if (here.kind, here.source) != (there.kind, there.source):
            text = f"{path} is another directory than on {writer.name}: {here}, there {there}"
            return Finding(State.WRONG, text, f"on {link.name}: mount {path} as on {writer.name}")
        return Finding(State.WRONG, f"{path} is another directory than on {writer.name}: both have {here} of their own")

    def _stale(self, author: Link, reader: Link) -> Finding:
        mount = self._proof.mounts[reader.name]
        text = (
            f"{reader.name} goes on reading what a file held before {author.name} wrote it: its mount ({mount}) caches"
        )
        return Finding(State.WRONG, text, f"{mount.cure}, on every host; then restart virtlockd and libvirtd there")

    async def _unlike(self, writer: Link, link: Link, text: str) -> Finding:
        if await self._is_full(link) or await self._is_full(writer):
            return await self._full(link)
        return Finding(State.WRONG, text)

    async def _is_full(self, link: Link) -> bool:
        return (await self._space(link)).free < 2 * SIZE

    async def _full(self, link: Link) -> Finding:
        try:
            free = f"{(await self._space(link)).free} bytes free"
        except HostError:
            free = "no space left"
        return Finding(State.UNKNOWN, f"the storage is full ({free}), so nothing can be proven", "make room on it")

    async def _space(self, link: Link) -> mounts.Space:
        return await link.ask(mounts.space(self._storage.path))

    async def _write(self, link: Link) -> None:
        self._text = link.ids.noise(SIZE)
        await on(link, self._storage).write(self._name, [self._text])

    async def _read(self, link: Link) -> bytes:
        return await on(link, self._storage).read(self._name, SIZE)

    async def measure(self) -> None:
        """Its size, from a host that can use it, or could but for its being full."""
        for link in [self._writer] if self._writer else [link for link, _ in self._made]:
            try:
                self._proof.capacity, self._proof.free = await self._space(link)
                return
            except HostError as err:
                log.info("%s is not measured: %s", self._storage.name, err.message)

    async def remove(self) -> None:
        """Leave nothing behind, whatever happened; each host that made a file of its own removes it."""
        for link, name in self._made:
            try:
                await on(link, self._storage).delete(name)
            except VmctlError as err:
                log.info("the probe %s is left for the next check: %s", name, err.message)
