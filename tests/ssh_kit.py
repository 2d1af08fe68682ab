"""What the SSH servers of the tests share: a transport that starts a command once the client knows it was taken."""

from __future__ import annotations

import threading
from collections.abc import Callable

import paramiko
from paramiko.common import cMSG_CHANNEL_SUCCESS


class Punctual(paramiko.Transport):
    """A server's transport.

    paramiko tells the client that its request was taken after ``check_channel_exec_request`` has returned; a command
    that ends before that would close a channel on which the client still waits for the answer.
    """

    _next: Callable[[], None] | None = None

    def once_taken(self, work: Callable[[], None]) -> None:
        """Run ``work`` on a thread of its own when the request that is being checked has been answered."""
        self._next = work

    def _send_user_message(self, data: paramiko.Message) -> None:
        super()._send_user_message(data)  # type: ignore[misc]
        if self._next is not None and data.asbytes()[:1] == cMSG_CHANNEL_SUCCESS:
            work, self._next = self._next, None
            threading.Thread(target=work, daemon=True).start()
