"""Secrets in command lines. Pure. What a pattern finds in its group `secret`, or all it finds, becomes ***.

The command line of a process is open to every user of the guest, but the report leaves the guest.
"""

import re

MASK = "***"
NAMES = r"(?:pass(?:word|wd|phrase)?|pwd|secret|token|api[-_]?key|access[-_]?key|private[-_]?key|credentials?|auth)"
PATTERNS = (
    # --password=x, --db-password x, -Dspring.datasource.password=x, PASSWORD=x, "token: x"
    r"(?i)(?:^|[\s;&?,{\"'])[-/]{0,2}[\w.-]*" + NAMES + r"\b[\w.-]*[\"']?(?:\s*[=:]\s*|\s+)(?P<secret>[^\s,;&]+)",
    r"(?i)\b[a-z][a-z0-9+.-]*://[^\s/@:]*:(?P<secret>[^\s/@]+)@",  # https://user:secret@host
    r"(?i)\bauthorization:\s*(?:\w+\s+)?(?P<secret>\S+)",
    r"(?i)\bbearer\s+(?P<secret>\S+)",
    r"(?:^|\s)(?:mysql|mysqldump|mariadb|mysqladmin)\b[^\n]*?\s-p(?P<secret>\S+)",
    r"(?:^|\s)(?:curl|wget)\b[^\n]*?\s(?:-u|--user)[ =]?[^\s:]+:(?P<secret>\S+)",
    r"\b(?P<secret>(?:AKIA|ASIA)[A-Z0-9]{16}|gh[pousr]_[A-Za-z0-9]{36,}|eyJ[\w-]{8,}\.[\w-]+\.[\w-]*)",
)


class Masks:
    """The patterns, built in ones first. Raises `re.error` for one that cannot be read."""

    def __init__(self, more: "tuple[str, ...]" = ()) -> None:
        self._patterns = [re.compile(pattern) for pattern in PATTERNS + tuple(more)]

    def __call__(self, command: str) -> str:
        """The command line without its secrets."""
        for pattern in self._patterns:
            command = pattern.sub(_hide, command)
        return command


def _hide(found: "re.Match[str]") -> str:
    whole = found.group(0)
    if "secret" not in found.re.groupindex or found.group("secret") is None:
        return MASK
    start, end = (place - found.start() for place in found.span("secret"))
    return whole[:start] + MASK + whole[end:]
