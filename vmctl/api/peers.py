"""Who is at the other end of a connection, and whom he may speak for.

On the controller's own socket that is whoever may open it, as the kernel names him. From anywhere else it is whoever
has a token; what is known of no connection speaks for nobody.
"""

from __future__ import annotations

import os
import socket
import struct
from dataclasses import replace
from typing import Annotated, Any, NamedTuple

from fastapi import Depends
from starlette.requests import HTTPConnection

from vmctl.api import tls
from vmctl.door import Door
from vmctl.errors import NotAllowed, NotLoggedIn
from vmctl.model.rights import LOCAL_USER, Principal

STATE = "peer"  # its name in what a connection's requests have in common
CREDENTIALS = struct.Struct("3i")  # pid, uid, gid: struct ucred of unix(7)
BEARER = "Bearer "
FOR, LOCAL = "X-Vmctl-For", "local"  # whom another controller speaks for: an address, or its own user


class Peer(NamedTuple):
    """Who is connected: by the controller's own socket as a user of this machine, or from an address.

    Or another controller, by its certificate: it says for whom it speaks.
    """

    uid: int | None = None
    address: str = ""
    certificate: str = ""  # its fingerprint


NOBODY = Peer()


def peer_of(transport: Any) -> Peer:
    """Who is at the other end of a transport."""
    sock = transport.get_extra_info("socket")
    if sock is not None and sock.family == socket.AF_UNIX:
        credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
        return Peer(uid=CREDENTIALS.unpack(credentials)[1])
    name = transport.get_extra_info("peername")
    speaks = transport.get_extra_info("ssl_object")
    shown = speaks.getpeercert(binary_form=True) if speaks is not None else None
    certificate = tls.fingerprint_of_der(shown) if shown else ""
    return Peer(address=str(name[0]), certificate=certificate) if isinstance(name, tuple) and name else NOBODY


def _connected(http: HTTPConnection) -> Peer:
    found = http.scope.get("state", {}).get(STATE, NOBODY)
    return found if isinstance(found, Peer) else NOBODY


def is_controller(http: HTTPConnection) -> bool:
    """Whether another controller asks for itself, whose life has not ended."""
    shown, peers = _connected(http).certificate, http.app.state.peers
    return bool(shown) and peers is not None and bool(peers.knows(shown))


def of_a_controller(http: HTTPConnection) -> bool:
    """Whether another controller passes a request on."""
    return bool(_connected(http).certificate)


def peer(http: HTTPConnection) -> Peer:
    """Who sent a request, or for whom another controller passes it on."""
    found = _connected(http)
    if not found.certificate:
        return found
    peers: Any = http.app.state.peers
    if peers is None or not peers.knows(found.certificate):  # its life was ended
        return NOBODY
    told = http.headers.get(FOR, "")
    return Peer(uid=os.geteuid()) if told == LOCAL else Peer(address=told)


def speaks_for(http: HTTPConnection) -> str:
    """What is told of who sent a request, where it is passed on. Raises NotAllowed."""
    found = peer(http)
    if found.uid is None:
        return found.address
    _check_user(found.uid)
    return LOCAL


def _check_user(uid: int) -> None:
    # Root may open any socket; and whoever runs the controller has its key to all hosts.
    if uid not in (0, os.geteuid()):
        raise NotAllowed(f"the controller's own socket is not for user {uid} of this machine")


def is_local(http: HTTPConnection) -> bool:
    """Whether somebody on the controller's own machine asks."""
    return peer(http).uid is not None


def principal(http: HTTPConnection) -> Principal:
    """Who asks. Raises NotLoggedIn, NotAllowed."""
    found = peer(http)
    if found.uid is not None:
        _check_user(found.uid)
        return LOCAL_USER
    given = http.headers.get("authorization", "")
    door: Door = http.app.state.door
    known = door.bearer(given.removeprefix(BEARER).strip()) if given.startswith(BEARER) else None
    if known is None:
        why = "this token opens nothing (any more)" if given else "no token was given"
        raise NotLoggedIn(why, hint="vmctl login, or vmctl context add NAME --server ... --token-file ...")
    return replace(known, where=found.address)


async def asker(http: HTTPConnection) -> Principal:
    """The same for a route: what is no coroutine would be run in a thread, which takes longer than all else."""
    return principal(http)


Asker = Annotated[Principal, Depends(asker)]
