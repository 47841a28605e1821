"""One host's libvirt, typed and asynchronous. The only room that imports libvirt.

The rule of the room: no libvirt call ever runs on the event loop's thread, closing included (with an in-process
tunnel it would deadlock). Each host has its own few threads, so a stuck host blocks only itself. A call that does not
answer in time raises `NoAnswer`: libvirt may still do it later, so look before the next step.
"""

from vmctl.hosts.virt.console import Console, Consoles
from vmctl.hosts.virt.domains import Domains
from vmctl.hosts.virt.migration import Migrations
from vmctl.hosts.virt.pools import Pools


class Virt(Domains, Migrations, Pools, Consoles):
    """One host's libvirt through a local unix socket (forwarded over the host's SSH connection)."""


__all__ = ["Console", "Virt"]
