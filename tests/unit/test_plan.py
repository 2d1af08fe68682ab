"""The plan on disk: what is written is read back, and bad lines are named."""

from __future__ import annotations

import json
from ipaddress import IPv4Address, IPv6Address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import UsageError
from harness.model.site import Site
from harness.trace import trace_lines
from harness.verify.closing import Closing
from harness.verify.verdict import Finding, Verdict
from harness.wsk import operations as op
from harness.wsk.types import Completion, ControlMessage, Endpoint, Family, Mdl, WskBuf
from tests.unit.verify_kit import Plan, at, site

numbers = st.integers(0, 2**64 - 1)
words = st.integers(0, 2**32 - 1)
addresses = st.one_of(st.builds(IPv4Address, words), st.builds(IPv6Address, st.integers(0, 2**128 - 1)))
endpoints = st.builds(Endpoint, addresses, st.integers(0, 65535), words)
controls = st.lists(st.builds(ControlMessage, words, words, st.binary(max_size=30)), max_size=3).map(tuple)
mdls = st.lists(st.builds(Mdl, st.binary(max_size=40), st.integers(0, 4095)), max_size=3).map(tuple)
buffers = st.builds(WskBuf, mdls, words, st.none() | words)
completions = st.builds(Completion, words, words, numbers, words, st.integers(0, 15), st.booleans(), st.booleans())
operations = st.one_of(
    st.builds(op.Load),
    st.builds(op.Unload),
    st.builds(op.Open, words, st.sampled_from(Family), words),
    st.builds(op.Bind, words, endpoints),
    st.builds(op.GetLocalAddress, words),
    st.builds(op.SetOption, words, words, words, st.binary(max_size=20)),
    st.builds(op.GetOption, words, words, words, words),
    st.builds(op.SetRemoteAddress, words, st.none() | endpoints),
    st.builds(op.SetSendToAddress, words, st.none() | endpoints),
    st.builds(
        op.SendTo,
        words,
        buffers,
        st.none() | endpoints,
        words,
        controls,
        st.booleans(),
        st.booleans(),
        st.sampled_from(op.SendPath),
    ),
    st.builds(op.SendMessages, words, st.lists(buffers, max_size=3).map(tuple), st.none() | endpoints, words, controls),
    st.builds(op.Burst, words, st.none() | endpoints, words, words, words, numbers, words),
    st.builds(op.Collect, words, st.lists(words, max_size=4).map(tuple)),
    st.builds(op.Receive, words, words, words),
    st.builds(op.Close, words),
)
outcomes = st.builds(
    op.Outcome,
    words,
    st.none() | completions,
    st.none() | endpoints,
    st.binary(max_size=30),
    st.dictionaries(words, completions, max_size=3),
)
steps = st.builds(op.Step, words, st.text(max_size=20), operations, outcomes)


@given(steps)
def test_a_step_is_read_back_as_it_was_written(step: op.Step) -> None:
    line = trace_lines.step_line(step)
    assert "\n" not in line
    assert trace_lines.parse([trace_lines.header_line(trace_lines.Header("r", "linux")), line]).steps == (step,)


closings = st.builds(
    Closing,
    st.text(max_size=20),
    st.none() | st.builds(op.Accounts, words, words),
    st.lists(words, max_size=3).map(tuple),
    findings=st.lists(
        st.builds(Finding, st.sampled_from(Verdict), st.none() | words, st.none() | words, st.text(max_size=9)),
        max_size=2,
    ).map(tuple),
    doubts=st.lists(st.text(max_size=9), max_size=2).map(tuple),
    failure=st.text(max_size=9),
)


@given(st.lists(steps, max_size=5, unique_by=lambda step: step.number), st.lists(closings, max_size=3))
def test_a_plan_is_read_back_as_it_was_written(some: list[op.Step], ends: list[Closing]) -> None:
    header = trace_lines.Header("run-1", "linux", site().to_json(), "wine/e1000")
    whole = trace_lines.Plan(header, tuple(sorted(some, key=lambda step: step.number)), tuple(ends))
    again = trace_lines.parse(trace_lines.lines(whole))
    assert again == whole
    assert Site.from_json(again.header.site) == site()


def written() -> list[str]:
    made = Plan()
    made.socket()
    made.send(b"hello", "192.0.2.1")
    return list(trace_lines.lines(trace_lines.Plan(trace_lines.Header("r", "linux"), tuple(made.steps))))


def changed(line: str, **values: Any) -> str:  # noqa: ANN401 - JSON
    return json.dumps(json.loads(line) | values)


@pytest.mark.parametrize(
    ("index", "bad", "says"),
    [
        (0, "{", "line 1: not JSON"),
        (0, "[]", "line 1: a JSON object is wanted"),
        (0, '{"step": 1}', "line 1: the header is missing"),
        (0, '{"schema": 99}', "line 1: schema 99 is not known"),
        (1, '{"closing": {"cases": "c"}}', 'line 2: closing has no field "cases", did you mean "case"?'),
        (1, '{"closing": {"case": "c", "findings": [{"verdict": "lost"}]}}', "lost is none of ['matched', "),
        (2, '{"step": 2, "case": "c"}', 'line 3: "operation" is missing'),
        (2, '{"step": 2, "case": "c", "operation": {"op": "SendToo"}}', 'did you mean "SendTo"'),
        (2, '{"step": 2, "case": "c", "operation": {"op": "Close"}}', 'line 3: Close lacks "socket"'),
        (2, '{"step": 2, "case": "c", "operation": {"op": "Close", "sockets": 1}}', 'did you mean "socket"'),
        (2, '{"step": 2, "case": "c", "operation": {"op": "Close", "socket": "x"}}', "must be a whole number"),
        (2, '{"step": 2, "case": "c", "operation": {"op": "Open", "socket": 1, "family": 3}}', "3 is none of [2, 23]"),
        (3, '{"step": 1, "case": "c", "operation": {"op": "Load"}}', "line 4: step 1 follows step 2"),
        (
            2,
            '{"step": 2, "case": "c", "operation": '
            '{"op": "Bind", "socket": 1, "local": {"address": "1.2.3", "port": 1}}}',
            "must be an IP address",
        ),
        (
            2,
            '{"step": 2, "case": "c", "operation": '
            '{"op": "Bind", "socket": 1, "local": {"address": "::", "port": 99999}}}',
            "port 99999",
        ),
        (
            2,
            '{"step": 2, "case": "c", "operation": '
            '{"op": "SetOption", "socket": 1, "level": 0, "name": 4, "value": "xyz"}}',
            "must be hexadecimal",
        ),
    ],
)
def test_a_bad_line_is_named_in_one_line(index: int, bad: str, says: str) -> None:
    lines = written()
    lines[index] = bad
    with pytest.raises(UsageError) as caught:
        trace_lines.parse(lines)
    assert says in caught.value.line()
    assert "\n" not in caught.value.line()


def test_an_empty_plan_is_refused() -> None:
    with pytest.raises(UsageError, match="it is empty"):
        trace_lines.parse([])


@given(st.integers(1, 4), st.data())
def test_no_line_brings_anything_but_a_usage_error(index: int, data: st.DataObject) -> None:
    lines = written()
    at_byte = data.draw(st.integers(0, len(lines[index]) - 1))
    lines[index] = lines[index][:at_byte] + data.draw(st.characters()) + lines[index][at_byte + 1 :]
    try:
        trace_lines.parse(lines)
    except UsageError as error:
        message = error.line()
    else:
        message = f"line {index + 1}"
    assert f"line {index + 1}" in message or f"line {index + 2}" in message


def test_defaults_are_left_out_of_a_line() -> None:
    step = op.Step(1, "c", op.SendTo(1, WskBuf.of(b"\x01\x02"), at("192.0.2.1")), op.Outcome())
    assert json.loads(trace_lines.step_line(step)) == {
        "step": 1,
        "case": "c",
        "operation": {
            "op": "SendTo",
            "socket": 1,
            "buffer": {"mdls": [{"data": "0102"}]},
            "remote": {"address": "192.0.2.1", "port": 9000},
        },
        "outcome": {},
    }
