"""What a host's login shell is given: one line that any shell starts, and a script on its standard input. Pure.

No login shell reads a word of ours: bash, fish, csh or whatever it is sees LINE, and is /bin/sh from then on. What the
shell's rc files print before is told from what the script prints by a mark that nobody can know beforehand.
"""

from __future__ import annotations

import secrets

from vmctl.errors import Usage

LINE = "exec /bin/sh"
MOST_NOISE = 1 << 20  # bytes before the mark


def new_mark() -> str:
    """A word that no rc file prints."""
    return secrets.token_hex(8)


def script(command: str, mark: str) -> bytes:
    """The mark on both streams, then `command`, which must be one whole command and end in an `exec`.

    Nothing behind it is read as a script: what is sent after the mark has come back belongs to the command. The mark
    is written in two halves, so that a shell that repeats what it reads does not print it.
    """
    half = len(mark) // 2
    show = f"printf %s%s {mark[:half]} {mark[half:]}"
    try:
        return f"{show}; {show} >&2; {command}\n".encode()
    except UnicodeEncodeError as err:
        raise Usage("a command holds characters that are not text") from err


class Marked:
    """One stream: what precedes the mark is kept apart (its end, in `noise`), what follows is passed on."""

    def __init__(self, mark: str) -> None:
        self._mark = mark.encode()
        self._most = MOST_NOISE
        self.begun = False
        self.noise = b""

    def feed(self, data: bytes) -> bytes:
        """What of these bytes is the script's own. Raises ValueError where the noise has no end."""
        if self.begun:
            return data
        noise, mark, rest = (self.noise + data).partition(self._mark)
        self._most -= len(data)
        if mark:
            self.begun = True
        elif self._most < 0:
            raise ValueError("too much noise from its login shell")
        self.noise = noise[-300:]
        return rest
