"""Is there a QEMU of this VM on a host? By its process, as libvirt may have lost sight of it: it then shows nothing."""

from __future__ import annotations

from vmctl.hosts.facts import Fact

# One grep reads all command lines, word by word; it and its shell may have the UUID among their words, too. One that is
# dead and not reaped has no command line any more.
LOOK = """printf %s "$1" | grep -lsaxzF -f - /proc/[1-9]*/cmdline | while read -r file; do
  process=${file#/proc/}; process=${process%/cmdline}
  read -r name <"/proc/$process/comm" && case $name in qemu*|kvm*) echo "$process";; esac
done 2>/dev/null; :"""


def processes(uuid: str) -> Fact[list[str]]:
    """The process ids of QEMUs that have this UUID on their command line."""
    return Fact(("sh", "-c", LOOK, "sh", uuid), str.split)
