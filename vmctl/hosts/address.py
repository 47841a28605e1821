"""Addresses of hosts as people write them, and as URIs want them. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple

from vmctl.errors import Usage
from vmctl.text import bad_name

HINT = "NAME, NAME=ADDRESS, NAME=ADDRESS:PORT, NAME=[ADDRESS]:PORT, each ADDRESS with or without USER@"
WHOLE = re.compile(r"(?:(?P<user>[^@\s]+)@)?(?:\[(?P<bracketed>[^\]]+)\]|(?P<plain>[^\[\]@:]+))(?::(?P<port>[^:\]]*))?")
ADDRESS = re.compile(r"[A-Za-z0-9_.:][A-Za-z0-9_.:%-]*")


class Wanted(NamedTuple):
    """A host as it is named to `host add`; `user` is empty where none is given."""

    name: str
    address: str
    port: int = 22
    user: str = ""


def wanted(text: str) -> Wanted:
    """NAME or NAME=[USER@]ADDRESS[:PORT], an IPv6 address with or without brackets. Raises Usage."""
    name, equals, where = text.partition("=")
    if (problem := bad_name(name)) is not None:
        raise Usage(problem, hint=HINT)
    if equals and not where:
        raise Usage(f"{text!r}: the address is missing", hint=HINT)
    if where.count(":") > 1 and "[" not in where:  # IPv6 as it is: all of its colons are its own
        user, at, address = where.rpartition("@")
        return Wanted(name, _address(text, address), user=user) if user or not at else _refuse(text)
    found = WHOLE.fullmatch(where or name)
    if found is None:
        return _refuse(text)
    address = _address(text, found["bracketed"] or found["plain"])
    return Wanted(name, address, _port(text, found["port"]), found["user"] or "")


def _address(text: str, address: str) -> str:
    return address if ADDRESS.fullmatch(address) else _refuse(text).address


def _port(text: str, port: str | None) -> int:
    if port is None:
        return 22
    if not (port.isascii() and port.isdigit() and 1 <= int(port[:6]) <= 65535):
        raise Usage(f"{text!r}: {port!r} is not a port (1 to 65535)", hint=HINT)
    return int(port)


def _refuse(text: str) -> Wanted:
    raise Usage(f"{text!r} is not the name and address of a host", hint=HINT)


def bare(text: str) -> str:
    """An address given alone, without the brackets that some write around IPv6. Raises Usage."""
    inside = text[1:-1] if text[:1] == "[" and text[-1:] == "]" else text
    if not ADDRESS.fullmatch(inside):
        raise Usage(f"{text!r} is not an address", hint="a name, an IPv4 or an IPv6 address, without a port")
    return inside


def in_brackets(address: str) -> str:
    """An address as a URI or ADDRESS:PORT wants it: IPv6 in brackets."""
    return f"[{address}]" if ":" in address else address


def tcp_uri(address: str) -> str:
    """Where a migration's memory stream goes, for libvirt."""
    return f"tcp://{in_brackets(address)}"
