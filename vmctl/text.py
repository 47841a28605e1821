"""What text from outside may be: names, labels, and text in general. Pure.

Checked at the door, on both sides of it: what has come in is printed, written into XML and file names, and read back by
every list of things.
"""

from __future__ import annotations

import re

NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
UUID = re.compile(r"[0-9a-f]{8}(-?[0-9a-f]{4}){3}-?[0-9a-f]{12}", re.IGNORECASE)
KEY = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._/-]{0,61}[A-Za-z0-9])?")
LOGIN = re.compile(r"[a-z_][a-z0-9_.-]{0,31}")
HOSTS = re.compile(r"[A-Za-z0-9._*?-]{1,63}")
MOST_TEXT, MOST_PART, MOST_VALUE, MOST_LABELS = 4096, 255, 255, 64


def bad_name(name: str) -> str | None:
    """Why a name for a VM, host, image or storage cannot be taken; None when it can."""
    if UUID.fullmatch(name):
        return f"{shown(name)} has the form of a UUID, and would be taken for one"
    if NAME.fullmatch(name):
        return None
    allowed = "1 to 63 letters, digits, '.', '_' or '-', beginning and ending with a letter or digit"
    return f"{shown(name)} is not a name: {allowed}"


def bad_login(login: str) -> str | None:
    """Why something is no log-in of hosts: LOGIN@HOSTS, of which the hosts may have * and ?."""
    name, at, hosts = login.partition("@")
    if not (LOGIN.fullmatch(name) and at and HOSTS.fullmatch(hosts)):
        return f"{shown(login)} is not LOGIN@HOSTS, such as anna@kvm1 or anna@kvm*"
    return "root is nobody's log-in: it is the pool's own" if name == "root" else None


def bad_text(text: str, most: int = MOST_TEXT) -> str | None:
    """Why text from outside is not taken: it is not Unicode, would move a cursor, or is too long."""
    if len(text) > most:
        return f"{len(text)} characters are too many: at most {most}"
    if bad_unicode(text):
        return f"{shown(text)} is not UTF-8"
    if any(c < " " or "\x7f" <= c <= "\x9f" or c in "\u2028\u2029\ufeff" for c in text):
        return f"{shown(text)} has control characters"
    return None


def bad_part(text: str) -> str | None:
    """Why text cannot stand for a thing in a path: names that others gave may be odd, but hold no slash."""
    if text in ("", ".", ".."):
        return f"{shown(text)} is not a name"
    if "/" in text:
        return f"{shown(text)} is not a name: there is a slash in it"
    return bad_text(text, MOST_PART)


def bad_labels(labels: dict[str, str]) -> str | None:
    """Why labels cannot be taken."""
    if len(labels) > MOST_LABELS:
        return f"{len(labels)} labels are too many: at most {MOST_LABELS}"
    for key, value in labels.items():
        if not KEY.fullmatch(key):
            allowed = "1 to 63 letters, digits, '.', '_', '/' or '-', beginning and ending with a letter or digit"
            return f"{shown(key)} is not the key of a label: {allowed}"
        if problem := bad_text(value, MOST_VALUE):
            return f"label {key}: {problem}"
    return None


def shown(text: str) -> str:
    """Text that may be anything, for a sentence: quoted, on one line, and no longer than a line."""
    quoted = ascii(text) if bad_unicode(text) else repr(text)
    return quoted if len(quoted) <= 80 else f"{quoted[:76]}...{quoted[-1]}"


def in_few_words(text: str, most: int = 40) -> str:
    """Text that may be anything on one line, cut where it is long."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= most else f"{line[: most - 3]}..."


def field(name: str | int) -> str:
    """The name of a field, for a sentence; it comes from outside, too."""
    return name if isinstance(name, str) and name.isascii() and name.isidentifier() else shown(str(name))


def bad_unicode(text: str) -> bool:
    """Whether it cannot be written as UTF-8."""
    return any("\ud800" <= c <= "\udfff" for c in text)
