"""Guests from inside: what their agents say through their serial ports, read on whichever host they run.

    report.py     PURE  what may be said, and within which bounds
    guest.py      PURE  bytes of one port -> what is known of that guest
    port.py       I/O   one port, read no faster than its fair share
    followers.py  I/O   every running VM's port, followed from host to host

A guest is not trusted: nothing it says decides anything but its own health.
"""

from vmctl.guests.followers import Followed, Follower, Guests, Where
from vmctl.guests.guest import Guest, Heard

__all__ = ["Followed", "Follower", "Guest", "Guests", "Heard", "Where"]
