"""Is libvirt's socket there, and may we open it? Looked at through a session, when forwarding it has failed."""

from __future__ import annotations

from collections.abc import Sequence

from vmctl.hosts.facts import Fact

OPEN, CLOSED, DEAD, ABSENT = "open", "closed", "dead", "absent"
# /proc/net/unix has every socket, 00010000 where somebody listens; one of /run may have the older name of its folder
LOOK = """
for s; do [ -S "$s" ] || continue
    if ! grep -qE " 00010000 0001 01 +[0-9]+ (/var)?$s\\$" /proc/net/unix; then echo dead
    elif [ -r "$s" ] && [ -w "$s" ]; then echo open
    else echo closed; fi
done"""


def parse(text: str) -> str:
    """The best that was seen of any of them."""
    words = text.split()
    return next((word for word in (OPEN, CLOSED, DEAD) if word in words), ABSENT)


def look(paths: Sequence[str]) -> Fact[str]:
    """Ask for the state of these sockets."""
    return Fact(("sh", "-c", LOOK, "sh", *paths), parse)
