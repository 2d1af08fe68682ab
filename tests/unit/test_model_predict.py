"""The three layers of the model and the predictions they give."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import UsageError
from harness.model import predict as predicting
from harness.model.addresses import Cast, mac_text
from harness.model.datagram import ChecksumRule, ExpectedBurst, ExpectedDatagram, Prediction, burst_payload
from harness.model.payload import payload
from harness.model.predict import Predictor, predict
from harness.model.profile import WINDOWS, Mark
from harness.wsk import operations as op
from harness.wsk import options as opt
from harness.wsk import status as nt
from harness.wsk.types import AF_INET, AF_INET6, Endpoint, Mdl, WskBuf
from tests.unit.verify_kit import EPHEMERAL, HOST_MAC, Plan, at, done, site

SITE = site()


def last(plan: Plan) -> Prediction:
    return plan.predict(SITE)[-1]


def only(plan: Plan) -> ExpectedDatagram:
    (datagram,) = last(plan).datagrams
    return datagram


def bound(family: int = 2, local: Endpoint | None = None, *options: opt.SocketOption) -> Plan:
    plan = Plan()
    plan.add(op.Open(1, AF_INET if family == 2 else AF_INET6))
    for option in options:
        plan.option(option)
    plan.add(op.Bind(1, local or at("0.0.0.0" if family == 2 else "::", 0)))
    return plan


# Layer one: payload


@given(st.lists(st.binary(max_size=30), min_size=1, max_size=6), st.data())
def test_payload_is_offset_and_length_across_the_chain(parts: list[bytes], data: st.DataObject) -> None:
    offset = data.draw(st.integers(0, max(0, len(parts[0]) - 1)))
    whole = b"".join(parts)
    length = data.draw(st.integers(0, len(whole) - offset))
    assert payload(WskBuf(tuple(map(Mdl, parts)), offset, length)) == whole[offset : offset + length]


def test_payload_without_length_is_the_rest_of_the_chain() -> None:
    assert payload(WskBuf((Mdl(b"abc"), Mdl(b""), Mdl(b"de")), 1)) == b"bcde"
    assert payload(WskBuf.of(b"")) == b""
    assert payload(WskBuf((), 5, 0)) == b""


@pytest.mark.parametrize(
    "buffer", [WskBuf((Mdl(b"abc"),), 0, 4), WskBuf((Mdl(b"ab"), Mdl(b"cd")), 2), WskBuf((), 0, 1)]
)
def test_a_buffer_that_would_stop_windows_has_no_payload(buffer: WskBuf) -> None:
    with pytest.raises(UsageError, match="WSK_BUF"):
        payload(buffer)


# Layer two: destination


def test_an_address_given_wins_for_that_send_only() -> None:
    plan = bound()
    plan.add(op.SetSendToAddress(1, at("192.0.2.1")))
    plan.send(b"a", "192.0.2.2")
    assert only(plan).destination == at("192.0.2.2")
    plan.send(b"b", None)
    assert only(plan).destination == at("192.0.2.1")


@pytest.mark.parametrize("kind", [op.SetRemoteAddress, op.SetSendToAddress])
def test_null_goes_nowhere_once_the_fixed_address_is_cleared(
    kind: type[op.SetRemoteAddress] | type[op.SetSendToAddress],
) -> None:
    plan = bound()
    plan.add(kind(1, at("192.0.2.1")))
    plan.add(kind(1, None))
    plan.send(b"b", None, status=nt.INVALID_PARAMETER)
    prediction = last(plan)
    assert (prediction.datagrams, prediction.status.success, prediction.information) == ((), False, 0)
    assert prediction.status.mark is Mark.UNVERIFIED


def test_both_fixed_addresses_leave_the_destination_open() -> None:
    plan = bound()
    plan.add(op.SetRemoteAddress(1, at("192.0.2.1")))
    plan.add(op.SetSendToAddress(1, at("192.0.2.2")))
    plan.send(b"b", None)
    datagram = only(plan)
    assert {datagram.destination, *(item.destination for item in datagram.alternatives)} == {
        at("192.0.2.1"),
        at("192.0.2.2"),
    }


def test_a_fixed_address_whose_setting_failed_is_not_set() -> None:
    plan = bound()
    plan.add(op.SetSendToAddress(1, at("192.0.2.1")), status=nt.ACCESS_DENIED)
    plan.send(b"b", None, status=nt.INVALID_PARAMETER)
    assert last(plan).datagrams == ()


@pytest.mark.parametrize(
    ("family", "remote", "named"),
    [
        (2, at("2001:db8:0:1::1"), nt.INVALID_PARAMETER),
        (23, at("192.0.2.1"), nt.INVALID_PARAMETER),
        (23, at("::ffff:192.0.2.1"), nt.NETWORK_UNREACHABLE),
        (2, None, nt.INVALID_DEVICE_STATE),
    ],
)
def test_sends_that_cannot_be(family: int, remote: Endpoint | None, named: int) -> None:
    plan = bound(family)
    plan.send(b"x", remote, status=named)
    prediction = last(plan)
    assert (prediction.status.success, prediction.datagrams, prediction.information) == (False, (), 0)
    assert named in prediction.status.named
    assert not prediction.status.asserted


def test_an_unbound_socket_sends_nothing() -> None:
    plan = Plan()
    plan.add(op.Open(1, AF_INET))
    plan.send(b"x", "192.0.2.1", status=nt.INVALID_DEVICE_STATE)
    assert last(plan).status.success is False
    assert last(plan).status.named == {nt.INVALID_DEVICE_STATE}


# Layer three: the wire


def test_a_plain_datagram() -> None:
    plan = bound()
    plan.send(b"hello", "192.0.2.1", port=9001)
    datagram, prediction = only(plan), last(plan)
    assert datagram.source == at("192.0.2.10", 0)
    assert datagram.destination == at("192.0.2.1", 9001)
    assert mac_text(datagram.destination_mac) == HOST_MAC
    assert (datagram.ttl, datagram.tos, datagram.dont_fragment, datagram.cast) == (64, 0, True, Cast.UNICAST)
    assert (prediction.information, prediction.completions, prediction.status.asserted) == (5, 1, True)
    assert any("WskSendTo" in rule for rule in prediction.rules)


def test_the_port_comes_from_get_local_address_even_when_asked_later() -> None:
    plan = bound()
    plan.send(b"x", "192.0.2.1")
    plan.add(op.GetLocalAddress(1), op.Outcome(completion=done(), endpoint=at("0.0.0.0", 51111)))
    (datagram,) = plan.predict(SITE)[-2].datagrams
    assert datagram.source.port == 51111


def test_a_socket_opened_again_under_its_number_is_another_one() -> None:
    plan = Plan()
    plan.socket()
    plan.add(op.Close(1))
    plan.add(op.Open(1, AF_INET))
    plan.add(op.Bind(1, at("0.0.0.0", 0)))
    plan.send(b"x", "192.0.2.1")
    assert only(plan).source.port == 0
    assert only(plan).socket == (1, 1)


def test_given_port_and_address_are_the_source() -> None:
    plan = bound(2, at("192.0.2.11", 5005))
    plan.send(b"x", "192.0.2.1")
    assert only(plan).source == at("192.0.2.11", 5005)


@pytest.mark.parametrize(
    ("size", "frames", "dont"), [(0, 1, True), (1472, 1, True), (1473, 2, False), (65507, 45, False)]
)
def test_fragments_and_df_of_a_linux_stack(size: int, frames: int, dont: bool) -> None:
    plan = bound()
    plan.send(bytes(size), "192.0.2.1")
    assert (len(only(plan).layout), only(plan).dont_fragment) == (frames, dont)
    assert last(plan).information == size


@pytest.mark.parametrize(("family", "peer", "size"), [(2, "192.0.2.1", 65508), (23, "2001:db8:0:1::1", 65528)])
def test_oversize(family: int, peer: str, size: int) -> None:
    plan = bound(family)
    plan.send(bytes(size), peer, status=nt.INVALID_BUFFER_SIZE)
    assert (last(plan).status.success, last(plan).datagrams) == (False, ())


@pytest.mark.parametrize("target", ["255.255.255.255", "192.0.2.255"])
def test_broadcast_needs_so_broadcast(target: str) -> None:
    plan = bound()
    plan.send(b"x", target, status=nt.ACCESS_DENIED)
    assert (last(plan).status.success, set(last(plan).status.named)) == (False, {nt.ACCESS_DENIED})
    plan.option(opt.broadcast())
    plan.send(b"x", target)
    datagram = only(plan)
    assert (mac_text(datagram.destination_mac), datagram.cast) == ("ff:ff:ff:ff:ff:ff", Cast.BROADCAST)
    assert datagram.source.address == IPv4Address("192.0.2.10")
    plan.option(opt.broadcast(False))
    plan.send(b"x", target, status=nt.ACCESS_DENIED)
    assert last(plan).datagrams == ()


def test_multicast_of_both_families() -> None:
    plan = bound()
    plan.send(b"x", "239.1.2.3")
    assert (only(plan).ttl, mac_text(only(plan).destination_mac)) == (1, "01:00:5e:01:02:03")
    plan.option(opt.multicast_ttl(AF_INET, 5))
    plan.option(opt.ttl(AF_INET, 33))
    plan.send(b"x", "239.1.2.3")
    assert only(plan).ttl == 5
    plan.send(b"x", "192.0.2.1")
    assert only(plan).ttl == 33
    other = bound(23)
    other.send(b"x", "ff0e::1234")
    assert mac_text(only(other).destination_mac) == "33:33:00:00:12:34"
    assert only(other).source.address == IPv6Address("2001:db8:0:1::10")
    other.send(b"x", "ff02::1234")
    assert {only(other).source.address, *only(other).sources} == {
        IPv6Address("fe80::5054:ff:fed0:1"),
        IPv6Address("2001:db8:0:1::10"),
    }


def test_v4_mapped_destinations_leave_as_ipv4_from_a_dual_stack_socket() -> None:
    plan = bound(23, None, opt.v6only(False))
    plan.option(opt.ttl(AF_INET, 9))
    plan.send(b"x", "::ffff:192.0.2.2")
    datagram = only(plan)
    assert (datagram.destination, datagram.source.address) == (at("192.0.2.2"), IPv4Address("192.0.2.10"))
    assert datagram.ttl == 9


def test_options_change_the_wire() -> None:
    plan = bound(2, None, opt.no_checksum(), opt.dont_fragment(AF_INET))
    plan.send(b"x", "192.0.2.1")
    assert only(plan).checksum is ChecksumRule.NONE
    plan.send(bytes(1473), "192.0.2.1", status=nt.INVALID_BUFFER_SIZE)
    assert last(plan).status.success is False
    plan.option(opt.dont_fragment(AF_INET, False))
    plan.send(bytes(10), "192.0.2.1")
    assert only(plan).dont_fragment is False
    plan.option(opt.mtu_discover(AF_INET, opt.PMTUDISC_DO))
    plan.send(bytes(10), "192.0.2.1")
    assert only(plan).dont_fragment is True


def test_no_checksum_does_not_touch_ipv6() -> None:
    plan = bound(23, None, opt.no_checksum())
    plan.send(b"x", "2001:db8:0:1::1")
    assert only(plan).checksum is ChecksumRule.FULL


def test_control_messages_speak_for_one_send() -> None:
    plan = bound()
    control = (opt.pktinfo(IPv4Address("192.0.2.11"), 7), opt.tos(0xB8), opt.ecn(AF_INET, 1))
    plan.send(b"x", "192.0.2.1", control=control)
    assert (only(plan).source.address, only(plan).tos) == (IPv4Address("192.0.2.11"), 0xB9)
    plan.send(b"x", "192.0.2.1")
    assert (only(plan).source.address, only(plan).tos) == (IPv4Address("192.0.2.10"), 0)
    six = bound(23)
    six.send(b"x", "2001:db8:0:1::1", control=(opt.traffic_class(0x20),))
    assert only(six).tos == 0x20


def test_a_foreign_source_and_another_interface() -> None:
    plan = bound()
    control = (opt.pktinfo(IPv4Address("192.0.2.77")),)
    plan.send(b"x", "192.0.2.1", control=control, status=nt.INVALID_PARAMETER)
    assert last(plan).status.success is False
    plan.send(b"x", "192.0.2.1", control=(opt.pktinfo(IPv4Address("0.0.0.0"), 99),))
    assert (last(plan).status.success, last(plan).datagrams) == (None, ())


def test_ce_is_refused_or_observed() -> None:
    plan = bound()
    plan.send(b"x", "192.0.2.1", control=(opt.ecn(AF_INET, opt.ECN_CE),), status=nt.INVALID_PARAMETER)
    assert (last(plan).status.success, last(plan).datagrams) == (None, ())


@pytest.mark.parametrize("by_option", [True, False])
def test_segmentation_makes_many_datagrams(by_option: bool) -> None:
    plan = bound()
    if by_option:
        plan.option(opt.send_message_size(100))
        plan.send(bytes(250), "192.0.2.1")
    else:
        plan.send(bytes(250), "192.0.2.1", control=(opt.segment(100),))
    assert [len(item.payload) for item in last(plan).datagrams] == [100, 100, 50]
    assert (last(plan).status.success, last(plan).information) == (None, None)
    assert not any(item.optional for item in last(plan).datagrams)


def test_segmentation_that_the_stack_refuses_sends_nothing() -> None:
    plan = bound()
    plan.send(bytes(250), "192.0.2.1", control=(opt.segment(100),), status=nt.NOT_SUPPORTED)
    assert last(plan).datagrams == ()


def test_segments_beyond_the_mtu_fail() -> None:
    plan = bound()
    plan.send(bytes(4000), "192.0.2.1", control=(opt.segment(2000),), status=nt.INVALID_PARAMETER)
    assert last(plan).status.success is False


def test_send_messages_is_one_call_with_a_datagram_per_buffer() -> None:
    plan = bound()
    buffers = (WskBuf.of(b"one"), WskBuf.of(b""), WskBuf.of(b"three"))
    plan.add(op.SendMessages(1, buffers, at("192.0.2.1")), op.Outcome(completion=done(8)))
    assert [(item.index, item.payload) for item in last(plan).datagrams] == [(0, b"one"), (1, b""), (2, b"three")]
    assert (last(plan).information, last(plan).completions) == (8, 1)


def test_a_list_with_one_datagram_too_large_is_left_open() -> None:
    plan = bound()
    buffers = (WskBuf.of(b"one"), WskBuf.of(bytes(65508)))
    plan.add(op.SendMessages(1, buffers, at("192.0.2.1")), op.Outcome(completion=done(0, nt.INVALID_BUFFER_SIZE)))
    assert last(plan).status.success is None
    assert [(item.payload, item.optional) for item in last(plan).datagrams] == [(b"one", True)]


def test_a_burst_is_one_object() -> None:
    plan = bound()
    plan.add(op.Burst(1, at("192.0.2.1"), 10**6, 64, 32, first=5), op.Outcome(completion=done(64 * 10**6)))
    prediction = last(plan)
    burst = prediction.burst
    assert isinstance(burst, ExpectedBurst)
    assert (prediction.datagrams, prediction.completions, prediction.information) == ((), 10**6, 64 * 10**6)
    assert burst.payload(300) == (300).to_bytes(8, "little") + bytes((j + 300) & 0xFF for j in range(8, 64))
    assert burst.sequence_of(burst.payload(10**6 + 4)) == 10**6 + 4
    assert burst.sequence_of(burst.payload(10**6 + 5)) is None


@given(st.integers(0, 2**64 - 1), st.integers(0, 300))
def test_burst_payloads_follow_the_drivers_pattern(sequence: int, size: int) -> None:
    whole = sequence.to_bytes(8, "little") + bytes((j + sequence) & 0xFF for j in range(8, size))
    assert burst_payload(sequence, size) == whole[:size]


@given(st.integers(0, 600), st.integers(0, 1), st.integers(0, 300))
def test_copies_of_cut_sequence_numbers_add_up(count: int, size: int, first: int) -> None:
    plan = bound()
    plan.send(b"x", "192.0.2.1")
    burst = ExpectedBurst(only(plan), count, size, first, ordered=True)
    assert sum(burst.copies(key) for key in range(256**size)) == count


def test_destinations_off_the_wire_are_only_observed() -> None:
    plan = bound()
    for target in ("192.0.2.10", "127.0.0.1", "203.0.113.1", "192.0.2.99", "0.0.0.0"):
        plan.send(b"x", target)
        assert (last(plan).status.success, last(plan).datagrams) == (None, ()), target


def test_windows_defaults_are_observed_and_not_asserted() -> None:
    where = site(WINDOWS)
    plan = bound()
    plan.send(b"x", "192.0.2.1")
    plan.option(opt.ttl(AF_INET, 7))
    plan.send(b"x", "192.0.2.1")
    first, second = (item.datagrams[0] for item in plan.predict(where) if item.datagrams)
    assert (first.ttl, "ip.ttl" in first.free, "ip.dont_fragment" in first.free) == (128, True, True)
    assert (second.ttl, "ip.ttl" in second.free) == (7, False)


# Everything but sends


def test_get_local_address_answers_what_was_bound() -> None:
    plan = bound(2, at("192.0.2.11", 5005))
    plan.add(op.GetLocalAddress(1))
    assert last(plan).endpoint == at("192.0.2.11", 5005)
    unbound = Plan()
    unbound.add(op.Open(1, AF_INET))
    unbound.add(op.GetLocalAddress(1), status=nt.INVALID_DEVICE_STATE)
    assert last(unbound).status.asserted
    assert last(unbound).status.named == {nt.INVALID_DEVICE_STATE}


def test_a_port_in_use_cannot_be_bound_again() -> None:
    plan = bound(2, at("192.0.2.10", 5005))
    plan.add(op.Open(2, AF_INET))
    plan.add(op.Bind(2, at("192.0.2.10", 5005)), status=nt.ADDRESS_ALREADY_EXISTS)
    assert last(plan).status.success is False


def test_the_same_port_is_free_in_the_other_family() -> None:
    plan = bound(2, at("0.0.0.0", 5005))
    plan.add(op.Open(2, AF_INET6))
    plan.add(op.Bind(2, at("::", 5005)))
    assert last(plan).status.success is True


def test_closed_sockets_and_fixed_addresses_before_bind() -> None:
    plan = Plan()
    plan.add(op.Open(1, AF_INET))
    plan.add(op.SetRemoteAddress(1, at("192.0.2.1")), status=nt.INVALID_DEVICE_STATE)
    assert last(plan).status.success is False
    plan.add(op.Close(1))
    plan.send(b"x", "192.0.2.1", status=nt.INVALID_HANDLE)
    assert (last(plan).status.success, last(plan).calls) == (False, False)


def test_receive_after_a_fixed_remote_names_the_only_sender() -> None:
    plan = bound()
    plan.add(op.SetSendToAddress(1, at("192.0.2.2")))
    plan.add(op.Receive(1, 100, 10))
    assert last(plan).sender is None
    plan.add(op.SetRemoteAddress(1, at("192.0.2.1")))
    plan.add(op.Receive(1, 100, 10))
    assert last(plan).sender == at("192.0.2.1")


def test_predicting_case_by_case_gives_the_same_as_all_at_once() -> None:
    plan = Plan()
    plan.socket()
    plan.option(opt.ttl(AF_INET, 3))
    plan.send(b"a", "192.0.2.1")
    plan.add(op.SetRemoteAddress(1, at("192.0.2.1")))
    plan.send(b"b", None)
    predictor = Predictor(SITE)
    parts = predictor.extend(plan.steps[:5]) + predictor.extend(plan.steps[5:])
    assert parts == predict(plan.steps, SITE)
    assert parts[-1].datagrams[0].source.port == EPHEMERAL + 1
    assert parts[-1].datagrams[0].ttl == 3


def test_every_operation_is_predicted_by_one_rule() -> None:
    rows = [*predicting._BESIDE_THE_DRIVER, *predicting._ON_THE_DRIVER, *predicting._ON_A_SOCKET]
    assert sorted(rows, key=str) == sorted(get_args(op.Operation), key=str)
