"""Bytes into a libvirt stream."""

from __future__ import annotations

import threading
from typing import Any


def send_all(stream: Any, data: bytes) -> None:
    """Send everything; blocking."""
    view = memoryview(data)
    while view:
        sent = stream.send(bytes(view))
        if sent < 0:
            threading.Event().wait(0.01)  # a full pipe on a non-blocking stream
            continue
        view = view[sent:]
