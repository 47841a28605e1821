"""The wire format: whatever comes in, a decoder gives what is whole, says what is not, and goes on."""

from __future__ import annotations

import itertools
import json
import zlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guest_agent import wire
from guest_agent.wire import Damage, Decoder, EncodingError, Message, encode

CHARACTERS = st.characters(codec="utf-8")
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63) + 1, 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(CHARACTERS, max_size=20)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(CHARACTERS), inner, max_size=4),
    max_leaves=8,
).filter(lambda value: depth(value) <= wire.DEPTH_LIMIT - 2)
BODIES = st.dictionaries(st.text(CHARACTERS, max_size=10), VALUES, max_size=5)
MESSAGES = st.builds(Message, st.sampled_from(["hello", "full", "delta", "event"]), st.integers(0, 2**53), BODIES)


def depth(value: object) -> int:
    """Brackets within brackets."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(depth, inner), default=0)


def stream(messages: list[Message]) -> bytes:
    """Messages as they go over the wire."""
    return b"".join(b"".join(encode(one.type, one.number, one.body)) for one in messages)


def frame(rest: str | bytes) -> bytes:
    """A frame with a right checksum around anything."""
    text = rest.encode() if isinstance(rest, str) else rest
    return b'\x1e{"crc":"%08x",' % zlib.crc32(text) + text + b"\n"


def whole(found: list[Message | Damage]) -> list[Message]:
    return [one for one in found if isinstance(one, Message)]


def test_a_frame_is_one_readable_json_text() -> None:
    (one,) = encode("full", 17, {"os": {"load": [0.5, 1, 2]}, "é": "\x1e\n"})
    assert one[:1] == b"\x1e" and one[-1:] == b"\n" and b"\n" not in one[:-1] and b"\x1e" not in one[1:]
    text = json.loads(one[1:])
    assert list(text) == ["crc", "v", "t", "n", "d"]
    covered = one[one.index(b'"v"') : -1]
    assert text["crc"] == f"{zlib.crc32(covered):08x}"


@given(st.lists(MESSAGES, max_size=5), st.lists(st.integers(0, 10_000), max_size=10))
def test_any_split_of_the_bytes_gives_the_same_messages(messages: list[Message], cuts: list[int]) -> None:
    data = stream(messages)
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    decoder = Decoder()
    found = [one for start, end in itertools.pairwise(places) for one in decoder.feed(data[start:end])]
    assert found == messages


@given(MESSAGES, MESSAGES, st.binary(max_size=50).filter(lambda noise: noise.strip() != b""))
def test_garbage_between_frames_costs_no_frame(one: Message, other: Message, noise: bytes) -> None:
    found = Decoder().feed(stream([one]) + noise + stream([other]))
    assert whole(found) == [one, other]
    assert any(isinstance(item, Damage) for item in found) or noise.replace(b"\x1e", b"").strip() == b""


@given(MESSAGES, MESSAGES, st.data())
def test_a_byte_that_changed_is_noticed_and_the_next_frame_is_read(one: Message, other: Message, data: Any) -> None:
    text = bytearray(stream([one]))
    place = data.draw(st.integers(0, len(text) - 1))
    text[place] ^= data.draw(st.integers(1, 255))
    after = Message("event", 7, {"after": True})
    found = Decoder().feed(bytes(text) + b"\n" + stream([other, after]))
    assert whole(found) == [other, after]


@given(MESSAGES, st.data())
def test_a_frame_cut_anywhere_is_not_taken_for_one(one: Message, data: Any) -> None:
    text = stream([one])
    end = data.draw(st.integers(0, len(text) - 1))
    decoder, after = Decoder(), Message("event", 7, {})
    assert whole(decoder.feed(text[:end])) == []
    assert whole(decoder.feed(stream([after]))) == [after]


@given(st.lists(st.binary(max_size=300) | st.sampled_from([b"\x1e", b"\n", b'\x1e{"crc":"', b"\\ud800", b"[" * 200])))
def test_it_never_raises_and_holds_no_more_than_a_frame(chunks: list[bytes]) -> None:
    decoder = Decoder(max_bytes=256, max_parts=2)
    for chunk in chunks:
        found = decoder.feed(chunk)
        assert len(found) <= len(chunk) + 1
        assert len(decoder._text) <= 256
        neighbours = itertools.pairwise(found)
        assert not any(isinstance(a, Damage) and isinstance(b, Damage) for a, b in neighbours)


def test_an_endless_line_is_dropped_at_the_limit() -> None:
    decoder = Decoder()
    assert decoder.feed(b"\x1e") == []
    lost = 0
    for _ in range(1000):
        lost += sum(one.size for one in decoder.feed(b"x" * 10_000) if isinstance(one, Damage))
        assert len(decoder._text) <= wire.FRAME_LIMIT
    assert lost == 10_000_000
    after = Message("bye", 1, {})
    assert whole(decoder.feed(stream([after]))) == [after]


@given(st.lists(st.dictionaries(st.text(CHARACTERS, max_size=5), SCALARS, max_size=4), max_size=60), BODIES)
@settings(max_examples=50)
def test_a_long_body_is_spread_over_frames_that_fit(records: list[dict[str, object]], rest: dict[str, object]) -> None:
    body = {**rest, "processes": records, "empty": []}
    try:
        frames = encode("full", 3, body, limit=900)
    except EncodingError:
        return  # a single value is too long
    assert all(len(one) - 2 <= 900 for one in frames)
    assert all(isinstance(json.loads(one[1:])["d"], dict) for one in frames)
    found = Decoder(max_bytes=900).feed(b"".join(frames)) if len(frames) <= wire.PARTS_LIMIT else None
    if found is not None:
        assert found == [Message("full", 3, body)]


def test_a_missing_part_loses_the_message_and_no_other() -> None:
    frames = encode("full", 3, {"processes": ["x" * 50] * 20}, limit=400)
    assert len(frames) > 3
    after = Message("delta", 4, {})
    for missing in range(len(frames)):
        rest = b"".join(one for index, one in enumerate(frames) if index != missing)
        found = Decoder().feed(rest + stream([after]))
        assert whole(found) == [after]
        assert any(isinstance(one, Damage) for one in found)
    again = Decoder().feed(b"".join(frames[:2] + frames))
    assert len(whole(again)) == 1


@pytest.mark.parametrize(
    ("rest", "reason"),
    [
        ('"v":2,"t":"full","n":1,"d":{}}', "version 2"),
        ('"v":1,"t":"full","n":1,"d":[]}', "type or a body"),
        ('"v":1,"t":"FULL","n":1,"d":{}}', "type or a body"),
        ('"v":1,"t":"full\\n","n":1,"d":{}}', "type or a body"),
        ('"v":1,"t":"full","n":-1,"d":{}}', "sequence number"),
        ('"v":1,"t":"full","n":true,"d":{}}', "sequence number"),
        ('"v":1,"t":"full","n":1.0,"d":{}}', "sequence number"),
        ('"v":1,"t":"full","n":1,"part":3,"of":2,"d":{}}', "sequence number"),
        ('"v":1,"t":"full","n":1,"part":1,"of":33,"d":{}}', "33 parts"),
        ('"v":1,"t":"full","n":1,"part":2,"of":3,"d":{}}', "parts of a message"),
        ('"v":1,"t":"full","n":1,"d":{"a":NaN}}', "not JSON"),
        ('"v":1,"t":"full","n":1,"d":{"a":-Infinity}}', "not JSON"),
        ('"v":1,"t":"full","n":1,"d":{"a":1e999}}', "too large"),
        ('"v":1,"t":"full","n":1,"d":{"a":9223372036854775808}}', "too large"),
        ('"v":1,"t":"full","n":1,"d":{"a":' + "9" * 50_000 + "}}", "too large"),
        ('"v":1,"t":"full","n":1,"d":{"a":"\\ud800"}}', "half a character"),
        ('"v":1,"t":"full","n":1,"d":{"a":"é"}}', "not JSON"),
        ('"v":1,"t":"full","n":1,"d":{"a":' + "[" * 7 + "]" * 7 + "}}", "deep"),
        ('"v":1,"t":"full","n":1,"d":{"a":' + "[" * 30_000 + "]" * 30_000 + "}}", "deep"),
        ('"v":1}', "type or a body"),
        ("", "not JSON"),
        ('"v":1,"t":"full","n":1,"d":{}} {}', "not JSON"),
    ],
)
def test_what_no_sender_of_ours_would_send(rest: str, reason: str) -> None:
    found = Decoder().feed(frame(rest))
    assert [type(one) for one in found] == [Damage]
    assert reason in repr(found[0])


def test_what_may_be_sent_is_taken() -> None:
    for rest in (
        '"v":1,"t":"full","n":1,"d":{"a":' + "[" * 6 + "]" * 6 + "}}",
        '"v":1,"t":"full","n":1,"d":{"a":"[[[[[[[[[[{{{{","b":"\\\\\\"[["}}',
        '"v":1,"t":"full","n":1,"d":{"a":1,"a":2},"later":"additions are ignored"}',
        '"v":1,"t":"full","n":1,"d":{"a":"\\ud83d\\ude00"}}',
    ):
        assert len(whole(Decoder().feed(frame(rest)))) == 1, rest


@pytest.mark.parametrize("body", [{"a": float("nan")}, {"a": float("inf")}])
def test_what_cannot_be_sent(body: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        encode("full", 1, body)
    with pytest.raises(EncodingError):
        encode("Full", 1, {})
    with pytest.raises(EncodingError):
        encode("full", 1, {"a": "x" * wire.FRAME_LIMIT})
