"""The serial port to the host: virtio-serial where there is one, else the second emulated ISA port.

pyserial opens both. A virtio port has no line to set up (no speed, no modem lines), which pyserial takes for an error,
so four of its methods do nothing here. Reading and writing go to the file itself, which never waits: with no peer a
virtio port refuses (EAGAIN), and pyserial would spin on that.
"""

import errno
import os
import select

from guest_agent.waiting import UNPOLLED

MYPY = False
if MYPY:
    import serial

VIRTIO_PORT = "/dev/virtio-ports/org.vmctl.agent.0"
ISA_PORT = "/dev/ttyS1"
WINDOWS_PORT = "COM2"
SPEED = 115200
RETRY_FIRST_S, RETRY_MOST_S = 0.5, 10.0
VIRTIO, ISA, OTHER = "virtio", "isa", "other"
WOULD_WAIT = (errno.EAGAIN, errno.EWOULDBLOCK, errno.EINTR)


class PortLost(Exception):
    """The port is gone or cannot be opened."""


def candidates(chosen: str) -> "list[tuple[str, str]]":
    """(path, transport) in the order to try; a path from the config is the only one."""
    if chosen:
        transport = VIRTIO if "virtio" in chosen else ISA if "ttyS" in chosen or chosen.startswith("COM") else OTHER
        return [(chosen, transport)]
    if os.name == "nt":
        return [(WINDOWS_PORT, ISA)]
    return [(VIRTIO_PORT, VIRTIO), (ISA_PORT, ISA)]


def open_serial(path: str, transport: str) -> "serial.Serial":
    """An open pyserial port. Raises `PortLost`."""
    import serial  # only now: it takes memory, and most modules here do without

    class VirtioSerial(serial.Serial):
        """A serial port without a line."""

        def _reconfigure_port(self, force_update: bool = False) -> None:
            pass

        _reset_input_buffer = _update_dtr_state = _update_rts_state = _reconfigure_port

    kind = VirtioSerial if transport == VIRTIO else serial.Serial
    try:
        return kind(path, SPEED, timeout=0, write_timeout=0)
    except (serial.SerialException, OSError, ValueError) as err:
        raise PortLost(str(err)) from err


class Port:
    """The port, open or not. `transport` is of the one that is open."""

    def __init__(self, chosen: str = "") -> None:
        self._candidates = candidates(chosen)
        self._serial: serial.Serial | None = None
        self._retry_at = 0.0
        self._pause_s = RETRY_FIRST_S
        self.fd = -1
        self.path = ""
        self.transport = OTHER
        self.why = "not tried yet"

    @property
    def is_open(self) -> bool:
        """Whether there is one."""
        return self.fd >= 0

    @property
    def retry_at(self) -> float:
        """When to try again, while it is not open."""
        return self._retry_at

    def try_to_open(self, now: float) -> bool:
        """Open it if it is time to; whether it was opened just now."""
        if self.is_open or now < self._retry_at:
            return False
        for path, transport in self._candidates:
            if os.name != "nt" and not os.path.exists(path):
                self.why = f"{path} is not there"
                continue
            try:
                self._serial = open_serial(path, transport)
            except PortLost as err:
                self.why = str(err)
                continue
            self.fd = UNPOLLED if os.name == "nt" else self._serial.fileno()
            if os.name != "nt":
                os.set_blocking(self.fd, False)
            self.path, self.transport, self.why = path, transport, ""
            self._pause_s = RETRY_FIRST_S
            return True
        self._retry_at = now + self._pause_s
        self._pause_s = min(self._pause_s * 2, RETRY_MOST_S)
        return False

    def has_peer(self) -> bool:
        """Whether the host has it open. Only virtio can tell; others are taken to have."""
        if self.transport == ISA or self.fd == UNPOLLED:
            return True
        poll = select.poll()
        poll.register(self.fd, select.POLLOUT)
        return not any(events & select.POLLHUP for _, events in poll.poll(0))

    def is_stale(self) -> bool:
        """Whether the path now leads to another device, or nowhere."""
        if self.fd == UNPOLLED:
            return False
        try:
            return os.stat(self.path).st_rdev != os.fstat(self.fd).st_rdev
        except OSError:
            return True

    def read(self, most: int = 4096) -> bytes:
        """What has come, without waiting. Raises `PortLost`."""
        try:
            if self.fd == UNPOLLED and self._serial is not None:
                return bytes(self._serial.read(most))
            return os.read(self.fd, most)
        except OSError as err:
            if err.errno in WOULD_WAIT:
                return b""
            raise PortLost(str(err)) from err

    def write(self, data: "bytes | memoryview") -> int:
        """Write what is taken without waiting; how much. Raises `PortLost`."""
        try:
            if self.fd == UNPOLLED and self._serial is not None:
                return self._serial.write(bytes(data)) or 0
            return os.write(self.fd, data)
        except OSError as err:
            if err.errno in WOULD_WAIT:
                return 0
            raise PortLost(str(err)) from err

    def close(self, now: float) -> None:
        """Close it; it may be opened again after a pause."""
        if self._serial is not None:
            self._serial.close()
        self._serial, self.fd = None, -1
        self._retry_at = now + self._pause_s
