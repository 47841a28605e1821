"""A run: a command on a host that goes on whatever becomes of the connection, of the controller or of sshd.

Nothing is installed for it. It has a folder that only its user can read:

    asked    whose it is, as its controller wrote it
    in       its standard input
    work     where it runs: what was put there with it, and what it leaves there
    out, err what it printed, up to a limit; `out.cut`, `err.cut`: it printed more
    fate     a link that can be made once: to "never", or to its keeper's incarnation; it decides whether the run takes
             place. The keeper is the process that waits for its end
    life     boot, process id and first tick of its first process: its incarnation
    code     how it ended: its exit status, or 128 and its signal; and when
    late     its time was over, and it was ended
    starved  the kernel ended something of it for want of memory
    why      it never began
    served   systemd keeps it, as a service
    given    what its log-in has: variables, and the umask
    looks    how often it was seen to have ended: a day of them, and it goes

Who begins a run makes its folder whole beside, and renames it: of two that begin the same run one does. Who finds a
folder without a fate may decide that it never begins: so there is no run of which nobody can know whether it will.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from vmctl.errors import Unreadable
from vmctl.hosts.facts import Fact
from vmctl.hosts.runprograms import BEGIN, COLLECT, FETCH, FIRST, FOLLOW, MOST_CHUNK, SIGNAL, SUPERVISE, SWEEP
from vmctl.hosts.ssh.quoting import plain

NEVER = {71: "its folder there is somebody else's", 73: "nothing can be written there", 74: "its input was cut"}


@dataclass(frozen=True, slots=True)
class Life:
    """Which process it is: its incarnation, on its host."""

    boot_id: str
    pid: int
    ticks: int


@dataclass(frozen=True, slots=True)
class Seen:
    """What a host shows of a run. `open` means that nobody has decided yet whether it takes place."""

    fate: str  # began, never, open; gone: the host has nothing of it
    life: Life | None = None
    alive: bool = False
    kept: bool = False  # something waits for its end
    code: int | None = None
    ended_at: float | None = None  # by the host's clock
    late: bool = False
    starved: bool = False  # the kernel ended something of it for want of memory
    out_bytes: int = 0
    err_bytes: int = 0
    out_cut: bool = False
    err_cut: bool = False
    rebooted: bool = False  # the host, since it began
    why: str = ""  # it never began, in words
    refused: bool = False  # its host could not even keep its folder
    out: bytes = field(default=b"", compare=False)  # of what was asked for
    err: bytes = field(default=b"", compare=False)

    @property
    def ended(self) -> bool:
        """Whether nothing more comes of it."""
        return self.code is not None or self.fate in ("never", "gone") or (self.fate == "began" and not self.goes_on)

    @property
    def goes_on(self) -> bool:
        """Whether it runs, or somebody is about to write down how it ended."""
        return self.alive or self.kept


@dataclass(frozen=True, slots=True)
class From:
    """From where on its output is wanted, in bytes; None: it is not."""

    run: str
    out: int | None = None
    err: int | None = None


def begin(
    run: str,
    words: Sequence[str],
    asked: str,
    *,
    input_bytes: int = 0,
    files_bytes: int = 0,
    limit_kib: int,
    timeout_s: int = 0,
    mem_mib: int = 0,
    cpus: int = 0,
) -> Fact[Seen]:
    """What begins it, and what is seen of it a moment later; done again it begins nothing twice.

    `mem_mib` and `cpus` are limits that the host keeps, or it does not begin (0: none).

    On standard input: its own, and what is put where it runs, as tar.
    """
    numbers = (str(input_bytes), str(files_bytes), str(limit_kib), str(timeout_s), str(mem_mib), str(cpus))
    return Fact(
        ("sh", "-c", BEGIN, "sh", run, *numbers, asked, SUPERVISE, FIRST, SWEEP, *words), lambda text: _shown(text)[0]
    )


def follow(runs: Sequence[From], wait_s: float = 0.0) -> Fact[dict[int, Seen]]:
    """What a host shows of those that have ended or have printed more, each by its place in `runs`.

    As soon as there is one, or none after that time; without it: of all.
    """
    words = [word for one in runs for word in (one.run, _offset(one.out), _offset(one.err))]
    return Fact(("sh", "-c", FOLLOW, "sh", str(round(10 * wait_s)), str(MOST_CHUNK), *words), _shown)


def signal(run: str, name: str) -> tuple[str, ...]:
    """What sends a signal (`TERM`) to all of its processes that have not left its group."""
    return ("sh", "-c", SIGNAL, "sh", run, name)


def collect(runs: Sequence[str]) -> Fact[list[str]]:
    """Take away what has ended, and see that nothing that was not begun ever is; those that go on are named."""
    return Fact(("sh", "-c", COLLECT, "sh", *runs), lambda text: text.split())


def fetch(run: str, path: str) -> tuple[str, ...]:
    """What prints, as an archive (tar) in base64, a file or folder that it left where it ran."""
    return ("sh", "-c", FETCH, "sh", run, path)


def _offset(given: int | None) -> str:
    return "-" if given is None else str(given)


def _shown(text: str) -> dict[int, Seen]:
    found: dict[int, Seen] = {}
    for line in text.splitlines():
        what, place, *rest = line.split()
        if what == "=":
            found[int(place)] = _seen(rest)
        elif what == "why":
            why = base64.b64decode(rest[0]).decode(errors="replace").strip().partition("\n")[0]
            found[int(place)] = replace(found[int(place)], why=plain(why))
        elif what in ("out", "err"):
            data, seen = base64.b64decode(rest[0], validate=True), found[int(place)]
            found[int(place)] = replace(seen, out=data) if what == "out" else replace(seen, err=data)
    return found


def _seen(words: list[str]) -> Seen:
    if words == ["gone"]:
        return Seen("gone")
    if len(words) != 15:
        raise Unreadable("what is shown of a run cannot be read")
    now, fate, _, _, kept, boot, pid, ticks, alive, code, at, late, out, err, cut = words
    begun = fate not in ("open", "never")
    return Seen(
        "began" if begun else fate,
        None if boot == "-" else Life(boot, int(pid), int(ticks)),
        alive == "yes",
        kept == "yes",
        None if code == "-" else int(code),
        None if at == "-" else float(at),
        late == "yes",
        late == "starved",
        int(out),
        int(err),
        "o" in cut,
        "e" in cut,
        begun and fate != now,
    )
