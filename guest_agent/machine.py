"""The operating system: load, memory, pressure, file systems, addresses. Reads /proc; `proc` knows the texts."""

import os
import time

from guest_agent import proc
from guest_agent.files import read

SLOWLY_EVERY_S = 30.0  # file systems, addresses: looked at no more often
BOOT_CLOCK = 7  # CLOCK_BOOTTIME, which Python names since 3.7; start times of processes count on it
REBOOT_MARKS = ("/run/reboot-required", "/var/run/reboot-required", "/run/reboot-needed")


class Machine:
    """The values of `os`."""

    def __init__(self, root: str = "/proc") -> None:
        self._root = root
        self._slow: dict[str, object] = {}
        self._slow_at: float | None = None
        self._cpu: tuple[int, int] | None = None
        self._at = 0.0
        self._ticks_per_s = os.sysconf("SC_CLK_TCK")
        self.boot_id = read(f"{root}/sys/kernel/random/boot_id").strip()[:36]

    def values(self, now: float) -> "dict[str, object]":
        """Everything but what systemd knows; `now` is a monotonic clock in seconds."""
        if self._slow_at is None or now - self._slow_at >= SLOWLY_EVERY_S:
            self._slow, self._slow_at = self._slow_values(), now
        found: dict[str, object] = {"boot_id": self.boot_id, "load": proc.load(read(f"{self._root}/loadavg"))}
        found.update(self._cpu_values(now))
        found.update(proc.memory(read(f"{self._root}/meminfo")))
        found["psi"] = self._pressure()
        found.update(self._slow)
        return found

    def _cpu_values(self, now: float) -> "dict[str, object]":
        busy, stolen, cpus = proc.cpu_ticks(read(f"{self._root}/stat"))
        found: dict[str, object] = {"cpus": cpus, "cpu": None, "steal": None}
        if self._cpu is not None and now > self._at:
            ticks = (now - self._at) * self._ticks_per_s
            # a CPU that was taken away may make the sum smaller
            found["cpu"] = round(min(max(0.0, (busy - self._cpu[0]) / ticks), cpus), 3)
            found["steal"] = round(min(max(0.0, (stolen - self._cpu[1]) / ticks), cpus), 3)
        self._cpu, self._at = (busy, stolen), now
        return found

    def _pressure(self) -> "dict[str, object] | None":
        names = (("cpu", "cpu"), ("mem", "memory"), ("io", "io"))
        texts = [(key, read(f"{self._root}/pressure/{name}")) for key, name in names]
        if not any(text for _, text in texts):
            return None
        return {key: proc.pressure(text) if text else None for key, text in texts}

    def _slow_values(self) -> "dict[str, object]":
        return {
            "filesystems": self._file_systems(),
            "oom_kills": proc.oom_kills(read(f"{self._root}/vmstat")),
            "reboot_needed": any(os.path.exists(mark) for mark in REBOOT_MARKS),
            "addresses": self._addresses(),
        }

    def _addresses(self) -> "list[str]":
        own = proc.ipv4(read(f"{self._root}/net/fib_trie")) + proc.ipv6(read(f"{self._root}/net/if_inet6"))
        return own[:32]

    def _file_systems(self) -> "list[dict[str, object]]":
        found = []
        for mount, kind in proc.mounts(read(f"{self._root}/self/mounts"))[:32]:
            try:
                seen = os.statvfs(mount)
            except OSError:
                continue
            unit = seen.f_frsize
            values = {
                "mount": proc.text(mount.encode("utf-8", "replace"), 256),
                "type": kind,
                "total_mib": seen.f_blocks * unit >> 20,
                "used_mib": (seen.f_blocks - seen.f_bfree) * unit >> 20,
                "inodes_total": seen.f_files,
                "inodes_used": seen.f_files - seen.f_ffree,
            }
            found.append(values)
        return found

    def introduction(self) -> "dict[str, object]":
        """What `hello` says about the machine."""
        name = os.uname()
        return {
            "boot_id": self.boot_id,
            "machine_id": read("/etc/machine-id").strip()[:64],
            "hostname": proc.text(name.nodename.encode("utf-8", "replace"), 64),
            "system": proc.text(proc.os_name(read("/etc/os-release")).encode("utf-8", "replace"), 128),
            "kernel": proc.text(name.release.encode("utf-8", "replace"), 128),
            "ticks_per_s": self._ticks_per_s,
            "privileged": may_see_all(),
        }


def may_see_all() -> bool:
    """Whether other users' files and ports can be seen: the first process stands for them."""
    try:
        os.listdir("/proc/1/fd")
        return True
    except OSError:
        return False


def at() -> "dict[str, object]":
    """This moment: the wall clock, which may be wrong or jump, and the time since boot, which does neither."""
    return {"utc_us": int(time.time() * 1e6), "up_s": round(up_s(), 3)}


def up_s() -> float:
    """Seconds since boot, sleep included. On Windows the monotonic clock has counted since then."""
    return time.clock_gettime(BOOT_CLOCK) if hasattr(time, "clock_gettime") else time.monotonic()
