"""Who is known, read once and again after each change: a request is judged from memory.

A password is hashed in a thread, with argon2id. A token's secret has 256 random bits, so that a plain SHA-256 of it is
kept, and compared in constant time.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import re
from dataclasses import replace
from functools import cache

import argon2

from vmctl.decide import access as rules
from vmctl.errors import TooManyRequests
from vmctl.model.access import Access, Token, User, user
from vmctl.model.rights import Principal
from vmctl.ports import Parts
from vmctl.ports.store import Store
from vmctl.services.rates import Rates

SECRET_BYTES, ID_BYTES = 32, 6
PREFIX = "vmctl"  # of tokens: who finds one somewhere knows what it opens
TOKEN = re.compile(rf"{PREFIX}_([0-9a-f]{{{2 * ID_BYTES}}})_([A-Za-z0-9_-]{{43}})")
HASHER = argon2.PasswordHasher(time_cost=2, memory_cost=64 * 1024, parallelism=1)


class Known:
    """Everybody, as the registry has them."""

    def __init__(self, store: Store, parts: Parts, requests_per_s: float) -> None:
        self._store, self._parts = store, parts
        self.access = Access()
        self._principals: dict[str, Principal] = {}  # token's id -> who stands behind it, as of `access`
        self.rates = Rates(requests_per_s)
        self._reading = asyncio.Lock()

    async def refresh(self) -> None:
        """Read all of it again.

        One after the other: a reading that began earlier and ended later would bring back what was revoked meanwhile.
        """
        async with self._reading:
            self.access, self._principals = await self._store.access(), {}
            self.rates.keep({*self.access.tokens, *self.access.limits})

    def asks(self, text: str) -> Principal | None:
        """Who asks by a token; None where nobody does. Raises TooManyRequests."""
        who = self.by_token(text)
        if who is not None:
            self._count(who.token, who.name)
            self.count_of(user(who.name), who.name)
        return who

    def count_of(self, of: str, name: str) -> None:
        """Count a request of a user or a project that may send so many. Raises TooManyRequests."""
        limit = self.access.limits.get(of)
        if limit is not None and limit.requests_per_s is not None:
            self._count(of, name, limit.requests_per_s)

    def _count(self, of: str, name: str, per_s: float | None = None) -> None:
        if wait_s := self.rates.take(of, self._parts.clock.monotonic(), per_s):
            raise TooManyRequests(f"{name} asks too often", hint=f"ask again in {wait_s:.2f} s")

    def by_token(self, text: str) -> Principal | None:
        """Who stands behind a token; None where nobody does, any more."""
        found = TOKEN.fullmatch(text)
        token = self.access.tokens.get(found[1]) if found else None
        if found is None or token is None or not hmac.compare_digest(token.hash, hash_of(found[2])):
            return None
        if not self.holds(token.id):
            return None
        return self._principal(token)

    def now(self, who: Principal) -> Principal:
        """The same one with what he may do by now, where he asks by a token."""
        token = self.access.tokens.get(who.token)
        return who if token is None else replace(self._principal(token), where=who.where)

    def _principal(self, token: Token) -> Principal:
        if token.id not in self._principals:
            self._principals[token.id] = rules.principal(self.access, token.user, token)
        return self._principals[token.id]

    def holds(self, token: str) -> bool:
        """Whether a token opens anything now: it is kept, has not expired, and its owner may log in."""
        kept = self.access.tokens.get(token)
        owner = self.access.users.get(kept.user) if kept is not None else None
        return kept is not None and owner is not None and not owner.disabled and self._now() < kept.expires_at

    async def by_password(self, name: str, password: str) -> User | None:
        """The user of that name and password."""
        found = self.access.users.get(name)
        right = await self._parts.threads.run(_verify, found.password if found is not None else "", password)
        return found if right and found is not None and found.password and not found.disabled else None

    async def hash_password(self, password: str) -> str:
        """What is kept of it."""
        hashed: str = await self._parts.threads.run(HASHER.hash, password)
        return hashed

    def new_token(self, owner: str, expires_s: float, about: str, role: str, scope: str) -> tuple[Token, str]:
        """A token, and the text that stands for it, which is kept nowhere."""
        number = self._parts.ids.noise(ID_BYTES).hex()
        secret = base64.urlsafe_b64encode(self._parts.ids.noise(SECRET_BYTES)).rstrip(b"=").decode()
        now = self._now()
        kept = Token(number, owner, hash_of(secret), now, now + expires_s, about, role, scope)
        return kept, f"{PREFIX}_{number}_{secret}"

    def _now(self) -> float:
        return self._parts.clock.now()


def hash_of(secret: str) -> str:
    """What is kept of a token's secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


@cache
def _nobodys() -> str:
    """Of no password: who is not known, or has none, takes as long as who is."""
    return HASHER.hash("nobody has this password")


def _verify(kept: str, password: str) -> bool:
    try:
        return bool(HASHER.verify(kept or _nobodys(), password))
    except argon2.exceptions.Argon2Error:
        return False
