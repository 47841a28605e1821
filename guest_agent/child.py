"""A program that is run aside, so that the agent never waits for one. Only programs that the agent's own files name."""

import os
import signal

OUTPUT_MAX = 1 << 20


class Child:
    """A running program and what it has printed. `subprocess` would take 1.5 MB of memory more."""

    def __init__(self, words: "list[str]", deadline: float) -> None:
        """Start it; after `deadline` (of the clock given to `poll`) it is killed."""
        self._deadline = deadline
        self._output = b""
        self.code: int | None = None
        self.fd, write = os.pipe()
        os.set_blocking(self.fd, False)
        self._pid = os.fork()
        if self._pid == 0:
            _become(words, write)
        os.close(write)

    @property
    def text(self) -> str:
        """What it has printed, errors too."""
        return self._output.decode("utf-8", "replace")

    def poll(self, now: float) -> bool:
        """Take what it has printed; whether it has ended. `code` is then its exit code, -1 if it was killed."""
        if self.code is not None:
            return True
        try:
            chunk = os.read(self.fd, 65536)
            while chunk:
                self._output = (self._output + chunk)[:OUTPUT_MAX]
                chunk = os.read(self.fd, 65536)
        except BlockingIOError:
            if now < self._deadline:
                return False
            os.kill(self._pid, signal.SIGKILL)
        self._end()
        return True

    def _end(self) -> None:
        os.close(self.fd)
        _, status = os.waitpid(self._pid, 0)
        self.code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else -1


def _become(words: "list[str]", write: int) -> None:
    """In the child: the program, with nothing to read and its output in the pipe. Does not return."""
    try:
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.dup2(write, 1)
        os.dup2(write, 2)
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", "SYSTEMD_COLORS": "0"}
        os.execvpe(words[0], words, environment)
    except OSError:
        pass
    os._exit(127)
