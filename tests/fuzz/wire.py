"""Feed the decoder what a hostile guest might: python tests/fuzz/wire.py [-max_total_time=SECONDS] [CORPUS]

Coverage-guided by atheris (libFuzzer's options). The bytes are used twice: as they are, and inside a frame with a right
checksum, without which nothing would ever get past it. An exception or a buffer beyond the limit ends the run.
"""

from __future__ import annotations

import sys
import zlib
from pathlib import Path

import atheris  # type: ignore[import-not-found, import-untyped, unused-ignore]

sys.path.insert(0, str(Path(__file__).parents[2]))
with atheris.instrument_imports():
    from guest_agent import wire

LIMIT = 512


def check(data: bytes) -> None:
    """One input: the decoder neither raises nor keeps more than it may, and reads the next frame."""
    decoder = wire.Decoder(LIMIT, 3)
    framed = b'\x1e{"crc":"%08x",' % zlib.crc32(data) + data + b"\n"
    header = b'"v":1,"t":"full","n":1,"d":{' + data + b"}}"
    inside = b'\x1e{"crc":"%08x",' % zlib.crc32(header) + header + b"\n"
    for chunk in (data, framed, inside, data[: len(data) // 2]):
        decoder.feed(chunk)
        assert len(decoder._text) <= LIMIT
    after = decoder.feed(wire.encode("event", 9, {})[0])
    assert isinstance(after[-1], wire.Message) and after[-1].number == 9


if __name__ == "__main__":
    atheris.Setup(sys.argv, check)
    atheris.Fuzz()
