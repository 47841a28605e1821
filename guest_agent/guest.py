"""This machine, seen from inside: all that is told of it, kept up to date. Linux; `windows` has the other."""

from guest_agent import health, versions
from guest_agent.config import Config
from guest_agent.listeners import Listeners
from guest_agent.machine import Machine
from guest_agent.masking import Masks
from guest_agent.picture import Picture
from guest_agent.scan import Scanner
from guest_agent.services import Services


class Guest:
    """`picture` has everything but the watches, which are the agent's."""

    def __init__(self, config: Config, now: float) -> None:
        self.picture = Picture()
        self.services = Services()
        self.scanner = Scanner(Masks(config.mask), config.kernel_threads)
        self.listeners = Listeners()
        self.picture.processes = self.scanner.records
        self._machine = Machine()
        self._versions = versions.Versions(now)
        self._scans = 0

    def introduction(self) -> "dict[str, object]":
        """What `hello` says of the machine."""
        return self._machine.introduction()

    def scan(self, now: float) -> "set[tuple[int, int]]":
        """Look at everything. Returns the processes of which anything may have changed."""
        scanner = self.scanner
        touched = scanner.scan(now)
        for pid in self.listeners.scan(now, list(scanner.by_pid), scanner.fresh):
            process = scanner.by_pid[pid]
            process.record["ports"] = self.listeners.ports[pid]
            touched.add(process.key)
        self.picture.os = dict(self._machine.values(now), failed_units=self.services.failed)
        self.picture.services = self.services.known
        self.services.look(now)
        if self._versions.wants(now):
            self._versions.ask(now, list(scanner.executables()))
        return touched

    def forget_kernel_threads(self) -> None:
        """Look at their numbers anew at the next scan."""
        self.scanner.forget_kernel_threads()

    def pids_of(self, programs: "tuple[str, ...]") -> "list[int]":
        """The processes of a program by the names it may have."""
        return health.program_pids(self.picture.processes, programs.__contains__)

    def start_of(self, pid: int) -> "int | None":
        """When a process began, ticks since boot."""
        process = self.scanner.by_pid.get(pid)
        return process.start if process is not None else None

    def is_alive(self, pid: int) -> bool:
        """Whether the process that the last scan saw under this number still runs."""
        return self.scanner.is_alive(pid)

    def fds(self) -> "list[int]":
        """What to wait for."""
        return self.services.fds() + self._versions.fds()

    def poll(self, now: float) -> "tuple[bool, set[tuple[int, int]]]":
        """Take answers: whether systemd has given one, and the processes whose version is known now."""
        touched = set()
        if self._versions.poll(now):
            self.scanner.versions = self._versions.known
            for path, processes in self.scanner.executables().items():
                for process in processes:
                    process.record["version"] = self._versions.known.get(path, "")
                    touched.add(process.key)
        return self.services.poll(now), touched
