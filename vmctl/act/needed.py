"""Who else needs a file that is about to be deleted: every other VM's disks, and all below them.

A VM that somebody else made may call a file by another name (a link, another mount of the same directory), so files are
compared as its own host sees them. Of one that was only just found, what lies below its disks is read first.
"""

from __future__ import annotations

from collections.abc import Iterable

from vmctl.act.definitions import learn
from vmctl.errors import HostError, NotFound, Refused
from vmctl.hosts.facts import Fact
from vmctl.hosts.port import Link
from vmctl.model.records import Storage, VMRecord
from vmctl.services import Services

MOST_AT_ONCE = 500  # paths in one command
LINKS = 'for f; do ! test -L "$f" || echo "$f"; done; :'
FILES = 'stat -L -c "%d:%i %n" -- "$@" 2>/dev/null; :'


async def refuse_links(link: Link, storage: Storage, names: Iterable[str]) -> None:
    """Refuse to delete what lies behind a link: it may be anybody's. `names` as below the storage's directory.

    A disk that is itself a link is no harm: the link alone is deleted. Raises Refused, HostError.
    """
    base = storage.path.rstrip("/")
    folders = sorted({f"{base}/{name.rpartition('/')[0]}" for name in names if "/" in name})
    found = await link.ask(Fact(("sh", "-c", LINKS, "sh", *folders), str.splitlines)) if folders else []
    if found:
        raise Refused(
            f"{found[0]} is a link: what it leads to may be another one's, so nothing was deleted",
            hint=f"on {link.name}: readlink {found[0]}; rm {found[0]} takes only the link away",
        )


async def refuse_if_needed(services: Services, own: set[str], but: str = "") -> None:
    """Refuse to delete files that a VM other than `but` (a UUID) needs. Raises Refused."""
    for other in await services.store.all(VMRecord):
        if other.uuid == but:
            continue
        if other.adopted and not other.files and any(disk.path.startswith("/") for disk in other.spec.disks):
            other = await _with_its_chain(services, other)
        theirs = {disk.path for disk in other.spec.disks} | set(other.files)
        needs = (own & theirs) or (await _the_same(services, other.host, own, theirs) if other.adopted else set())
        if needs:
            raise Refused(f"{other.name} needs {min(needs)}, too: it is not deleted", hint=f"vmctl show {other.name}")


async def _with_its_chain(services: Services, other: VMRecord) -> VMRecord:
    """The VM with what lies below its disks. Refused where its host cannot tell."""
    try:
        return await learn(services, services.online(other.host), other)
    except NotFound:  # it is no longer there, or its host is no longer in the pool
        return other
    except HostError as err:
        what = f"what lies below the disks of {other.name} is not known"
        raise Refused(f"{what}: {err.message}", hint=f"vmctl show {other.name}") from err


async def _the_same(services: Services, host: str, own: set[str], theirs: set[str]) -> set[str]:
    """Which of our files are, on that host, the same as one of theirs by another name. A silent host tells nothing."""
    link = services.links.get(host)
    if link is None or not link.online:
        return set()
    ours = await _numbers(link, own)
    numbers = set((await _numbers(link, theirs)).values()) if ours else set()
    return {path for path, number in ours.items() if number in numbers}


async def _numbers(link: Link, paths: set[str]) -> dict[str, str]:
    """Path -> device and inode, of those that are there."""
    found: dict[str, str] = {}
    every = sorted(path for path in paths if path.startswith("/"))
    for first in range(0, len(every), MOST_AT_ONCE):
        some = every[first : first + MOST_AT_ONCE]
        for line in await link.ask(Fact(("sh", "-c", FILES, "sh", *some), str.splitlines)):
            number, _, path = line.partition(" ")
            found[path] = number
    return found
