"""PUBLISH and PUBACK as bytes, beside paho's reading and writing of the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from server.broker.packets import (
    PACKET_MAX_BYTES,
    Frame,
    MalformedPacketError,
    Message,
    read_puback,
    read_publish,
    split,
    write_puback,
    write_publish,
)
from tests.server.broker.fix_paho import Paho, connected_paho

names = st.text("abcåäö-/1😀", min_size=1, max_size=200)
# Long ones, whose length takes three bytes, are built: drawing each byte takes too long under load.
payloads = st.binary(max_size=300) | st.integers(16_300, 16_500).map(
    lambda size: (bytes(range(256)) * 65)[:size]
)
correlations = st.none() | st.binary(max_size=200)


def read(packet: bytes) -> Message:
    (frame,), used = split(packet)
    assert used == len(packet)
    return read_publish(packet, frame, connection=3)


def test_what_paho_writes_is_read() -> None:
    with connected_paho() as paho:
        reads_what_paho_writes(paho)


def reads_what_paho_writes(paho: Paho) -> None:
    @given(names, payloads, correlations, st.sampled_from([0, 1]), st.booleans())
    def check(
        topic: str, payload: bytes, correlation: bytes | None, quality: int, retain: bool
    ) -> None:
        sent = paho.publish(topic, payload, quality, retain, every_property(correlation))
        data, frame = paho.written()
        packet_id = sent.mid if quality else 0
        assert read_publish(data, frame, connection=3) == Message(
            topic, payload, correlation, retain, quality, packet_id, 3
        )
        if quality:
            paho.read(write_puback(packet_id))
            assert paho.answered[-1] == (packet_id, 0)

    check()


def every_property(correlation: bytes | None) -> Properties:
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.PayloadFormatIndicator = 1
    properties.MessageExpiryInterval = 60
    properties.ContentType = "application/json"
    properties.ResponseTopic = "somewhere"
    properties.SubscriptionIdentifier = 200_000
    properties.TopicAlias = 9
    properties.UserProperty = ("name", "value")
    if correlation is not None:
        properties.CorrelationData = correlation
    return properties


def test_what_is_written_paho_reads() -> None:
    with connected_paho() as paho:
        writes_what_paho_reads(paho)


def writes_what_paho_reads(paho: Paho) -> None:
    @given(names, payloads, correlations, st.integers(1, 65_535), st.booleans())
    def check(
        topic: str, payload: bytes, correlation: bytes | None, packet_id: int, retain: bool
    ) -> None:
        packet = write_publish(
            topic, payload, packet_id=packet_id, correlation=correlation, retain=retain
        )
        paho.read(packet)
        heard = paho.heard.pop()
        assert (heard.topic, heard.payload, heard.retain) == (topic, payload, retain)
        assert getattr(heard.properties, "CorrelationData", None) == correlation
        data, frame = paho.written()
        assert read_puback(data, frame) == (packet_id, 0)
        assert read(packet) == Message(topic, payload, correlation, retain, 1, packet_id, 3)

    check()


def test_a_puback_says_why() -> None:
    # MQTT 5.0, 3.4: packet id 10, reason 0x10, no properties.
    packet = bytes.fromhex("40 04 000a 10 00")
    (frame,), _ = split(packet)
    assert read_puback(packet, frame) == (10, 0x10)


@given(st.integers(0, 400), st.binary(min_size=1, max_size=20))
def test_packets_are_found_however_they_are_cut(cut: int, payload: bytes) -> None:
    whole = b"".join(
        (
            write_publish("a", payload * 9, packet_id=1, correlation=None, retain=False),
            write_puback(7),
            write_publish("b", payload, packet_id=2, correlation=b"c", retain=True),
        )
    )
    first, used = split(whole[:cut])
    rest, more = split(whole[used:])
    assert used + more == len(whole)
    assert len(first) + len(rest) == 3


def test_every_shortened_message_is_refused() -> None:
    packet = write_publish("abc", b"", packet_id=1, correlation=b"defg", retain=False)
    (frame,), _ = split(packet)
    assert read_publish(packet, frame, connection=1).correlation == b"defg"
    for end in range(frame[2], len(packet)):
        for shortened in (packet, packet[:end]):  # with and without another packet behind it
            short: Frame = (frame[0], frame[1], frame[2], end)
            with pytest.raises(MalformedPacketError):
                read_publish(shortened, short, connection=1)


@pytest.mark.parametrize(
    "packet",
    [
        "34 05 0001 61 0001",  # quality of service 2, which is never asked for
        "30 04 0001 ff 00",  # a topic that is no UTF-8
        "30 06 0001 61 02 2700",  # Maximum Packet Size, which no message has
        "30 07 0001 61 03 090009",  # Correlation Data that is longer than the properties
        "30 08 0001 61 ffffffff 01",  # properties with a length of five bytes
    ],
)
def test_what_no_broker_sends_is_refused(packet: str) -> None:
    with pytest.raises(MalformedPacketError):
        read(bytes.fromhex(packet))


@pytest.mark.parametrize("head", ["30 ffffffff 7f", "30 ffffff7f"])
def test_a_length_beyond_reason_is_refused(head: str) -> None:
    with pytest.raises(MalformedPacketError):
        split(bytes.fromhex(head))


def test_a_length_at_the_limit_is_waited_for() -> None:
    assert PACKET_MAX_BYTES == 1 << 20
    assert split(bytes.fromhex("30 808040")) == ([], 0)
    with pytest.raises(MalformedPacketError):
        split(bytes.fromhex("30 818040"))


def test_a_puback_without_an_id_is_refused() -> None:
    packet = bytes.fromhex("4001 00")
    (frame,), _ = split(packet)
    with pytest.raises(MalformedPacketError):
        read_puback(packet, frame)
