"""Signs of life of a worker that computes for long and has nothing else to say, so that nobody calls it silent."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

EVERY_SECONDS = 30.0
SIGN = {"event": "alive"}
"""What is emitted; whoever reads a worker's events passes over it, as over every event that he does not know."""


@contextmanager
def signs_of_life(emit: Callable[[dict[str, Any]], None], seconds: float = EVERY_SECONDS) -> Iterator[None]:
    """Emit a sign every so many seconds until the block ends."""
    done = threading.Event()

    def tell() -> None:
        while not done.wait(seconds):
            emit(SIGN)

    thread = threading.Thread(target=tell, name="alive", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
