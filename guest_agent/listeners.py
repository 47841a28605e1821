"""Which process listens on which TCP port. To look through open files is dear, so it happens for new processes and when
the set of listening sockets has changed."""

import os

from guest_agent import proc
from guest_agent.files import read

READ_EVERY_S = 30.0
LOOK_AT_ALL_EVERY_S = 120.0  # a process may have closed what it inherited, which nothing else shows
LOOK_AT_ALL_PAUSE_S = 2.0  # sockets that come and go all the time must not cost more than this
PORTS_MAX = 32


class Listeners:
    """`ports` by pid: a sorted list, or None where it cannot be known."""

    def __init__(self, root: str = "/proc") -> None:
        self.ports: dict[int, list[int] | None] = {}
        self._root = root
        self._sockets: dict[int, int] | None = {}
        self._counts = ""
        self._read_at = -READ_EVERY_S
        self._seen: dict[int, int] | None = None  # what the last look at all was made for
        self._all_at = -LOOK_AT_ALL_EVERY_S
        self._network = self._network_of("self")

    def scan(self, now: float, pids: "list[int]", fresh: "list[int]") -> "list[int]":
        """Bring `ports` up to date. Returns the processes of which they changed."""
        self._read(now)
        before = self.ports
        quiet = now - self._all_at
        changed = self._sockets != self._seen and quiet >= LOOK_AT_ALL_PAUSE_S
        if changed or quiet >= LOOK_AT_ALL_EVERY_S:
            self._all_at, self._seen = now, self._sockets
            self.ports = {pid: self._ports_of(pid) for pid in pids}
        else:
            new = set(fresh)
            self.ports = {pid: self._ports_of(pid) if pid in new else before.get(pid) for pid in pids}
        return [pid for pid in pids if self.ports[pid] != before.get(pid)]

    def _ports_of(self, pid: int) -> "list[int] | None":
        """None if its files are not ours to see, or it lives in a network of its own (a container)."""
        directory = f"{self._root}/{pid}/fd"
        if self._sockets is None:
            return None
        try:
            names = os.listdir(directory)
        except OSError:
            return None
        if self._network_of(str(pid)) != self._network:
            return None
        found = set()
        for name in names:
            try:
                target = os.readlink(f"{directory}/{name}")
            except OSError:
                continue
            if target.startswith("socket:["):
                found.add(self._sockets.get(int(target[8:-1]), 0))
        found.discard(0)
        return sorted(found)[:PORTS_MAX]

    def _network_of(self, pid: str) -> "int | None":
        try:
            return os.stat(f"{self._root}/{pid}/ns/net").st_ino
        except OSError:
            return None

    def _read(self, now: float) -> None:
        """The kernel walks through all buckets of a table to list sockets, milliseconds on a large machine, but it
        counts them for nothing: while the counts stay there is seldom news."""
        counts = read(f"{self._root}/net/sockstat") + read(f"{self._root}/net/sockstat6")
        if counts != self._counts or now - self._read_at >= READ_EVERY_S:
            self._counts, self._read_at = counts, now
            self._sockets = self._listening()

    def _listening(self) -> "dict[int, int] | None":
        found: dict[int, int] = {}
        for name in ("tcp", "tcp6"):
            try:
                found.update(proc.listening(_head(f"{self._root}/net/{name}")))
            except OSError:
                if name == "tcp":  # a kernel may well have no IPv6
                    return None
        return found


def _head(path: str) -> bytes:
    """The file as far as it tells of listening sockets."""
    fd = os.open(path, os.O_RDONLY)
    try:
        data = b""
        while True:
            chunk = os.read(fd, 65536)
            data += chunk
            last = data[data.rfind(b"\n", 0, -1) + 1 :]
            if not chunk or (b" 0A " not in last and b"local_address" not in last):
                return data
    finally:
        os.close(fd)
