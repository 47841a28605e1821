"""Bodies that are bytes and no JSON: pieces of files, received only by who may send them, and in a set time."""

from __future__ import annotations

import asyncio

from starlette.requests import ClientDisconnect, Request

from vmctl.errors import Usage
from vmctl.model.uploads import MOST_PIECE

PIECE_LIMIT_S = 60.0


async def received(http: Request) -> bytes:
    """A piece, whole. Raises Usage for one that is too large, too slow, or that nobody sends to its end."""
    data = bytearray()
    try:
        async with asyncio.timeout(PIECE_LIMIT_S):
            async for chunk in http.stream():
                data += chunk
                if len(data) > MOST_PIECE:
                    raise Usage(f"a piece is too large: at most {MOST_PIECE >> 20} MiB")
    except TimeoutError:
        raise Usage(f"the piece did not arrive within {PIECE_LIMIT_S:g} s") from None
    except ClientDisconnect:
        raise Usage("the piece was not sent to its end") from None
    return bytes(data)
