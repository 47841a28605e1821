"""What a host's configuration says of its lock manager: read where we may, never changed."""

from __future__ import annotations

import re
from dataclasses import dataclass

from vmctl.hosts.facts import Fact

MARK = "=== lockd"


@dataclass(frozen=True, slots=True)
class LockConfig:
    """`manager` is "lockd", "sanlock" or empty; `lockspace` the directory of virtlockd's leases, or empty."""

    manager: str
    lockspace: str


def parse(text: str) -> LockConfig:
    """qemu.conf, a mark, qemu-lockd.conf: `name = "value"` lines, `#` begins a comment."""
    qemu, _, lockd = text.partition(MARK)
    return LockConfig(_value(qemu, "lock_manager"), _value(lockd, "file_lockspace_dir"))


def _value(text: str, name: str) -> str:
    found = re.findall(rf'^\s*{name}\s*=\s*"([^"]*)"', text, re.MULTILINE)
    return found[-1] if found else ""


READ = f"cat /etc/libvirt/qemu.conf; echo '{MARK}'; cat /etc/libvirt/qemu-lockd.conf"
LOCK_CONFIG = Fact(("sh", "-c", READ), parse)
