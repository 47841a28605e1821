"""How a line of the controller's log is written: for people, or as JSON for a program."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime

from vmctl.local import logcontext


class TextLines(logging.Formatter):
    """A line for people; what it is about stands at its end."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The line, before the trace of an error."""
        about = " ".join(f"{kind}={which}" for kind, which in logcontext.now().items())
        line = super().formatMessage(record)
        return f"{line} [{about}]" if about else line


class JsonLines(logging.Formatter):
    """An object on one line, in ASCII: time in UTC, level, logger, message, and what it is about."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        told = {
            "time": at.replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **logcontext.now(),
        }
        if record.exc_info:
            told["error"] = self.formatException(record.exc_info)
        return json.dumps(told)
