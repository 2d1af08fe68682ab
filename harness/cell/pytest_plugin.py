"""The pytest plugin: gives tests ``wsk`` and ``wire``, and runs every test as a case of its cell's session.

Inside a cell the worker runs pytest with a ``CellPlugin`` (``harness.cell.protocol``); in an ordinary pytest run
this module only says, should a test ask for ``wsk`` or ``wire``, how to run it.
"""

from __future__ import annotations

import pytest

from harness.cell.api import Wire, Wsk
from harness.cell.protocol import CellPlugin, need_provider
from harness.errors import UsageError

__all__ = ["CellPlugin"]

NO_LAB = "this test needs a guest: run it with `harness run --suite PATH`"


@pytest.fixture(scope="session")
def wsk(request: pytest.FixtureRequest) -> Wsk:
    """The driver under test as a WSK client; outside a cell it says how to run the test."""
    return _cell(request).current_wsk


@pytest.fixture(scope="session")
def wire(request: pytest.FixtureRequest) -> Wire:
    """The DUT network; outside a cell it says how to run the test."""
    return _cell(request).current_wire


@pytest.fixture
def provider(request: pytest.FixtureRequest) -> None:
    """Needed by tests that force the provider's behaviour: skips where it cannot be told."""
    need_provider(_cell(request).session.case.wsk)


def _cell(request: pytest.FixtureRequest) -> CellPlugin:
    for plugin in request.config.pluginmanager.get_plugins():
        if isinstance(plugin, CellPlugin):
            return plugin
    raise UsageError(NO_LAB)
