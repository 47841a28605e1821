"""From where images may be fetched: an allow-list of hosts and of places below them. Pure.

An entry is a host ("images.example.org": over https, everything there) or the beginning of a URL. Plain http, another
port, and an address that is not on the public internet are only meant by an entry that names them.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import unquote, urljoin, urlsplit

from vmctl.errors import Refused, Usage
from vmctl.text import shown

PORTS = {"https": 443, "http": 80}
HOST = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
GIVEN_OUT = ipaddress.IPv6Network("2000::/3")  # all of version 6 that leads anywhere today
# Their last 32 bits are an address of version 4, to which something may lead them
HOLD_VERSION_4 = tuple(map(ipaddress.IPv6Network, ("64:ff9b::/96", "64:ff9b:1::/48", "::/96", "::ffff:0:0:0/96")))
CLOUDS_OWN = frozenset(("168.63.129.16",))  # public by its number, and a cloud's own by its use
SETTING = "the controller's admin sets allow_urls in [images] of vmctl.toml"


@dataclass(frozen=True, slots=True)
class Place:
    """A URL, taken apart."""

    scheme: str
    host: str  # as it is looked up: no brackets
    port: int
    path: str
    query: str = ""

    @property
    def target(self) -> str:
        """What the server there is asked for."""
        return f"{self.path}?{self.query}" if self.query else self.path

    @property
    def server(self) -> str:
        """Its host, and its port where that is not the usual one."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.server}{self.path}"  # a query may have secrets in it


def place(text: str) -> Place:
    """A URL as it is compared and fetched. Raises Usage for one that others could read in another way."""
    if any(c <= " " or c >= "\x7f" or c == "\\" for c in text):
        raise Usage("a URL has no blanks, backslashes or letters beyond ASCII in it")
    try:
        parts = urlsplit(text)
        port, host = parts.port, (parts.hostname or "").lower()
    except ValueError as err:
        raise Usage(f"{text!r} is no URL: {err}") from err
    if parts.scheme not in PORTS:
        raise Usage(f"{text!r} is no URL that begins with https://")
    if "@" in parts.netloc:
        raise Usage("a URL with a user or a password in it is not taken")
    if not (HOST.fullmatch(host) or _address(host)):
        raise Usage(f"{text!r} names no host")
    path = parts.path or "/"
    if {".", ".."} & set(unquote(path).split("/")) or re.search("%2f|%5c|%00", path, re.IGNORECASE):
        raise Usage(f"{text!r} has . or .. or a hidden slash in its path")
    return Place(parts.scheme, host, port or PORTS[parts.scheme], path, parts.query)


def asked_for(text: str) -> Place:
    """A URL that somebody asks for. Raises Usage also for a query, which could have a secret in it: a task shows it."""
    found = place(text)
    if found.query or "#" in text:
        raise Usage("a URL with ? or # in it is not taken", hint="give the file's plain address")
    return found


def redirected(at: Place, location: str) -> Place:
    """Where a server sends us on to. Raises Usage."""
    try:
        to = urljoin(f"{at.scheme}://{at.server}{at.target}", location)
    except ValueError as err:
        raise Usage(f"{at.server} sends us on to what is no URL: {shown(location)}") from err
    return place(to)


def entry(text: str) -> Place:
    """An entry of the allow-list. Raises Usage."""
    found = place(text if "://" in text else f"https://{text}")
    if found.query:
        raise Usage(f"{text!r}: the beginning of a URL has no query")
    return found


def entry_for(wanted: Place, allowed: Iterable[str]) -> Place:
    """The entry that allows a URL. Raises Refused."""
    for text in allowed:
        one = entry(text)
        same = (one.scheme, one.host, one.port) == (wanted.scheme, wanted.host, wanted.port)
        below = wanted.path == one.path or wanted.path.startswith(one.path.rstrip("/") + "/")
        if same and below:
            return one
    raise Refused(f"nothing may be fetched from {wanted.scheme}://{wanted.server}{wanted.path}", hint=SETTING)


def check_address(text: str, allowed_by: Place) -> None:
    """Refuse an address that is not on the public internet, unless the entry names it. Raises Refused."""
    if text == allowed_by.host:
        return
    if not _is_public(ipaddress.ip_address(text)):
        named = "unless the allow-list names it"
        raise Refused(f"{allowed_by.host} leads to an address from which nothing is fetched, {named}", hint=SETTING)


def _is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    inner = _inside(address)
    if inner is not None:
        return _is_public(inner)
    if isinstance(address, ipaddress.IPv6Address) and address not in GIVEN_OUT:
        return False  # whatever may be made of the rest one day
    return address.is_global and not address.is_multicast and str(address) not in CLOUDS_OWN


def _inside(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The address of version 4 that one of version 6 stands for."""
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if any(address in net for net in HOLD_VERSION_4):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)


def _address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
