"""The same for Windows, by psutil: what `guest` is for Linux. Its port is COM2 (`port`).

psutil is a package with compiled parts, so it cannot be in the zipapp: it is installed beside it. It runs on Linux too,
which is where this is tested; on Windows it has not been tried. Services are the registry's, watches of units go by
their names, and nothing is restarted.
"""

import platform

import psutil

from guest_agent import health
from guest_agent.config import Config
from guest_agent.masking import Masks
from guest_agent.picture import Picture

TICKS_PER_S = 100  # `start` has this unit on Linux, and so here
STATES = {"running": "R", "sleeping": "S", "disk-sleep": "D", "stopped": "T", "zombie": "Z", "idle": "I", "dead": "X"}
ATTRIBUTES = ["pid", "ppid", "name", "cmdline", "username", "status", "memory_info", "num_threads", "cpu_times"]


class Services:
    """Windows services in the shape of `services.Services`."""

    def __init__(self) -> None:
        self.known: dict[str, dict[str, object]] | None = None
        self.failed: list[str] | None = None

    def look(self, now: float, hurry: bool = False) -> None:
        """Read them; where psutil cannot, they stay unknown."""
        if not hasattr(psutil, "win_service_iter"):
            return
        found = (service.as_dict() for service in psutil.win_service_iter())
        self.known = {values["name"]: self._record(values) for values in found}

    def _record(self, values: "dict[str, object]") -> "dict[str, object]":
        runs = values["status"] == "running"
        record: dict[str, object] = {"unit": str(values["name"])[:128], "active": "active" if runs else "inactive"}
        record.update(sub=str(values["status"]), pid=values["pid"] or 0, restarts=None, since_s=0.0)
        return record

    def forget(self, now: float) -> None:
        """They are read at each look anyway."""


class Listeners:
    """`ports` by pid, in the shape of `listeners.Listeners`."""

    def __init__(self) -> None:
        self.ports: dict[int, list[int] | None] = {}

    def scan(self) -> None:
        """One table for all processes."""
        try:
            connections = psutil.net_connections("tcp")
        except psutil.AccessDenied:
            self.ports = {}
            return
        found: dict[int, set[int]] = {}
        for one in connections:
            if one.status == psutil.CONN_LISTEN and one.pid and one.laddr:
                found.setdefault(one.pid, set()).add(one.laddr.port)
        self.ports = {pid: sorted(ports)[:32] for pid, ports in found.items()}


class Guest:
    """`picture` has everything but the watches."""

    def __init__(self, config: Config, now: float) -> None:
        self.picture = Picture()
        self.services = Services()
        self.listeners = Listeners()
        self._masks = Masks(config.mask)
        self._seen: dict[tuple[int, int], tuple[float, int, int]] = {}  # CPU seconds, bytes read, written
        self._at: float | None = None
        self._boot_at = psutil.boot_time()

    def introduction(self) -> "dict[str, object]":
        """What `hello` says of the machine."""
        return {
            "boot_id": f"{int(self._boot_at)}",
            "machine_id": "",
            "hostname": platform.node()[:64],
            "system": platform.platform()[:128],
            "kernel": platform.release()[:128],
            "ticks_per_s": TICKS_PER_S,
            "privileged": True,
        }

    def scan(self, now: float) -> "set[tuple[int, int]]":
        """Look at everything; every process may have changed."""
        elapsed = now - self._at if self._at is not None else 0.0
        self._at = now
        self.listeners.scan()
        records = [self._record(process, elapsed) for process in psutil.process_iter(ATTRIBUTES)]
        self.picture.processes = {(one["pid"], one["start"]): one for one in records if one}  # type: ignore[misc]
        self._seen = {key: value for key, value in self._seen.items() if key in self.picture.processes}
        self.services.look(now)
        self.picture.services = self.services.known
        self.picture.os = self._values()
        return set(self.picture.processes)

    def _record(self, process: "psutil.Process", elapsed: float) -> "dict[str, object] | None":
        info = process.info
        if info["memory_info"] is None or info["cpu_times"] is None:
            return None
        try:
            start = round((process.create_time() - self._boot_at) * TICKS_PER_S)
            io = process.io_counters()
            files = process.num_handles() if hasattr(process, "num_handles") else process.num_fds()
        except psutil.AccessDenied:
            io, files = None, None
        except psutil.NoSuchProcess:
            return None
        record: dict[str, object] = {"pid": info["pid"], "ppid": info["ppid"] or 0, "start": max(0, start)}
        record.update(program=info["name"][:64], version="", user=(info["username"] or "")[:64])
        record["command"] = self._masks(" ".join(info["cmdline"] or []))[:256]
        record.update(state=STATES.get(info["status"], "S"), threads=info["num_threads"] or 0, files=files)
        record["rss_kib"] = info["memory_info"].rss // 1024
        record["ports"] = self.listeners.ports.get(info["pid"], [])
        used = info["cpu_times"].user + info["cpu_times"].system
        record.update(self._rates((info["pid"], max(0, start)), used, io, elapsed))
        return record

    def _rates(self, key: "tuple[int, int]", used: float, io: "object", elapsed: float) -> "dict[str, object]":
        """CPU and I/O since the look before."""
        read, written = (io.read_bytes, io.write_bytes) if io is not None else (-1, -1)  # type: ignore[attr-defined]
        before, self._seen[key] = self._seen.get(key), (used, read, written)
        if before is None or elapsed <= 0:
            return {"cpu": None, "read_bps": None, "write_bps": None}
        rates = [
            None if now < 0 or then < 0 else max(0, round((now - then) / elapsed))
            for now, then in zip((read, written), before[1:])
        ]
        return {"cpu": round(max(0.0, used - before[0]) / elapsed, 3), "read_bps": rates[0], "write_bps": rates[1]}

    def _values(self) -> "dict[str, object]":
        memory, swap, cpus = psutil.virtual_memory(), psutil.swap_memory(), psutil.cpu_count() or 1
        found: dict[str, object] = {"boot_id": f"{int(self._boot_at)}", "load": list(psutil.getloadavg())}
        found.update(cpus=cpus, cpu=round(psutil.cpu_percent() * cpus / 100, 3), steal=None, psi=None)
        found.update(mem_total_mib=memory.total >> 20, mem_available_mib=memory.available >> 20)
        found.update(swap_total_mib=swap.total >> 20, swap_used_mib=swap.used >> 20)
        found.update(filesystems=[], failed_units=None, oom_kills=None, reboot_needed=False, addresses=[])
        return found

    def forget_kernel_threads(self) -> None:
        """There are none."""

    def pids_of(self, programs: "tuple[str, ...]") -> "list[int]":
        """The processes of a program by the names it may have, with or without .exe, in small letters or not."""
        names = {name.lower() + end for name in programs for end in ("", ".exe")}
        return health.program_pids(self.picture.processes, lambda program: program.lower() in names)

    def start_of(self, pid: int) -> "int | None":
        """When a process began."""
        return next((start for number, start in self.picture.processes if number == pid), None)

    def is_alive(self, pid: int) -> bool:
        """Whether there is such a process."""
        return bool(psutil.pid_exists(pid))

    def fds(self) -> "list[int]":
        """Nothing here is run aside."""
        return []

    def poll(self, now: float) -> "tuple[bool, set[tuple[int, int]]]":
        """Nothing to take."""
        return False, set()
