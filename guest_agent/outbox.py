"""What waits to be written to the port: one message at most, so that a host that does not read costs nothing."""

from collections.abc import Callable


class Outbox:
    """One message on its way."""

    def __init__(self) -> None:
        self._data = b""
        self._done = 0
        self.dropped = False  # something did not go out: the host needs a full picture

    @property
    def is_empty(self) -> bool:
        """Whether the next message may come."""
        return not self._data

    def put(self, data: bytes) -> bool:
        """Take a message to write. It replaces one that is not started; returns False, and drops it, if one is half
        written. Either way something is missing then, and `dropped` says so."""
        if self._data:
            self.dropped = True
            if self._done:
                return False
        self._data, self._done = data, 0
        return True

    def write(self, write: "Callable[[memoryview], int]") -> bool:
        """Write as much as `write(bytes) -> int` takes without waiting. Whether anything went out."""
        begun = self._done
        while self._data:
            count = write(memoryview(self._data)[self._done :])
            if not count:
                return self._done > begun
            self._done += count
            if self._done == len(self._data):
                self._data, self._done = b"", 0
                return True
        return False

    def clear(self) -> None:
        """The port is gone, and with it whoever has read the first half."""
        self.dropped = self.dropped or bool(self._data)
        self._data, self._done = b"", 0
