"""What the driver makes of every error and timing that a WSK provider may give, forced through the guest's provider.

Rules: WDK pages of WskSendTo and "Using IRPs with Winsock Kernel Functions"; model/RULES.md 1.4, 2.3. A forced status
must be reported as it is; whatever happens, no IRP, MDL, buffer, socket or record may be lost, which the books tell
at the end of each case.
"""

from __future__ import annotations

import pytest

from harness.api import Wire, Wsk, pattern
from harness.wsk import options as opt
from harness.wsk import status as nt
from harness.wsk.operations import Calls, Effects, SendPath
from harness.wsk.types import Mdl, WskBuf

pytestmark = pytest.mark.usefixtures("provider")
ERRORS = (
    nt.INSUFFICIENT_RESOURCES,
    nt.FILE_FORCED_CLOSED,
    nt.INVALID_DEVICE_STATE,
    nt.INVALID_PARAMETER,
    nt.INVALID_BUFFER_SIZE,
    nt.INVALID_ADDRESS_COMPONENT,
    nt.ACCESS_DENIED,
    nt.NETWORK_UNREACHABLE,
    nt.HOST_UNREACHABLE,
    nt.PORT_UNREACHABLE,
    nt.CANCELLED,
    nt.NOT_SUPPORTED,
    nt.DATA_NOT_ACCEPTED,
    nt.REQUEST_NOT_ACCEPTED,
    nt.BUFFER_OVERFLOW,
)
WAYS = {
    "later": Effects.FAIL,
    "inline": Effects.FAIL | Effects.INLINE,
    "returned, completed later": Effects.FAIL | Effects.REFUSE,
}
CHAIN = WskBuf((Mdl(pattern(700, 1), 4000), Mdl(pattern(900, 2), 1)))


@pytest.mark.parametrize("status", ERRORS, ids=[nt.name(value).split()[0][7:].lower() for value in ERRORS])
def test_error_of_a_send(wsk: Wsk, wire: Wire, status: int) -> None:
    """Completed later, inline, or returned and then completed: reported once, as it is, and the next send works."""
    with wsk.datagram_socket() as sock:
        for effects in WAYS.values():
            with wsk.forced(Calls.SEND, effects, status=status, count=1) as forced:
                wire.expect_nothing(sock.send_to(CHAIN, wire.peer(9000)))
                wire.expect(sock.send_to(b"works again", wire.peer(9000)))
            assert forced.acted == 1


@pytest.mark.parametrize("effects", WAYS.values(), ids=WAYS)
def test_error_of_a_list(wsk: Wsk, wire: Wire, effects: Effects) -> None:
    """WskSendMessages fails as a whole."""
    with wsk.datagram_socket() as sock, wsk.forced(Calls.SEND, effects, status=nt.HOST_UNREACHABLE):
        wire.expect_nothing(sock.send_messages([b"one", CHAIN, b""], wire.peer(9000)))


@pytest.mark.parametrize("effects", WAYS.values(), ids=WAYS)
def test_error_of_a_kept_irp(wsk: Wsk, wire: Wire, effects: Effects) -> None:
    """An IRP that failed is reused like one that succeeded."""
    with wsk.datagram_socket() as sock:
        for index in range(4):
            with wsk.forced(Calls.SEND, effects, status=nt.NETWORK_UNREACHABLE):
                wire.expect_nothing(sock.send_to(b"fails", wire.peer(9000), reuse_irp=True))
            wire.expect(sock.send_to(b"works %d" % index, wire.peer(9000), reuse_irp=True))


@pytest.mark.parametrize("effects", WAYS.values(), ids=WAYS)
def test_error_of_a_send_from_raised_irql(wsk: Wsk, wire: Wire, effects: Effects) -> None:
    """Called and completed at DISPATCH_LEVEL."""
    with wsk.datagram_socket() as sock:
        with wsk.forced(Calls.SEND, effects | Effects.RAISED, status=nt.HOST_UNREACHABLE):
            wire.expect_nothing(sock.send_to(CHAIN, wire.peer(9000), path=SendPath.SEND_TO_FROM_DPC))
        wire.expect(sock.send_to(CHAIN, wire.peer(9000), path=SendPath.SEND_TO_FROM_DPC))


def test_every_send_of_a_burst_fails(wsk: Wsk, wire: Wire) -> None:
    """A hundred errors with sixteen in flight: as many completions, nothing on the wire."""
    with wsk.datagram_socket() as sock:
        with wsk.forced(Calls.SEND, Effects.FAIL, status=nt.INSUFFICIENT_RESOURCES) as forced:
            wire.expect_nothing(sock.burst(wire.peer(9000), count=100, size=64, depth=16))
        assert forced.acted == 100
        wire.expect(sock.burst(wire.peer(9000), count=10, size=64, depth=4))


def test_error_in_the_middle_of_sends_in_flight(wsk: Wsk, wire: Wire) -> None:
    """The third of eight fails: it alone, and the others arrive."""
    with wsk.datagram_socket() as sock, wsk.forced(Calls.SEND, Effects.FAIL, status=nt.ACCESS_DENIED, skip=2, count=1):
        sent = [sock.send_to(b"%d" % index, wire.peer(9000), wait=False) for index in range(8)]
        sock.collect()
        wire.expect(*sent[:2], *sent[3:])
        wire.expect_nothing(sent[2])


@pytest.mark.parametrize("effects", [Effects.INLINE, Effects.RAISED, Effects.INLINE | Effects.RAISED])
def test_completion_inline_and_raised(wsk: Wsk, wire: Wire, effects: Effects) -> None:
    """The completion routine may run before the function returns, and at DISPATCH_LEVEL."""
    with wsk.datagram_socket() as sock, wsk.forced(Calls.SEND, effects):
        for index in range(4):
            wire.expect(sock.send_to(b"%d" % index, wire.peer(9000), reuse_irp=index > 1))
        wire.expect(sock.send_messages([b"one", b"two"], wire.peer(9000)))


def test_completion_late(wsk: Wsk, wire: Wire) -> None:
    """A completion that takes its time: the driver keeps buffers and IRP until then."""
    with wsk.datagram_socket() as sock, wsk.forced(Calls.SEND, Effects.LATE, delay_ms=60):
        wire.expect(sock.send_to(CHAIN, wire.peer(9000)))


@pytest.mark.parametrize("depth", [2, 8, 32])
def test_completions_in_reverse_order(wsk: Wsk, wire: Wire, depth: int) -> None:
    """The last send completes first; each completion finds its own record."""
    with wsk.datagram_socket() as sock, wsk.forced(Calls.SEND, Effects.REVERSE, count=depth):
        wire.expect(*sock.send_many([b"%d" % index for index in range(depth)], wire.peer(9000), depth=depth))


def test_inline_and_late_in_turn(wsk: Wsk, wire: Wire) -> None:
    """A waiter that an inline completion woke must not take the next one's for done."""
    with wsk.datagram_socket() as sock:
        for index in range(4):
            with wsk.forced(Calls.SEND, Effects.INLINE):
                wire.expect(sock.send_to(b"inline %d" % index, wire.peer(9000), reuse_irp=True))
            with wsk.forced(Calls.SEND, Effects.LATE, delay_ms=10):
                wire.expect(sock.send_to(b"late %d" % index, wire.peer(9000), reuse_irp=True))


@pytest.mark.parametrize("count", [1, 16])
def test_pending_sends_are_cancelled_by_close(wsk: Wsk, wire: Wire, count: int) -> None:
    """WskCloseSocket completes what is pending; the driver gets every IRP back."""
    sock, _ = wsk.open()
    sock.bind()
    with wsk.forced(Calls.SEND, Effects.PEND, on=sock):
        for index in range(count):
            sock.send_to(b"never %d" % index, wire.peer(9000), wait=False)
        sock.close()


def test_pending_sends_beside_a_socket_that_works(wsk: Wsk, wire: Wire) -> None:
    """What hangs on one socket does not hold up another."""
    with wsk.datagram_socket() as good:
        stuck, _ = wsk.open()
        stuck.bind()
        with wsk.forced(Calls.SEND, Effects.PEND, on=stuck):
            stuck.send_to(b"never", wire.peer(9000), wait=False)
            wire.expect(good.send_to(b"at once", wire.peer(9001)))
            stuck.close()
        wire.expect(good.send_to(b"afterwards", wire.peer(9001)))


def test_socket_forced_closed(wsk: Wsk, wire: Wire) -> None:
    """FILE_FORCED_CLOSED for this call and all later ones; the socket is closed, and a new one works."""
    with wsk.datagram_socket() as sock:
        with wsk.forced(Calls.SEND, Effects.DEAD, count=1):
            wire.expect_nothing(*(sock.send_to(b"dead", wire.peer(9000)) for _ in range(3)))
        sock.set_option(opt.broadcast())
        sock.set_remote_address(wire.peer(9000))
        sock.receive(wait_ms=50)
    with wsk.datagram_socket() as sock:
        wire.expect(sock.send_to(b"alive", wire.peer(9000)))


@pytest.mark.parametrize("effects", WAYS.values(), ids=WAYS)
def test_error_of_opening(wsk: Wsk, wire: Wire, effects: Effects) -> None:
    """No socket, no handle, nothing held; the next one opens."""
    with wsk.forced(Calls.SOCKET, effects, status=nt.INSUFFICIENT_RESOURCES):
        wsk.open()
    with wsk.datagram_socket() as sock:
        wire.expect(sock.send_to(b"opened", wire.peer(9000)))


@pytest.mark.parametrize("effects", WAYS.values(), ids=WAYS)
def test_error_of_binding(wsk: Wsk, wire: Wire, effects: Effects) -> None:
    """The socket stays unbound, and can be bound after all."""
    with wsk.datagram_socket(bind=False) as sock:
        with wsk.forced(Calls.BIND, effects, status=nt.ADDRESS_ALREADY_EXISTS):
            sock.bind()
        wire.expect_nothing(sock.send_to(b"unbound", wire.peer(9000)))
        sock.bind()
        wire.expect(sock.send_to(b"bound", wire.peer(9000)))


@pytest.mark.parametrize("effects", WAYS.values(), ids=WAYS)
def test_error_of_controls(wsk: Wsk, wire: Wire, effects: Effects) -> None:
    """An option or an address that was refused has no effect; the one set before stays."""
    with wsk.datagram_socket() as sock:
        sock.set_sendto_address(wire.peer(9000))
        with wsk.forced(Calls.CONTROL | Calls.GET_LOCAL_ADDRESS, effects, status=nt.INVALID_PARAMETER):
            sock.set_sendto_address(wire.peer(9001))
            sock.set_option(opt.ttl(sock.family, 3))
            sock.get_option(opt.SOL_SOCKET, opt.SO_BROADCAST, 4)
            sock.bind()
        wire.expect(sock.send_to(b"as before", None))


@pytest.mark.parametrize("effects", [Effects.FAIL, Effects.FAIL | Effects.INLINE])
def test_error_of_receiving(wsk: Wsk, wire: Wire, effects: Effects) -> None:
    """The error is reported; the datagram is there for the next receive."""
    with wsk.datagram_socket() as sock:
        wire.reply(wire.peer(9000), sock, b"kept")
        with wsk.forced(Calls.RECEIVE, effects, status=nt.CONNECTION_RESET):
            sock.receive()
        assert sock.receive().data == b"kept"


@pytest.mark.parametrize("effects", [Effects.INLINE, Effects.LATE, Effects.RAISED])
def test_every_call_inline_late_and_raised(wsk: Wsk, wire: Wire, effects: Effects) -> None:
    """From opening to closing, all calls of a socket's life complete that way."""
    calls = Calls.SOCKET | Calls.CLOSE | Calls.BIND | Calls.GET_LOCAL_ADDRESS | Calls.CONTROL | Calls.SEND
    with (
        wsk.forced(calls, effects, delay_ms=10 if effects is Effects.LATE else 0),
        wsk.datagram_socket(port=5050) as sock,
    ):
        sock.set_option(opt.ttl(sock.family, 9))
        wire.expect(sock.send_to(b"all of it", wire.peer(9000)))


@pytest.mark.parametrize("what", [Calls.POOL, Calls.IRP, Calls.MDL], ids=["pool", "irp", "mdl"])
def test_no_memory_for_a_send(wsk: Wsk, wire: Wire, what: Calls) -> None:
    """The n-th allocation of a send fails, for every n: INSUFFICIENT_RESOURCES, and the next send works."""
    with wsk.datagram_socket() as sock:
        for nth in range(12):
            with wsk.forced(what, Effects.FAIL, status=nt.NO_MEMORY, skip=nth, count=1) as forced:
                sent = sock.send_to(CHAIN, wire.peer(9000))
            if not forced.acted:
                break
            assert sent.step.outcome.ioctl == nt.INSUFFICIENT_RESOURCES
        assert nth > 0, "no allocation of that kind was made"
        wire.expect(sock.send_to(b"memory again", wire.peer(9000)))


@pytest.mark.parametrize("what", [Calls.POOL, Calls.IRP], ids=["pool", "irp"])
def test_no_memory_for_the_other_calls(wsk: Wsk, wire: Wire, what: Calls) -> None:
    """Opening, binding, options and addresses without memory: refused, and nothing is held."""
    for nth in range(3):
        with wsk.forced(what, Effects.FAIL, status=nt.NO_MEMORY, skip=nth, count=1):
            sock, _ = wsk.open()
            sock.bind()
            sock.set_option(opt.ttl(sock.family, 9))
            sock.close()
    with wsk.datagram_socket() as sock:
        wire.expect(sock.send_to(b"memory again", wire.peer(9000)))
