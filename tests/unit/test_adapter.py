"""Adapters are found by name, a wrong name says what is wrong with it, and their mistakes are nobody else's."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any
from unittest.mock import Mock, call

import pytest

from harness.cell import adapter_names
from harness.cell.adapter import DriverAdapter, completed, not_offered
from harness.errors import Failure, LabError, UsageError
from harness.wsk import operations as ops
from harness.wsk import status as nt
from harness.wsk.operations import Outcome
from harness.wsk.types import Endpoint, Family

GOOD = "from harness.adapter import DriverAdapter\nclass Mine(DriverAdapter):\n    service = 'mine'\n"
WHOLE = f"{GOOD}    def execute(self, operations): ...\n"


def test_an_adapter_is_found_in_a_module_and_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(WHOLE)
    assert adapter_names.find("tests.adapter.cast_adapter:CastAdapter").service == "udpcast"
    assert adapter_names.find(f"{file}:Mine").service == "mine"
    assert "mine" not in sys.modules, "a suite's package of that name must not be hidden"
    assert adapter_names.file_of(f"{file}:Mine") == file
    assert adapter_names.file_of("mine:Mine") is None


def test_a_files_name_is_made_absolute_and_a_modules_is_not(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert adapter_names.absolute("mine.py:Mine") == f"{tmp_path}/mine.py:Mine"
    assert adapter_names.absolute("my.module:Mine") == "my.module:Mine"
    assert adapter_names.absolute("") == ""


def test_an_adapter_moves_with_its_file() -> None:
    assert adapter_names.moved("/a/mine.py:Mine", Path("/b")) == "/b/mine.py:Mine"
    assert adapter_names.moved("my.module:Mine", Path("/b")) == "my.module:Mine"
    assert adapter_names.moved("", Path("/b")) == ""


@pytest.mark.parametrize(
    "wrong",
    [
        "nosuchmodule:X",
        "harness.adapter:Nothing",
        "/nowhere.py:X",
        "harness.adapter",
        ":",
        "harness.adapter:DriverAdapter",
    ],
)
def test_a_wrong_name_is_wrong_usage(wrong: str) -> None:
    with pytest.raises(UsageError, match="adapter"):
        adapter_names.find(wrong)


@pytest.mark.parametrize("text", ["x = (", "raise RuntimeError('no licence')", "1 / 0", GOOD])
def test_a_file_that_makes_no_adapter_is_wrong_usage(text: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(text)
    with pytest.raises(UsageError, match=r"adapter .*mine\.py:Mine"):
        adapter_names.find(f"{file}:Mine")


def test_a_class_of_another_kind_is_refused() -> None:
    with pytest.raises(UsageError, match="not derived"):
        adapter_names.find("pathlib:Path")


def test_the_outcomes_that_an_adapter_gives() -> None:
    good, bad = completed(nt.SUCCESS, 5).completion, completed(nt.HOST_UNREACHABLE).completion
    assert good is not None
    assert bad is not None
    assert (good.status, good.information, good.completions) == (nt.SUCCESS, 5, 1)
    assert (bad.returned, bad.status, bad.information) == (nt.HOST_UNREACHABLE, nt.HOST_UNREACHABLE, 0)
    with pytest.raises(pytest.skip.Exception, match="offers no Burst"):
        not_offered(ops.Burst(1, None, 1, 1, 1))


class Clumsy(DriverAdapter):
    """Does what the operation's name says, and nothing right."""

    def execute(self, operations: Sequence[ops.Operation]) -> list[Outcome]:
        match operations[0]:
            case ops.Open():
                return []
            case ops.Bind():
                raise Failure("the driver hangs")
            case ops.Close():
                not_offered(operations[0])
        return [{}[operation] for operation in operations]  # type: ignore[index]


def test_an_adapters_mistakes_are_not_the_drivers(tmp_path: Path) -> None:
    clumsy = Clumsy(Mock(), Mock(), tmp_path)
    with pytest.raises(LabError, match=r"Clumsy\.execute raised KeyError: .*\(test_adapter\.py:\d+\)"):
        clumsy.execute([ops.GetLocalAddress(1)])
    with pytest.raises(LabError, match="gave 0 outcomes for 1"):
        clumsy.execute([ops.Open(1, Family.INET)])
    with pytest.raises(Failure, match="the driver hangs"):
        clumsy.execute([ops.Bind(1, Endpoint(IPv4Address("192.0.2.10"), 9))])
    with pytest.raises(pytest.skip.Exception):
        clumsy.execute([ops.Close(1)])


@pytest.mark.parametrize(("books", "said"), [(7, "int"), ([1, 2], "list of int"), ({"irps": 0}, "dict")])
def test_books_of_a_wrong_type_are_the_adapters_mistake(books: object, said: str, tmp_path: Path) -> None:
    class Wrong(DriverAdapter):
        def accounts(self) -> Any:  # noqa: ANN401
            return books

    with pytest.raises(LabError, match=rf"Wrong\.accounts gave {said} where Accounts or None is due"):
        Wrong(Mock(), Mock(), tmp_path).accounts()


def test_an_adapter_that_says_nothing_of_it_renews_its_driver_as_a_restarted_guest_gets_it(tmp_path: Path) -> None:
    calls = Mock()

    class Plain(DriverAdapter):
        service = "plain"

        def attach(self) -> None:
            calls.attach()

        def close(self) -> None:
            calls.close()

    plain = Plain(calls.guest, calls.shell, tmp_path / "plain.sys")
    plain.broken = True
    plain.renew()
    steps = [call.close(), call.guest.renew(calls.shell)]
    steps += [call.guest.load_driver(calls.shell, "C:/harness/plain.sys", "plain"), call.attach()]
    assert calls.mock_calls == steps
    assert not plain.broken
    calls.guest.renew.side_effect = LabError("the guest does not stop it")
    plain.broken = True
    with pytest.raises(LabError, match="does not stop it"):
        plain.renew()
    assert plain.broken
