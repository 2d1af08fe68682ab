"""Tests that fail in ways that once left no result: each must come out failed, by its reason."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator

import pytest

from harness.api import Wire, Wsk


def _send(wsk: Wsk, wire: Wire) -> None:
    with wsk.datagram_socket() as sock:
        wire.expect(sock.send_to(b"x", wire.peer(9)))


class _OddError(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")


@pytest.fixture
def _leaves(wsk: Wsk, wire: Wire) -> Iterator[None]:
    yield
    with wsk.datagram_socket() as sock:
        wire.expect_nothing(sock.send_to(b"this does leave", wire.peer(9)))


def test_pytest_fail(wsk: Wsk, wire: Wire) -> None:
    _send(wsk, wire)
    pytest.fail("not what it should be")


def test_exit(wsk: Wsk, wire: Wire) -> None:
    _send(wsk, wire)
    sys.exit(0)


def test_text(wsk: Wsk, wire: Wire) -> None:
    _send(wsk, wire)
    raise _OddError


def test_surrogate(wsk: Wsk, wire: Wire) -> None:
    _send(wsk, wire)
    raise ValueError("cannot open caf\udce9.bin")


@pytest.mark.xfail(reason="known", strict=True)
def test_strict(wsk: Wsk, wire: Wire) -> None:
    _send(wsk, wire)


@pytest.mark.usefixtures("_leaves")
def test_teardown(wsk: Wsk, wire: Wire) -> None:
    _send(wsk, wire)


@pytest.mark.timeout(2)
def test_hang(wsk: Wsk, wire: Wire) -> None:
    _send(wsk, wire)
    time.sleep(600)


def test_thread(wsk: Wsk, wire: Wire) -> None:
    def on() -> None:
        while True:
            _send(wsk, wire)

    threading.Thread(target=on, daemon=True).start()
    _send(wsk, wire)
