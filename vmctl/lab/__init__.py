"""The lab: a cluster of real hosts (namespaces, sshd, libvirtd, QEMU) on one machine, for trying and testing."""

from vmctl.lab.lab import HostStatus, LabStatus, addresses, boot, cut, down, freeze, heal, kill, status, thaw, up

__all__ = [
    "HostStatus",
    "LabStatus",
    "addresses",
    "boot",
    "cut",
    "down",
    "freeze",
    "heal",
    "kill",
    "status",
    "thaw",
    "up",
]
