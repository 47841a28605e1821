"""Bytes into a libvirt stream."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any

Pieces = Iterable[bytes | int]  # bytes, or the length of a hole
MOST_AT_ONCE = 256 * 1024


def send_all(stream: Any, data: bytes) -> None:
    """Send everything; blocking."""
    view = memoryview(data)
    while view:
        sent = stream.send(bytes(view[:MOST_AT_ONCE]))
        if sent < 0:
            threading.Event().wait(0.01)  # a full pipe on a non-blocking stream
            continue
        view = view[sent:]


def send_pieces(stream: Any, pieces: Pieces) -> None:
    """Send bytes, and holes where the stream is a sparse one; blocking."""
    for piece in pieces:
        if isinstance(piece, bytes):
            send_all(stream, piece)
        else:
            stream.sendHole(piece)
