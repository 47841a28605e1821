"""How far something is that a command itself does: no task of the controller's, and shown like one."""

from __future__ import annotations

import sys

from vmctl.cli import follow, output


class Bar:
    """A bar on a terminal, a line for each tenth elsewhere, nothing for a program."""

    def __init__(self, kind: str, subject: str, quiet: bool) -> None:
        self._kind, self._subject, self._quiet, self._tenth = kind, subject, quiet, 0
        self._screen = follow.Screen() if sys.stderr.isatty() and not quiet else None

    def show(self, percent: float, text: str) -> None:
        """So far it is."""
        state = {"kind": self._kind, "subject": self._subject, "progress": {"percent": percent, "text": text}}
        if self._screen is not None:
            self._screen.show([follow.bar(state)])
        elif not self._quiet and int(percent) // 10 != self._tenth:
            self._tenth = int(percent) // 10
            print(follow.bar(state), file=sys.stderr)

    def say(self, sentence: str) -> None:
        """Something that happened."""
        text = output.clean(sentence)
        self._screen.say(text) if self._screen is not None else print(text, file=sys.stderr)

    def end(self) -> None:
        """Take the bar away."""
        if self._screen is not None:
            self._screen.stop()
