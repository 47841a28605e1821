"""Texts of /proc as values. Pure. What a kernel does not know is None, never a made-up zero.

/proc/PID/stat is read as bytes: it is by far the most frequent text here, and a program's name may be any bytes.
"""

from collections import namedtuple

LISTENING = b"0A"
KERNEL_THREAD = 0x00200000  # PF_KTHREAD in the flags of /proc/PID/stat
REAL_FILE_SYSTEMS = frozenset(
    ("bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "jfs", "ntfs3", "vfat", "xfs", "zfs")
)

Stat = namedtuple("Stat", "name state ppid flags ticks threads start rss_pages")
Stat.__doc__ = "What is used of /proc/PID/stat; `ticks` is user and system time, `start` ticks since boot."


def stat(raw: bytes) -> Stat:
    """/proc/PID/stat. The name in parentheses may itself hold spaces and parentheses."""
    close = raw.rindex(b")")
    fields = raw[close + 2 :].split()
    return Stat(
        raw[raw.index(b"(") + 1 : close],
        fields[0].decode("ascii", "replace"),
        int(fields[1]),
        int(fields[6]),
        int(fields[11]) + int(fields[12]),
        int(fields[17]),
        int(fields[19]),
        int(fields[21]),
    )


def text(raw: bytes, longest: int) -> str:
    """Bytes of unknown making as a string without control characters; None of its characters is half of one."""
    clean = raw.decode("utf-8", "replace")
    return "".join([letter if letter.isprintable() else " " for letter in clean[:longest]]).strip()


def uid(status: str) -> "int | None":
    """The effective user in /proc/PID/status."""
    for line in status.splitlines():
        if line.startswith("Uid:"):
            return int(line.split()[2])
    return None


def storage_bytes(io: str) -> "tuple[int, int]":
    """/proc/PID/io: bytes read from and written to storage, in all."""
    values = _pairs(io)
    return values["read_bytes"], values["write_bytes"]


def listening(tcp: bytes) -> "dict[int, int]":
    """/proc/net/tcp or tcp6: inode -> port of listening sockets. The kernel prints them before all others, so the
    first line of another kind ends the reading, and connections in their thousands cost nothing."""
    found = {}
    for line in tcp.split(b"\n")[1:]:
        fields = line.split(None, 10)
        if len(fields) < 10 or fields[3] != LISTENING:
            break
        found[int(fields[9])] = int(fields[1].rpartition(b":")[2], 16)
    return found


def users(passwd: str) -> "dict[int, str]":
    """/etc/passwd: number -> name. Read by hand, since asking the C library may wait for a server on the network."""
    lines = [line.split(":") for line in passwd.splitlines()]
    return {int(fields[2]): fields[0] for fields in reversed(lines) if len(fields) > 2 and fields[2].isdigit()}


def memory(meminfo: str) -> "dict[str, object]":
    """MiB of memory and swap."""
    kib = _pairs(meminfo.replace(" kB", ""))
    # before Linux 3.14: caches count as available, which is a little too much
    older = sum(kib.get(key, 0) for key in ("MemFree", "Buffers", "Cached"))
    return {
        "mem_total_mib": kib["MemTotal"] >> 10,
        "mem_available_mib": min(kib.get("MemAvailable", older), kib["MemTotal"]) >> 10,
        "swap_total_mib": kib.get("SwapTotal", 0) >> 10,
        "swap_used_mib": (kib.get("SwapTotal", 0) - kib.get("SwapFree", 0)) >> 10,
    }


def load(loadavg: str) -> "list[float]":
    """Over 1, 5 and 15 minutes."""
    return [float(word) for word in loadavg.split()[:3]]


def cpu_ticks(text: str) -> "tuple[int, int, int]":
    """/proc/stat: ticks busy (without what was stolen), ticks stolen, CPUs online. Guests' time is within user time."""
    lines = text.splitlines()
    fields = [int(word) for word in lines[0].split()[1:]]
    user, nice, system, _idle, _iowait, irq, softirq, steal = (fields + [0] * 8)[:8]
    cpus = sum(line.startswith("cpu") for line in lines[1:])
    return user + nice + system + irq + softirq, steal, max(cpus, 1)


def pressure(text: str) -> "dict[str, float | None]":
    """A file of /proc/pressure. `full` of cpu is missing before Linux 5.13."""
    found: dict[str, float | None] = dict.fromkeys(("some10", "full10", "some_total_s", "full_total_s"))
    for line in text.splitlines():
        kind, *words = line.split()
        values = dict(word.split("=", 1) for word in words)
        found[kind + "10"] = round(float(values["avg10"]) / 100, 4)
        found[kind + "_total_s"] = round(int(values["total"]) / 1e6, 3)
    return found


def mounts(text: str) -> "list[tuple[str, str]]":
    """/proc/self/mounts: (mount point, type) of file systems on real storage, each device once."""
    seen = set()
    found = []
    for line in text.splitlines():
        fields = line.split()
        if len(fields) > 2 and fields[2] in REAL_FILE_SYSTEMS and fields[0] not in seen:
            seen.add(fields[0])
            found.append((_unescape(fields[1]), fields[2]))
    return found


def _unescape(path: str) -> str:
    for code, letter in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        path = path.replace(code, letter)
    return path


def ipv4(fib_trie: str) -> "list[str]":
    """/proc/net/fib_trie: this machine's own addresses, without loopback."""
    found = []
    address = ""
    for line in fib_trie.splitlines():
        word = line.strip()
        if word.startswith("|-- "):
            address = word[4:]
        elif word == "/32 host LOCAL" and not address.startswith("127.") and address not in found:
            found.append(address)
    return found


def ipv6(if_inet6: str) -> "list[str]":
    """/proc/net/if_inet6: addresses of global scope, each written in full groups without leading zeros."""
    found = []
    for line in if_inet6.splitlines():
        fields = line.split()
        if len(fields) >= 6 and int(fields[3], 16) == 0:
            groups = [fields[0][start : start + 4].lstrip("0") or "0" for start in range(0, 32, 4)]
            found.append(":".join(groups))
    return found


def oom_kills(vmstat: str) -> "int | None":
    """/proc/vmstat; the count is there since Linux 4.13."""
    return _pairs(vmstat).get("oom_kill")


def os_name(os_release: str) -> str:
    """PRETTY_NAME of /etc/os-release."""
    for line in os_release.splitlines():
        if line.startswith("PRETTY_NAME="):
            return line.partition("=")[2].strip().strip("\"'")
    return ""


def _pairs(text: str) -> "dict[str, int]":
    """Lines "name: 12" or "name 12"."""
    words = (line.replace(":", " ").split() for line in text.splitlines())
    return {fields[0]: int(fields[1]) for fields in words if len(fields) == 2 and fields[1].isdigit()}
