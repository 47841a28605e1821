"""How another machine's controller is let into hosts: by an invitation, and then by a key of its own. Pure."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from dataclasses import dataclass, field

from vmctl.errors import Usage

TOKEN = "vmctl-join-"  # how it begins, so that who finds one knows what it is
TAG = "vmctl-controller-"  # how the comment of a controller's line in authorized_keys begins; its home follows


@dataclass(frozen=True, slots=True)
class Invitation:
    """Of one controller, once. Only the hash of its secret is kept."""

    hash: str
    made_by: str
    until: float  # UTC seconds, by the clock of whoever made it


@dataclass(frozen=True, slots=True)
class ControllerKey:
    """The SSH key of a controller that has joined: whoever leads puts it on the hosts."""

    home: str  # as of `Replica`
    name: str
    key: str  # a line of authorized_keys; empty: it was removed, and may join again
    joined_at: float
    hosts: list[str] = field(default_factory=list)  # on which it was put

    @property
    def removed(self) -> bool:
        """Whether it is let into no host any more, and begins no more life."""
        return not self.key


@dataclass(frozen=True, slots=True)
class JoinToken:
    """What is carried to the new machine: where the registry is, maybe with a password, and the secret."""

    dsn: str
    secret: str

    @property
    def hash(self) -> str:
        """By which the registry knows the secret."""
        return hashlib.sha256(self.secret.encode()).hexdigest()

    def __str__(self) -> str:
        told = json.dumps({"database": self.dsn, "secret": self.secret}).encode()
        return TOKEN + base64.urlsafe_b64encode(told).decode().rstrip("=")


def read_token(text: str) -> JoinToken:
    """A token as somebody gave it. Raises Usage."""
    hint = "vmctl controller invite, on a machine whose controller has joined"
    if not text.startswith(TOKEN):
        raise Usage("that is no token of an invitation", hint=hint)
    body = text.removeprefix(TOKEN)
    try:
        found = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        return JoinToken(str(found["database"]), str(found["secret"]))
    except (binascii.Error, ValueError, KeyError, TypeError) as err:
        raise Usage("that token is not whole", hint=f"copy all of it; or another one: {hint}") from err


def line(key: ControllerKey) -> str:
    """The line that lets it in."""
    kind, body = key.key.split()[:2]
    return f"{kind} {body} {TAG}{key.home}"
