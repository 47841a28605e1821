"""Ask a TCP port or an HTTP path whether it answers, without ever waiting: the loop says when there is something to do.

`socket` is loaded by the first probe only: it takes memory that most guests need not spend.
"""

import errno
import os

READ, WRITE = 1, 4  # as in poll(2)
ANSWER_MAX = 4096


class Probe:
    """One attempt. `result` is (ok, why) once it is decided."""

    def __init__(self, host: str, port: int, path: "str | None", now: float, timeout_s: float) -> None:
        """Begin; a path asks for an HTTP status, None only for a connection. Plain HTTP, no names but numbers."""
        import socket

        self.result: tuple[bool, str] | None = None
        self._where = f"{host}:{port}" if ":" not in host else f"[{host}]:{port}"
        self._path = path
        self._deadline = now + timeout_s
        self._timeout_s = timeout_s
        self._answer = b""
        self._asked = False
        self._socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
        self._socket.setblocking(False)
        code = self._socket.connect_ex((host, port))
        if code not in (0, errno.EINPROGRESS, errno.EWOULDBLOCK, getattr(errno, "WSAEWOULDBLOCK", 0)):
            self._decide(False, f"{self._where}: {os.strerror(code)}")

    def fileno(self) -> int:
        """What to wait for, while there is no result."""
        return self._socket.fileno()

    @property
    def events(self) -> int:
        """For what."""
        return READ if self._asked else WRITE

    def step(self, now: float, ready: bool) -> None:
        """Go on if the socket is ready; give up at the deadline."""
        if self.result is not None:
            return
        try:
            if ready:
                self._go_on()
        except OSError as err:
            self._decide(False, f"{self._where}: {err.strerror or err}")
        if self.result is None and now >= self._deadline:
            self._decide(False, f"{self._where}: no answer within {self._timeout_s:g} s")

    def close(self) -> None:
        """Give up, with no result."""
        self._socket.close()

    def _go_on(self) -> None:
        if not self._asked:
            import socket

            code = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                raise OSError(code, os.strerror(code))
            if self._path is None:
                self._decide(True, f"{self._where} takes connections")
                return
            request = f"GET {self._path} HTTP/1.0\r\nHost: {self._where}\r\nUser-Agent: vmctl-agent\r\n\r\n"
            self._socket.send(request.encode("ascii", "replace"))  # a new connection takes this much at once
            self._asked = True
            return
        chunk = self._socket.recv(ANSWER_MAX)
        self._answer += chunk
        line, end, _ = self._answer.partition(b"\n")
        if end or not chunk or len(self._answer) >= ANSWER_MAX:
            self._decide(*judge(self._where + str(self._path), line))

    def _decide(self, ok: bool, why: str) -> None:
        self.result = (ok, why[:200])
        self._socket.close()


def judge(where: str, line: bytes) -> "tuple[bool, str]":
    """An HTTP status line: 2xx and 3xx are well."""
    words = line.split(None, 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit():
        return False, f"{where}: not an HTTP answer"
    status = int(words[1][:4])
    return 200 <= status < 400, f"{where}: status {status}"
