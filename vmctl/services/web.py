"""A file of another server, over https: only from where the allow-list says, at the address that was looked at.

A name is resolved once, every address that it has is judged, and the connection goes to one of these. A redirect is
followed to where the allow-list leads, too, and judged in the same way. All of it blocks: it is called in a thread.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator

from vmctl import __version__, text
from vmctl.errors import Refused, Unreachable
from vmctl.model import urls
from vmctl.model.urls import Place

MOST_REDIRECTS = 3
SILENCE_S = 30.0  # a server that says nothing for so long is given up
AT_ONCE = 1 << 20
REDIRECTS = (301, 302, 303, 307, 308)


class _Connected(http.client.HTTPConnection):
    """HTTP over a socket that is connected already, to the address that was judged."""

    def __init__(self, sock: socket.socket, server: str) -> None:
        super().__init__(server)
        self.sock = sock

    def connect(self) -> None:
        """It is; a second time there is no judged address."""
        raise Unreachable("the server ended the connection")


class Download:
    """A file that is read by one thread at a time. Who waits for that thread may `end` it, whatever it waits for."""

    def __init__(self, url: str, allowed: Iterable[str]) -> None:
        self.at, self._allowed = urls.asked_for(url), tuple(allowed)
        self.size_bytes = 0
        self._lock = threading.Lock()
        self.busy = self._ended = False
        self._sock: socket.socket | None = None  # that a thread may wait for
        self._open: list[socket.socket | http.client.HTTPConnection | http.client.HTTPResponse] = []

    def begin(self) -> None:
        """Ask for it, and for what it leads on to. Raises Usage, Refused, Unreachable."""
        asked = self.at
        with self._used():
            for _ in range(MOST_REDIRECTS + 1):
                connection = _connected(self.at, urls.entry_for(self.at, self._allowed), self._hold)
                self._open.append(connection)
                response = _asked(connection, self.at)
                self._open.append(response)
                if response.status not in REDIRECTS:
                    self.size_bytes = _length(response, self.at)
                    return
                self.at = urls.redirected(self.at, response.headers.get("Location", ""))
                self._close()
            raise Refused(f"{asked} leads on more than {MOST_REDIRECTS} times")

    def some(self, most: int) -> bytes:
        """The next bytes, as they come, at most so many; empty at the end. Raises Unreachable."""
        with self._used():
            response = self._open[-1]
            assert isinstance(response, http.client.HTTPResponse)
            try:
                return response.read1(min(most, AT_ONCE))
            except (OSError, http.client.HTTPException) as err:
                raise Unreachable(f"{self.at.server} broke off: {_cause(err)}", hint="give the command again") from err

    def end(self) -> None:
        """Let go of it. Nobody waits here: a thread that is at it is woken, and closes what is open."""
        with self._lock:
            self._ended = True
            if self.busy:
                self._wake()
            else:
                self._close()

    @contextlib.contextmanager
    def _used(self) -> Iterator[None]:
        with self._lock:
            if self._ended:
                raise Unreachable("the download was given up")
            self.busy = True
        try:
            yield
        finally:
            with self._lock:
                self.busy = False
                if self._ended:
                    self._close()

    def _hold(self, sock: socket.socket) -> None:
        with self._lock:
            self._sock = sock
            self._open.append(sock)
            if self._ended:
                self._wake()

    def _wake(self) -> None:
        if self._sock is not None:
            with contextlib.suppress(OSError):
                # Not that of the TLS layer, which a thread is inside of.
                socket.socket.shutdown(self._sock, socket.SHUT_RDWR)

    def _close(self) -> None:
        while self._open:
            self._open.pop().close()


def _connected(at: Place, allowed_by: Place, hold: Callable[[socket.socket], None]) -> http.client.HTTPConnection:
    try:
        found = socket.getaddrinfo(at.host, at.port, type=socket.SOCK_STREAM)
    except OSError as err:
        raise Unreachable(f"{at.host} is not known: {_cause(err)}") from err
    addresses = list(dict.fromkeys(str(one[4][0]) for one in found))
    for address in addresses:  # all of them: a name that leads inside as well is not what it seems
        urls.check_address(address, allowed_by)
    problem = ""
    for address in addresses:
        try:
            return _Connected(_spoken_to(at, address, hold), at.server)
        except ssl.SSLCertVerificationError as err:
            raise Refused(f"the certificate of {at.server} is not trusted: {err.verify_message}") from err
        except OSError as err:
            problem = problem or _cause(err)
    raise Unreachable(f"{at.server} cannot be reached: {problem}")


def _spoken_to(at: Place, address: str, hold: Callable[[socket.socket], None]) -> socket.socket:
    plain = socket.create_connection((address, at.port), SILENCE_S)
    hold(plain)
    if at.scheme == "http":
        return plain
    trusting = ssl.create_default_context()
    trusting.minimum_version = ssl.TLSVersion.TLSv1_2
    sock = trusting.wrap_socket(plain, server_hostname=at.host, do_handshake_on_connect=False)
    hold(sock)
    sock.do_handshake()
    return sock


def _asked(connection: http.client.HTTPConnection, at: Place) -> http.client.HTTPResponse:
    """The head of the answer. Identity: what is counted and summed is the file."""
    headers = {"Host": at.server, "Accept-Encoding": "identity", "User-Agent": f"vmctl/{__version__}"}
    try:
        connection.request("GET", at.target, headers=headers)
        response = connection.getresponse()
    except (OSError, http.client.HTTPException) as err:
        raise Unreachable(f"{at.server} does not answer: {_cause(err)}") from err
    if response.status != 200 and response.status not in REDIRECTS:
        response.close()
        raise Refused(f"{at} is not to be had: the server answers {response.status}")
    return response


def _length(response: http.client.HTTPResponse, at: Place) -> int:
    """How large it is. Raises Refused where the server does not say, or sends something else than the file."""
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise Refused(f"{at.server} sends {at.path} packed, which was not asked for")
    if response.length is None:
        raise Refused(f"{at.server} does not say how large {at.path} is")
    if not response.length:
        raise Refused(f"{at} is empty")
    return response.length


def _cause(err: Exception) -> str:
    if isinstance(err, TimeoutError):
        return f"nothing came for {SILENCE_S:g} s"
    if isinstance(err, http.client.HTTPException):  # in words of the server's own, which may be any
        return f"{type(err).__name__} {text.shown(str(err))}"
    return (err.strerror if isinstance(err, OSError) else "") or str(err) or type(err).__name__
