"""A file of another server, over https: only from where the allow-list says, at the address that was looked at.

A name is resolved once, every address that it has is judged, and the connection goes to one of these. A redirect is
followed to where the allow-list leads, too, and judged in the same way. All of it blocks: it is called in a thread.
"""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Iterable

from vmctl import __version__
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
    """A file that is being read."""

    def __init__(self, connection: http.client.HTTPConnection, response: http.client.HTTPResponse, at: Place) -> None:
        self._connection, self._response, self.at = connection, response, at
        self.size_bytes = _length(response, at)

    def some(self, most: int) -> bytes:
        """The next bytes, as they come, at most so many; empty at the end. Raises Unreachable."""
        try:
            return self._response.read1(min(most, AT_ONCE))
        except (OSError, http.client.HTTPException) as err:
            raise Unreachable(f"{self.at.server} broke off: {_cause(err)}", hint="give the command again") from err

    def close(self) -> None:
        """Let go of it."""
        self._response.close()
        self._connection.close()


def opened(url: str, allowed: Iterable[str]) -> Download:
    """Begin to read what is there. Raises Usage, Refused, Unreachable."""
    at, allowed = urls.asked_for(url), tuple(allowed)
    for _ in range(MOST_REDIRECTS + 1):
        connection = _connected(at, urls.entry_for(at, allowed))
        try:
            response = _asked(connection, at)
            if response.status not in REDIRECTS:
                return Download(connection, response, at)
            at = urls.redirected(at, response.headers.get("Location", ""))
        except BaseException:
            connection.close()
            raise
        connection.close()
    raise Refused(f"{url} leads on more than {MOST_REDIRECTS} times")


def _connected(at: Place, allowed_by: Place) -> http.client.HTTPConnection:
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
            return _Connected(_spoken_to(at, address), at.server)
        except ssl.SSLCertVerificationError as err:
            raise Refused(f"the certificate of {at.server} is not trusted: {err.verify_message}") from err
        except OSError as err:
            problem = problem or _cause(err)
    raise Unreachable(f"{at.server} cannot be reached: {problem}")


def _spoken_to(at: Place, address: str) -> socket.socket:
    plain = socket.create_connection((address, at.port), SILENCE_S)
    if at.scheme == "http":
        return plain
    trusting = ssl.create_default_context()
    trusting.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        return trusting.wrap_socket(plain, server_hostname=at.host)
    except BaseException:
        plain.close()
        raise


def _asked(connection: http.client.HTTPConnection, at: Place) -> http.client.HTTPResponse:
    """The head of the answer. Identity: what is counted and summed is the file."""
    headers = {"Host": at.server, "Accept-Encoding": "identity", "User-Agent": f"vmctl/{__version__}"}
    try:
        connection.request("GET", at.target, headers=headers)
        response = connection.getresponse()
    except (OSError, http.client.HTTPException) as err:
        raise Unreachable(f"{at.server} does not answer: {_cause(err)}") from err
    if response.status != 200 and response.status not in REDIRECTS:
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
    return (err.strerror if isinstance(err, OSError) else "") or str(err) or type(err).__name__
