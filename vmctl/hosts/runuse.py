"""What runs of jobs use on a host, and on which TCP ports they and its daemons listen. Pure.

A run's use is that of all processes in its session, as its first one may only wait for the others. CPU time of those
that have ended is in it, too: their parents have it. Memory that several share counts for each.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from vmctl.errors import Unreadable
from vmctl.hosts.facts import USER_HZ, Fact
from vmctl.hosts.runprograms import LIVES

# Its words: the first process's id of each run, and of each daemon with a "d" before it. It prints a line "host" with
# the boot, the uptime, the clock, its own first tick and the size of a page; per run what it uses and whose it is; who
# is in its session; and which sockets all these have open, as far as that is to be seen. "l" lines are the TCP sockets
# that listen.
USE = (
    LIVES
    + r"""stat $$
sums=$(LC_ALL=C grep -saH '' /proc/[1-9]*/stat | LC_ALL=C awk -v asked="$*" '
  BEGIN { n = split(asked, w, " "); for (i = 1; i <= n; i++) if (w[i] ~ /^[0-9]/) wanted[w[i]] = 1 }
  function take(pid, line,   name, f) {
    name = line; sub(/^[0-9]+ \(/, "", name); sub(/\) [^)]*$/, "", name); gsub(/[^!-~]/, "?", name)
    if (name == "") name = "?"
    sub(/^.*\) /, "", line); split(line, f, " "); if (!(f[4] in wanted)) return
    if (pid == f[4]) first[pid] = f[2] " " f[20] " " name
    ticks[f[4]] += f[12] + f[13] + f[14] + f[15]; threads[f[4]] += f[18]; pages[f[4]] += f[22]
    if (++many[f[4]] <= EACH) print "of", f[4], pid }
  # A name may have line ends: what belongs together has the same file before it.
  { at = index($0, ":"); pid = substr($0, 7, at - 12); line = substr($0, at + 1)
    if (pid == last) text = text "?" line; else { if (last != "") take(last, text); last = pid; text = line } }
  END { if (last != "") take(last, text)
    for (s in first) print "run", s, first[s], ticks[s], threads[s], pages[s] }')
read -r up _ </proc/uptime
echo "host $boot $up $(date +%s) $began $(getconf PAGESIZE 2>/dev/null || echo 4096)"
printf '%s\n' "$sums"
folders= owners=
for word; do case $word in d*) folders="$folders /proc/${word#d}/fd";; *) owners="$owners /proc/$word";; esac; done
members() { printf '%s\n' "$sums" | while read -r what _ pid _; do [ "$what" != of ] || echo "$pid"; done; }
for each in $(members | head -n MOST); do folders="$folders /proc/$each/fd"; done
{
  [ -z "$owners" ] || stat -c 'owner %n %U' $owners
  [ -z "$folders" ] || {
    awk '$4 == "0A" { print "l", $2, $10 }' /proc/net/tcp /proc/net/tcp6
    # What is no socket may be called like one: that stands behind the first arrow.
    LC_ALL=C ls -lq /proc/self/fd $folders | awk -F'[][/]' '
      /^\/proc\// { pid = $3; print "sees", pid } /^l[^>]* -> socket:\[[0-9]+\]$/ { print "has", pid, $(NF - 1) }'
  }
} 2>/dev/null
:
""".replace("EACH", "50").replace("MOST", "2000")
)
LINES = {
    what: re.compile(pattern)
    for what, pattern in {
        "host": r"(\S+) ([0-9.]+) (\d+) (\d+) (\d+)",
        "run": r"(\d+) (\d+) (\d+) (\S+) (\d+) (\d+) (\d+)",
        "of": r"(\d+) (\d+)",
        "owner": r"/proc/(\d+) (\S+)",
        "l": r"[0-9A-F]+:([0-9A-F]{4}) (\d+)",
        "sees": r"(\d+)",
        "has": r"(\d+) (\d+)",
    }.items()
}


@dataclass(frozen=True, slots=True)
class RunUse:
    """A run's first process, and what all in its session use. `cpu_ticks`: since it began."""

    pid: int
    start_ticks: int
    parent: int
    name: str
    cpu_ticks: int
    threads: int
    rss_kib: int
    ports: tuple[int, ...] | None  # None: not to be seen
    owner: str  # the log-in that it runs as; empty: not to be seen


@dataclass(frozen=True, slots=True)
class InUse:
    """What a host told."""

    boot_id: str
    uptime_s: float
    wall_s: float  # its clock may be wrong or jump: for display only
    own_ticks: int  # when it was asked, as start ticks count: in a container that is not the uptime
    runs: dict[int, RunUse]  # by the id of the first process
    daemons: dict[int, tuple[int, ...]]  # ports by process id; of those whose sockets are to be seen

    def started_us(self, pid: int) -> int:
        """When a run began, in UTC microseconds by its host's clock."""
        return max(0, int((self.wall_s - self.age_s(pid)) * 1e6))

    def age_s(self, pid: int) -> float:
        """How long ago a run began."""
        return max(0.0, (self.own_ticks - self.runs[pid].start_ticks) / USER_HZ)

    def cores(self, pid: int, before: InUse | None) -> float:
        """What a run used since it was seen before; the first time since it began."""
        now = self.runs[pid]
        was = before.runs.get(pid) if before is not None and before.boot_id == self.boot_id else None
        if was is not None and before is not None and was.start_ticks == now.start_ticks:
            ticks, passed_s = now.cpu_ticks - was.cpu_ticks, self.uptime_s - before.uptime_s
        else:
            ticks, passed_s = now.cpu_ticks, self.age_s(pid)
        return max(0, ticks) / USER_HZ / passed_s if passed_s > 0 else 0.0


def use(runs: Sequence[int], daemons: Sequence[int] = ()) -> Fact[InUse]:
    """What they use, by the ids of runs' first processes and of daemons."""
    return Fact(("sh", "-c", USE, "sh", *map(str, runs), *(f"d{pid}" for pid in daemons)), _read)


def _read(text: str) -> InUse:
    lines = defaultdict[str, list[tuple[str, ...]]](list)
    for line in text.splitlines():
        what, _, rest = line.partition(" ")
        # What processes are called is in it: of what reads otherwise nothing is known, and all else is.
        if (found := LINES[what].fullmatch(rest) if what in LINES else None) is not None:
            lines[what].append(found.groups())
    if len(lines["host"]) != 1:
        raise Unreadable("what runs of jobs use cannot be read")
    [(boot_id, uptime, wall, own, page)] = lines["host"]
    listens = {socket: int(port, 16) for port, socket in lines["l"]}
    sees = {int(pid) for (pid,) in lines["sees"]}
    ports, members = defaultdict[int, set[int]](set), defaultdict[int, set[int]](set)
    for pid, socket in lines["has"]:
        if socket in listens:
            ports[int(pid)].add(listens[socket])
    for session, pid in lines["of"]:
        members[int(session)].add(int(pid))
    owners = {int(pid): owner for pid, owner in lines["owner"]}
    runs = {}
    for first, parent, start, name, ticks, threads, pages in lines["run"]:
        pid_ = int(first)
        there = members[pid_]
        open_ports = tuple(sorted(set[int]().union(*(ports[one] for one in there)))) if there & sees else None
        rss_kib = int(pages) * int(page) // 1024
        use_ = int(ticks), int(threads), rss_kib
        runs[pid_] = RunUse(pid_, int(start), int(parent), name, *use_, open_ports, owners.get(pid_, ""))
    of_runs = set[int]().union(*members.values())
    daemons = {pid: tuple(sorted(ports[pid])) for pid in sees - of_runs}
    return InUse(boot_id, float(uptime), float(wall), int(own), runs, daemons)
