"""Small files, read whole, never raising: what is not there is empty."""

import os


def read(path: str, most: int = 1 << 20) -> str:
    """A small file's text; empty if it cannot be read."""
    try:
        fd = os.open(path, os.O_RDONLY)
    except OSError:
        return ""
    try:
        chunks = []
        while most > 0:
            chunk = os.read(fd, min(most, 65536))
            if not chunk:
                break
            chunks.append(chunk)
            most -= len(chunk)
        return b"".join(chunks).decode("utf-8", "replace")
    except OSError:
        return ""
    finally:
        os.close(fd)
