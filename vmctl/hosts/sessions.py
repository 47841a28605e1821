"""A log-in on a host, as a process of sshd there: which one is ours, and ending those that earlier controllers left.

A controller that is dead, frozen or cut off may still have a log-in, and calls on their way through it. When that one's
process is gone, and what it had begun, nothing more comes from it: what the host shows from then on stays true.
"""

from __future__ import annotations

from collections.abc import Iterable

from vmctl.errors import Unreadable
from vmctl.hosts.facts import Fact
from vmctl.model.replicas import HostSession

# Of a process: $state, $parent, and $began in ticks since boot. No process is started for it: there may be thousands.
STAT = """stat() { state=; IFS= read -r line <"/proc/$1/stat" || return 1; line=${line##*) }
  process=$1; set -- $line; state=$1 parent=$2 began=${20}; }
IFS= read -r boot </proc/sys/kernel/random/boot_id
"""
OWN = f"""{STAT}stat $PPID && echo "$boot $PPID $began" """
# What a session has begun is found by its parents. Those without one any more, as when its sshd ended before, are left:
# they hold no connection.
END = f"""exec 2>/dev/null
{STAT}all= doomed=
for one; do
  pid=${{one%%:*}}
  stat "$pid" && [ "$began" = "${{one#*:}}" ] && doomed="$doomed $pid"
done
[ "$doomed" ] || exit 0
for folder in /proc/[1-9]*; do
  stat "${{folder#/proc/}}" && all="$all $process:$parent:$began"
done
found=$doomed
while [ "$found" ]; do
  found=
  for one in $all; do
    rest=${{one#*:}}
    case " $doomed " in *" ${{one%%:*}} "*) ;; *" ${{rest%%:*}} "*) found="$found ${{one%%:*}}";; esac
  done
  doomed="$doomed$found"
done
kill -9 $doomed
tries=0
while [ $tries -lt 50 ]; do
  left=
  for one in $all; do
    rest=${{one#*:}} pid=${{one%%:*}}
    case " $doomed " in *" $pid "*) stat "$pid" && [ "$began:$state" != "${{rest#*:}}:Z" ] &&
      [ "$began" = "${{rest#*:}}" ] && left="$left $pid";; esac
  done
  [ "$left" ] || exit 0
  tries=$((tries + 1)); sleep 0.1 || sleep 1
done
echo $left"""
AT_ONCE = 500  # that are named in one call: words are bounded


def _own(text: str) -> tuple[str, int, int]:
    boot_id, pid, ticks = text.split()
    if int(pid) <= 1:
        raise Unreadable("the process of this session's sshd cannot be told")
    return boot_id, int(pid), int(ticks)


OWN_SESSION = Fact(("sh", "-c", OWN), _own)  # the boot, the pid of sshd's process for it, its first tick


def end(sessions: Iterable[HostSession]) -> Fact[list[str]]:
    """End them, with all that they have begun; the process ids of those that are still there, five seconds later.

    They are of the boot that the host is in. One whose process is another one's by now is gone already.
    """
    words = [f"{one.pid}:{one.ticks}" for one in sessions]
    return Fact(("sh", "-c", END, "sh", *words), str.split)
