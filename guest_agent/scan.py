"""Processes, read from /proc. Each one's `stat` stays open: a reading is one system call, a dead process answers with
an error even if its number is in use again, and only a text that differs from the one before is looked at."""

import os
import time

from guest_agent import proc
from guest_agent.masking import Masks

STAT_SIZE = 1024
COMMAND_READ = 4096  # bytes of a command line that are looked at; what is kept is shorter
COMMAND_KEPT = 256
NAME_CUT = 15  # the kernel keeps no more of a name
FILES_EVERY_S = 30.0
YOUNG_S = 10.0  # for so long a new process may become another program or user under the same name
BOOT_CLOCK = 7  # CLOCK_BOOTTIME, on which start times count


class Process:
    """A process and what its last reading was. `record` is what is told of it."""

    __slots__ = ("fd", "files_at", "io", "name", "pid", "raw", "record", "start", "ticks")

    def __init__(self, pid: int, fd: int, raw: bytes, seen: proc.Stat) -> None:
        self.pid = pid
        self.fd = fd  # -1: there are too many to keep open
        self.raw = raw
        self.name = seen.name
        self.start = seen.start
        self.ticks = seen.ticks
        self.io: tuple[int, int] | None = None
        self.files_at = -FILES_EVERY_S
        self.record: dict[str, object] = {}

    @property
    def key(self) -> "tuple[int, int]":
        """What names it within one boot."""
        return self.pid, self.start


class Scanner:
    """All processes; `records` by (pid, start) are kept up to date by `scan`."""

    def __init__(self, masks: Masks, kernel_threads: bool = False, root: str = "/proc") -> None:
        self.records: dict[tuple[int, int], dict[str, object]] = {}
        self.by_pid: dict[int, Process] = {}
        self.fresh: list[int] = []  # processes that the last scan found
        self.versions: dict[str, str] = {}  # path of a program -> version; filled by others
        self._masks = masks
        self._kernel_threads = kernel_threads
        self._root = root
        self._names: list[str] = []
        self._processes: dict[str, Process] = {}
        self._ignored: set[str] = set()  # kernel threads
        self._busy: set[Process] = set()  # the last scan found them at work
        self._at: float | None = None
        self._ticks_per_s = os.sysconf("SC_CLK_TCK")
        self._young_since = 0.0
        self._page_kib = os.sysconf("SC_PAGE_SIZE") // 1024
        self._users: dict[int, str] = {}
        self._users_at = -1
        self._room = file_limit() - 64

    def scan(self, now: float) -> "set[tuple[int, int]]":
        """Read all processes; `now` is a monotonic clock in seconds. Returns those of which anything may have changed;
        the gone are no longer in `records`."""
        elapsed = now - self._at if self._at is not None and now > self._at else 0.0
        self._at = now
        self._young_since = (time.clock_gettime(BOOT_CLOCK) - YOUNG_S) * self._ticks_per_s
        changed, gone = self._read_all()
        for name in gone:
            self._forget(name)
        busy, self._busy = self._busy, set()
        touched = {process.key for process in busy if process.key in self.records}
        for process in busy:
            process.record.update(cpu=0.0, **self._idle(process))
        for process, raw in changed:
            self._update(process, raw, elapsed, now)
            touched.add(process.key)
        self.fresh = []
        names = os.listdir(self._root)
        if gone or names != self._names:
            self._names = names
            touched.update(self._find_new(names, now))
        return touched

    def forget_kernel_threads(self) -> None:
        """Look at them again: one of their numbers may belong to a program by now."""
        self._ignored.clear()
        self._names = []

    def executables(self) -> "dict[str, list[Process]]":
        """The programs' files, where they may be seen, and their processes."""
        found: dict[str, list[Process]] = {}
        for process in self._processes.values():
            path = self._link(process.pid, "exe")
            if path.startswith("/"):
                found.setdefault(path.replace(" (deleted)", ""), []).append(process)
        return found

    def is_alive(self, pid: int) -> bool:
        """Whether the process that the last scan saw under this number still runs."""
        process = self.by_pid.get(pid)
        if process is None:
            return False
        try:
            return process.fd < 0 or bool(os.pread(process.fd, STAT_SIZE, 0))
        except OSError:
            return False

    # -- one scan

    def _read_all(self) -> "tuple[list[tuple[Process, bytes]], list[str]]":
        """Whose text differs, and who is gone. Written for speed: this is most of what the agent ever does."""
        changed, gone = [], []
        pread = os.pread
        for name, process in self._processes.items():
            try:
                raw = pread(process.fd, STAT_SIZE, 0)
            except OSError:
                raw = self._read_unkept(process)
                if not raw:
                    gone.append(name)
                    continue
            if raw != process.raw:
                changed.append((process, raw))
        return changed, gone

    def _read_unkept(self, process: Process) -> bytes:
        if process.fd >= 0:
            return b""
        raw = self._bytes(process.pid, "stat", STAT_SIZE)
        return raw if raw and proc.stat(raw).start == process.start else b""

    def _find_new(self, names: "list[str]", now: float) -> "list[tuple[int, int]]":
        present = {name for name in names if name.isdigit()}
        self._ignored &= present
        found = []
        for name in present - self._processes.keys() - self._ignored:
            process = self._open(name)
            if process is None:
                continue
            self._processes[name] = process
            self.by_pid[process.pid] = process
            self.records[process.key] = process.record
            self._identify(process, proc.stat(process.raw))
            self._measure_files(process, now)
            self._busy.add(process)
            self.fresh.append(process.pid)
            found.append(process.key)
        return found

    def _open(self, name: str) -> "Process | None":
        """A process that was not there before; None if it is not to be told, or gone again."""
        try:
            fd = os.open(f"{self._root}/{name}/stat", os.O_RDONLY)
        except OSError:
            return None
        try:
            raw = os.pread(fd, STAT_SIZE, 0)
            seen = proc.stat(raw)
        except (OSError, ValueError, IndexError):
            os.close(fd)
            return None
        if seen.flags & proc.KERNEL_THREAD and not self._kernel_threads:
            os.close(fd)
            self._ignored.add(name)
            return None
        if len(self._processes) >= self._room:
            os.close(fd)
            fd = -1
        return Process(int(name), fd, raw, seen)

    def _forget(self, name: str) -> None:
        process = self._processes.pop(name)
        if process.fd >= 0:
            os.close(process.fd)
        self.records.pop(process.key, None)
        if self.by_pid.get(process.pid) is process:
            del self.by_pid[process.pid]

    def _update(self, process: Process, raw: bytes, elapsed: float, now: float) -> None:
        seen = proc.stat(raw)
        process.raw = raw
        if seen.name != process.name or seen.start > self._young_since:
            self._identify(process, seen)
        record = process.record
        record["state"], record["ppid"], record["threads"] = seen.state, seen.ppid, seen.threads
        record["rss_kib"] = seen.rss_pages * self._page_kib
        if elapsed:
            record["cpu"] = round((seen.ticks - process.ticks) / self._ticks_per_s / elapsed, 3)
            self._measure_io(process, elapsed)
        if now - process.files_at >= FILES_EVERY_S:
            self._measure_files(process, now)
        process.ticks = seen.ticks
        self._busy.add(process)

    # -- one process

    def _identify(self, process: Process, seen: proc.Stat) -> None:
        """What changes only when a process becomes another program or user."""
        process.name = seen.name
        pid = process.pid
        command = self._bytes(pid, "cmdline", COMMAND_READ).rstrip(b"\0").replace(b"\0", b" ")
        user = proc.uid(self._bytes(pid, "status", 4096).decode("utf-8", "replace"))
        path = self._link(pid, "exe")
        process.io = self._io(pid)
        record = process.record
        record["pid"], record["ppid"], record["start"] = pid, seen.ppid, seen.start
        record["program"] = program_name(seen.name, path, command)
        record["version"] = self.versions.get(path, "")
        record["command"] = self._masks(proc.text(command, COMMAND_READ))[:COMMAND_KEPT]
        record["user"] = self._user(user)
        record["state"], record["threads"] = seen.state, seen.threads
        record.setdefault("cpu", None)
        record["rss_kib"] = seen.rss_pages * self._page_kib
        record.setdefault("files", None)
        record.update(self._idle(process))
        record.setdefault("ports", None)

    def _idle(self, process: Process) -> "dict[str, object]":
        rate = None if process.io is None else 0
        return {"read_bps": rate, "write_bps": rate}

    def _io(self, pid: int) -> "tuple[int, int] | None":
        try:
            return proc.storage_bytes(self._bytes(pid, "io", 512).decode("ascii", "replace"))
        except KeyError:
            return None  # not ours to see

    def _measure_io(self, process: Process, elapsed: float) -> None:
        if process.io is None:
            return
        before, process.io = process.io, self._io(process.pid)
        if process.io is None:
            process.record.update(self._idle(process))
            return
        rates = [max(0, round((now - then) / elapsed)) for now, then in zip(process.io, before)]
        process.record["read_bps"], process.record["write_bps"] = rates

    def _measure_files(self, process: Process, now: float) -> None:
        process.files_at = now
        try:
            process.record["files"] = len(os.listdir(f"{self._root}/{process.pid}/fd"))
        except OSError:
            process.record["files"] = None

    def _user(self, number: "int | None") -> str:
        if number is None:
            return ""
        try:
            changed_at = os.stat("/etc/passwd").st_mtime_ns
            if changed_at != self._users_at:
                self._users_at = changed_at
                with open("/etc/passwd", encoding="utf-8", errors="replace") as file:
                    self._users = proc.users(file.read())
        except OSError:
            pass
        return self._users.get(number, str(number))[:64]

    def _bytes(self, pid: int, name: str, most: int) -> bytes:
        try:
            fd = os.open(f"{self._root}/{pid}/{name}", os.O_RDONLY)
        except OSError:
            return b""
        try:
            return os.read(fd, most)
        except OSError:
            return b""
        finally:
            os.close(fd)

    def _link(self, pid: int, name: str) -> str:
        try:
            return os.readlink(f"{self._root}/{pid}/{name}")
        except OSError:
            return ""


def program_name(name: bytes, path: str, command: bytes) -> str:
    """The name by which the kernel knows a program; where that was cut off, the rest from the file's name."""
    short = proc.text(name, 64)
    if len(name) < NAME_CUT:
        return short
    first = command.split(b" ", 1)[0]
    for longer in (os.path.basename(path), proc.text(os.path.basename(first), 64)):
        if longer.startswith(short):
            return proc.text(longer.encode("utf-8", "replace"), 64)
    return short


def file_limit() -> int:
    """How many files may be open; the soft limit is raised as far as is sensible."""
    import resource  # not on Windows

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 16384 if hard == resource.RLIM_INFINITY else min(hard, 16384)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    return 16384 if soft == resource.RLIM_INFINITY else soft
