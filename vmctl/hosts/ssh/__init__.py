"""One SSH connection per host, and everything through it. Only this room imports asyncssh.

The rule of the room: a host is spoken to only under the key that was pinned at `host add`; no file or agent of the
user changes what happens; whatever waits, waits for a limited time; whatever a host sends is bounded; and what goes
wrong leaves as an error of `vmctl.errors` that names the host. When to connect again is decided elsewhere.

    keys.py        our key, the hosts' keys
    aliases.py     what the user's ~/.ssh/config would have done, for error messages only
    login.py       from an address to a connection that may be trusted
    script.py      how a command reaches a host whose login shell may be any
    channels.py    what runs inside: a command, a program, a stream, a forwarded socket
    connection.py  HostSSH, which ties them together
"""

from vmctl.hosts.ssh.aliases import explain
from vmctl.hosts.ssh.channels import Listener, Process, Ran, Reader, Writer
from vmctl.hosts.ssh.connection import HostSSH, backoff
from vmctl.hosts.ssh.keys import HostKey, ensure_key, read_host_key
from vmctl.hosts.ssh.login import Target

__all__ = [
    "HostKey",
    "HostSSH",
    "Listener",
    "Process",
    "Ran",
    "Reader",
    "Target",
    "Writer",
    "backoff",
    "ensure_key",
    "explain",
    "read_host_key",
]
