"""Messages between a guest's agent and the controller: bytes in, messages out. Pure; used by both ends.

The stream is a JSON text sequence (RFC 7464): each frame is 0x1E, one JSON text in ASCII, 0x0A. The text is

    {"crc":"1a2b3c4d","v":1,"t":"full","n":17,"d":{...}}

`crc` always comes first. It is the CRC32 (8 lower-case hexadecimal digits) of the bytes as sent from "v" up to the last
brace, both included: neither end ever writes a text again to check it, and header and body are both covered. `v` is the
version, `t` the type, `n` the sender's sequence number, one more with every message, `d` the body. A body that is too
long for a frame is spread over several, which share `n` and add "part":1,"of":3 before "d"; each part is a body by
itself: lists go on in the next part, every other value is in one of them.

A receiver that sees `n` jump has lost something; what to do then is its own affair (the controller asks for a full
picture).
"""

import json
import re
import zlib
from collections.abc import Iterator

VERSION = 1
FRAME_LIMIT = 64 * 1024  # bytes of a frame's JSON text
PARTS_LIMIT = 32  # frames of one message: 2 MiB
DEPTH_LIMIT = 8  # brackets within brackets, the frame's own among them
NUMBER_LIMIT = 2**63

# agent -> host
HELLO = "hello"  # both ways: who is there
FULL = "full"  # everything
DELTA = "delta"  # what changed since the message before
EVENT = "event"  # something happened just now
BYE = "bye"  # the agent ends
# host -> agent
WANT = "want"  # another period, or a full picture

BEGIN, END = b"\x1e", b"\n"
HEAD = b'{"crc":"%s",'
HEAD_LENGTH = len(HEAD % b"00000000")
ENVELOPE = 160  # more bytes than all of a frame but its body ever takes
TYPE = re.compile(r"[a-z]{1,16}\Z")
STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"')
ONE_BRACKET = bytes.maketrans(b"{}", b"[]")
NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


class Message:
    """One whole message. The body is JSON as the sender made it: nothing in it has been checked but its depth,
    that its numbers are finite and below 2**63, and that its strings can be written as UTF-8."""

    __slots__ = ("body", "number", "type")

    def __init__(self, type: str, number: int, body: "dict[str, object]") -> None:
        self.type = type
        self.number = number
        self.body = body

    def __eq__(self, other: object) -> bool:
        mine = (self.type, self.number, self.body)
        return isinstance(other, Message) and mine == (other.type, other.number, other.body)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Message({self.type!r}, {self.number}, {self.body!r})"


class Damage:
    """Bytes that are not a message: why, and how many were lost."""

    __slots__ = ("reason", "size")

    def __init__(self, reason: str, size: int) -> None:
        self.reason = reason
        self.size = size

    def __repr__(self) -> str:
        return f"Damage({self.reason!r}, {self.size})"


class EncodingError(ValueError):
    """A text that is no frame, or a body that cannot be sent."""


# -- writing


def encode(type: str, number: int, body: "dict[str, object]", limit: int = FRAME_LIMIT) -> "list[bytes]":
    """The frames of one message. Raises `EncodingError` if a single value of the body is longer than `limit` bytes."""
    if not TYPE.match(type):
        raise EncodingError(f"not a type: {type!r}")
    parts = [_text(body)]
    if len(parts[0]) > limit - ENVELOPE:
        parts = [_text(part) for part in _split(body, limit - ENVELOPE)]
    return [_frame(type, number, index + 1, len(parts), part) for index, part in enumerate(parts)]


def _text(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode("ascii")


def _frame(type: str, number: int, part: int, parts: int, body: bytes) -> bytes:
    share = b'"part":%d,"of":%d,' % (part, parts) if parts > 1 else b""
    rest = b'"v":%d,"t":"%s","n":%d,%s"d":%s}' % (VERSION, type.encode("ascii"), number, share, body)
    return BEGIN + HEAD % _checksum(rest) + rest + END


def _checksum(data: "bytes | memoryview") -> bytes:
    return b"%08x" % (zlib.crc32(data) & 0xFFFFFFFF)


def _split(body: "dict[str, object]", limit: int) -> "Iterator[dict[str, object]]":
    """Bodies that fit: lists are cut between their items, other values stay whole."""
    part: dict[str, object] = {}
    room = limit - 2
    for key, value in body.items():
        name = len(_text(key)) + len(":[],")
        for item in value if isinstance(value, list) and value else [value]:
            need = len(_text(item)) + 1 + (0 if key in part else name)
            if need > room and part:
                yield part
                part, room = {}, limit - 2
                need = len(_text(item)) + 1 + name
            if need > room:
                raise EncodingError(f"{key!r} has a value of more than {limit} bytes")
            room -= need
            if isinstance(value, list) and value:
                part.setdefault(key, []).append(item)  # type: ignore[attr-defined]
            else:
                part[key] = item
    yield part


# -- reading


class Decoder:
    """Takes the stream as it comes and gives what is in it. It never raises, whatever it is fed, and holds no more than
    one frame of `max_bytes` and one unfinished message of `max_parts` frames. After damage it goes on with the next
    0x1E."""

    def __init__(self, max_bytes: int = FRAME_LIMIT, max_parts: int = PARTS_LIMIT) -> None:
        self._max_bytes = max_bytes
        self._max_parts = max_parts
        self._text = bytearray()  # of the frame that has begun
        self._inside = False
        self._whole: Message | None = None
        self._parts = (0, 0)  # how many of how many are in `_whole`

    def feed(self, data: bytes) -> "list[Message | Damage]":
        """What is complete with these bytes, in order. Damage that directly follows damage is added to it."""
        found: list[Message | Damage] = []
        for index, piece in enumerate(data.split(BEGIN)):
            if index:
                if self._text:
                    self._lost(found, "a frame is cut short", len(self._text))
                self._inside = True
            if self._inside:
                self._inner(found, piece)
            elif piece:
                self._outer(found, piece)
        return found

    def _inner(self, found: "list[Message | Damage]", piece: bytes) -> None:
        end = piece.find(END)
        size = end if end >= 0 else len(piece)
        if len(self._text) + size > self._max_bytes:
            self._inside = False
            self._lost(found, f"a frame is longer than {self._max_bytes} bytes", len(self._text) + len(piece))
            return
        self._text += piece[:size]
        if end >= 0:
            self._inside = False
            self._complete(found)
            self._outer(found, piece[end + 1 :])

    def _outer(self, found: "list[Message | Damage]", piece: bytes) -> None:
        if piece.strip():
            self._lost(found, "bytes between frames", len(piece))

    def _lost(self, found: "list[Message | Damage]", reason: str, size: int) -> None:
        self._text = bytearray()
        if found and isinstance(found[-1], Damage):
            found[-1].size += size
        else:
            found.append(Damage(reason, size))

    def _complete(self, found: "list[Message | Damage]") -> None:
        text = bytes(self._text)
        try:
            message, part, parts = _read(text)
            if parts > self._max_parts:
                raise EncodingError(f"a message of {parts} parts")
        except EncodingError as err:
            self._lost(found, str(err), len(text))
            return
        self._text = bytearray()
        if self._whole is not None and not self._goes_on(message, part, parts):
            self._whole = None
            self._lost(found, "parts of a message are missing", 0)
        self._join(found, message, part, parts)

    def _goes_on(self, message: Message, part: int, parts: int) -> bool:
        whole = self._whole
        same = whole is not None and (whole.type, whole.number) == (message.type, message.number)
        return same and (part - 1, parts) == self._parts

    def _join(self, found: "list[Message | Damage]", message: Message, part: int, parts: int) -> None:
        if part == 1:
            self._whole = message
        elif self._whole is not None:
            _extend(self._whole.body, message.body)
        else:
            self._lost(found, "parts of a message are missing", 0)
            return
        self._parts = (part, parts)
        if part == parts:
            whole, self._whole = self._whole, None
            found.append(whole)


def _extend(whole: "dict[str, object]", part: "dict[str, object]") -> None:
    for key, value in part.items():
        before = whole.get(key)
        if isinstance(before, list) and isinstance(value, list):
            before.extend(value)
        else:
            whole[key] = value


def _read(text: bytes) -> "tuple[Message, int, int]":
    """A frame's message, which part of it this is, and of how many. Raises `EncodingError`."""
    if text[:HEAD_LENGTH] != HEAD % _checksum(memoryview(text)[HEAD_LENGTH:]):
        raise EncodingError("the checksum is wrong")
    frame = _parse(text)
    version, type, number, body = (frame.get(key) for key in ("v", "t", "n", "d"))
    if version != VERSION:
        raise EncodingError(f"version {str(version)[:20]} of the format is not known")
    part, parts = frame.get("part", 1), frame.get("of", 1)
    if not (isinstance(type, str) and TYPE.match(type) and isinstance(body, dict)):
        raise EncodingError("a frame without a type or a body")
    if not (_counts(number) and _counts(part) and _counts(parts) and 1 <= part <= parts):  # type: ignore[operator]
        raise EncodingError("a frame without a sequence number")
    return Message(type, number, body), part, parts  # type: ignore[arg-type, return-value]


def _counts(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _parse(text: bytes) -> "dict[str, object]":
    try:
        # the length of the text bounds what this makes; the checks before and in it bound how long it takes
        frame = json.loads(text.decode("ascii"), parse_constant=_refuse, parse_float=_finite, parse_int=_whole)
    except RecursionError:
        raise EncodingError("brackets are too deep") from None
    except ValueError as err:
        raise EncodingError(f"not JSON: {str(err)[:80]}") from None
    if _is_deep(text):
        raise EncodingError("brackets are too deep")
    if b"\\ud" in text.lower() and not _can_be_written(frame):
        raise EncodingError("half a character")
    if not isinstance(frame, dict):
        raise EncodingError("not an object")
    return frame


def _refuse(name: str) -> "object":
    raise ValueError(f"{name} is not a number")


def _finite(digits: str) -> float:
    value = float(digits)
    if value - value != 0:  # infinite: 1e999
        raise ValueError("a number is too large")
    return value


def _whole(digits: str) -> int:
    value = int(digits) if len(digits) <= 20 else NUMBER_LIMIT  # long ones take time that grows with their square
    if not -NUMBER_LIMIT < value < NUMBER_LIMIT:
        raise ValueError("a number is too large")
    return value


def _is_deep(text: bytes) -> bool:
    """Whether a valid JSON text has more than DEPTH_LIMIT brackets within each other: a round takes the innermost."""
    brackets = STRING.sub(b"", text).translate(ONE_BRACKET, NOT_BRACKETS)
    for _ in range(DEPTH_LIMIT):
        brackets = brackets.replace(b"[]", b"")
    return bool(brackets)


def _can_be_written(value: object) -> bool:
    """Whether all strings are whole: JSON can name half of a surrogate pair, which no UTF-8 can hold."""
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
