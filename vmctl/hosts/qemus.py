"""Is there a QEMU of this VM on a host? By its process, as libvirt may have lost sight of it: it then shows nothing."""

from __future__ import annotations

from vmctl.hosts.facts import Fact

# One that is dead and not reaped has no command line any more.
LOOK = """for p in /proc/[1-9]*; do
  tr "\\0" " " <"$p/cmdline" 2>/dev/null | grep -q -e "-uuid $1 " && echo "${p#/proc/}"
done; :"""


def processes(uuid: str) -> Fact[list[str]]:
    """The process ids of QEMUs that have this UUID on their command line."""
    return Fact(("sh", "-c", LOOK, "sh", uuid), str.split)
