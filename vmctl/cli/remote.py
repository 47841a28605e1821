"""The way to a controller elsewhere: TLS, its certificate known by a CA or a fingerprint, one server after another.

Nothing is sent before the other end has shown that it is the right one.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import http.client
import socket
import ssl

from vmctl import errors
from vmctl.cli.contexts import Context

CONNECT_S = 10.0


class TlsConnection(http.client.HTTPConnection):
    """HTTP over a socket that speaks TLS already."""

    def __init__(self, sock: ssl.SSLSocket, server: str) -> None:
        super().__init__(server)
        self.sock = sock

    def connect(self) -> None:
        """It is."""


def opened(context: Context, patience_s: float | None = None) -> tuple[ssl.SSLSocket, str]:
    """A socket to the first server that answers, and which one that is. Raises ControllerUnreachable, NotAllowed."""
    problems = []
    for server in context.servers:
        try:
            sock = _connected(context, server)
        except errors.NotAllowed:
            raise  # somebody else answers there: no other server mends that
        except OSError as err:
            problems.append(f"{server}: {_cause(err)}")
            continue
        sock.settimeout(patience_s)
        return sock, server
    if len(problems) == 1:
        server, _, cause = problems[0].partition(": ")
        text = f"the controller at {server} cannot be reached: {cause}"
        raise errors.ControllerUnreachable(text, hint="vmctl context list; is it served with --listen?")
    text = f"no controller of context {context.name} can be reached"
    raise errors.ControllerUnreachable(text, lines=tuple(problems), hint="vmctl context list")


def _cause(err: OSError) -> str:
    if isinstance(err, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {err.verify_message}"
    if isinstance(err, TimeoutError):
        return f"no answer within {CONNECT_S:g} s"
    return err.strerror or str(err)


def _connected(context: Context, server: str) -> ssl.SSLSocket:
    host, _, port = server.rpartition(":")
    host = host.strip("[]")
    plain = socket.create_connection((host, int(port)), CONNECT_S)
    try:
        sock = _trusting(context).wrap_socket(plain, server_hostname=host)
    except BaseException:
        plain.close()
        raise
    if context.fingerprint and not hmac.compare_digest(_fingerprint(sock), context.fingerprint):
        shown = _fingerprint(sock)
        with contextlib.suppress(OSError):
            sock.close()
        hint = f"if that is right: vmctl context add {context.name} --fingerprint {shown} ..."
        text = f"{server} shows another certificate ({shown}) than context {context.name} has"
        raise errors.NotAllowed(text, hint=hint)
    return sock


def _trusting(context: Context) -> ssl.SSLContext:
    made = ssl.create_default_context(cadata=context.ca or None)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    if context.fingerprint:  # it is compared instead, before anything is sent
        made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    return made


def _fingerprint(sock: ssl.SSLSocket) -> str:
    shown = hashlib.sha256(sock.getpeercert(binary_form=True) or b"").digest()
    return shown.hex(":").upper()
