"""Feeds damaged plans to the verifier: the answer is always a verdict or one line of error."""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections import Counter
from collections.abc import Iterable, Iterator
from enum import Enum
from ipaddress import IPv4Address, ip_address
from pathlib import Path
from random import Random
from typing import Any

from harness.errors import HarnessError
from harness.offline.output import to_json, to_text
from harness.offline.verify import FileVerdict, Reader, verify
from harness.trace import trace_end
from harness.trace import trace_lines as plans
from harness.verify.closing import Closing
from harness.wsk import operations as op
from tests.corpus.hostile import PLAN, sound

_DEEP = 3000
STRANGE: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1,
    3,
    255,
    65_536,
    1 << 31,
    -(1 << 31),
    1 << 32,
    1 << 63,
    -(1 << 63),
    10**30,
    -(10**30),
    1.5,
    1e300,
    float("nan"),
    float("inf"),
    "",
    "x",
    "0",
    "zz",
    "a" * 1000,
    "00" * 70_000,
    "\ud800",
    "\x00\x1b[2J\n\u202e",
    "::",
    "0.0.0.0",
    "255.255.255.255",
    "fe80::1%7",
    "::ffff:192.0.2.1",
    "192.0.2.1/24",
    "2001:db8::/129",
    "00:00:00:00:00:00",
    "ff:ff:ff:ff:ff:ff:ff",
    [],
    [None],
    [[]],
    [-1, 10**30],
    ["x", {}],
    {},
    {"": ""},
    {"x": None},
    {"-1": "x"},
)
"""What a value of a plan is replaced by."""


def _example(hint: Any) -> Any:  # noqa: ANN401 - any field's type
    """A value of a field's type."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return ip_address("192.0.2.3") if IPv4Address in inner else _example(inner[0])
    if origin is tuple:
        return (_example(inner[0]),)
    if origin is dict:
        return {_example(inner[0]): _example(inner[1])}
    if dataclasses.is_dataclass(hint):
        return _made(typing.cast("type[Any]", hint))
    if isinstance(hint, type) and issubclass(hint, Enum):
        return next(iter(hint))
    return {bytes: b"12345678", str: "text", bool: True}.get(hint, 2)


def _made(kind: type[Any]) -> Any:  # noqa: ANN401 - any dataclass of the plan
    hints = typing.get_type_hints(kind)
    made = {}
    for item in dataclasses.fields(kind):
        given = item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING
        made[item.name] = _example(hints[item.name]) if given else item.default
        if item.default_factory is not dataclasses.MISSING:
            made[item.name] = item.default_factory()
    return kind(**made)


def whole() -> plans.Plan:
    """A plan with a step of each kind of operation, and how both cases ended."""
    steps = list(PLAN.steps)
    for kind in typing.get_args(op.Operation):
        steps.append(op.Step(len(steps) + 1, "more", _made(kind), _made(op.Outcome)))
    return dataclasses.replace(PLAN, steps=tuple(steps), closings=(Closing("sends"), Closing("more")))


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:  # noqa: ANN401 - any JSON value
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        yield (*path, key)
        yield from _places(inner, (*path, key))


def _full(line: dict[str, Any]) -> dict[str, Any]:
    """A line with the fields that stand at their defaults written out."""
    operation = line.get("operation")
    if isinstance(operation, dict):
        kind = next(each for each in typing.get_args(op.Operation) if each.__name__ == operation["op"])
        for name, _, default in plans._fields(kind):
            if default is not dataclasses.MISSING:
                operation.setdefault(name, plans._encode(default))
    for key, kind in (("outcome", op.Outcome), ("closing", Closing)):
        if isinstance(line.get(key), dict):
            for name, _, default in plans._fields(kind):
                if default is not dataclasses.MISSING:
                    line[key].setdefault(name, plans._encode(default))
    return line


def mutated(seed: int, plan: plans.Plan) -> str:
    """The text of a plan in which one to three values are replaced, left out, or nested deeply; its end line fits."""
    random = Random(seed)
    lines = [_full(json.loads(line)) for line in plans.lines(plan)][:-1]
    deep = False
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        line = random.choice(lines)
        *parents, last = random.choice(list(_places(line)))
        holder: Any = line
        for key in parents:
            holder = holder[key]
        what = random.random()
        if what < 0.1 and isinstance(holder, dict):
            del holder[last]
        elif what < 0.13:
            holder[last], deep = "DEEP", True
        else:
            alike = [value for value in STRANGE if type(value) is type(holder[last])]
            holder[last] = random.choice(alike if alike and what < 0.8 else STRANGE)
    end = trace_end.End()
    out = []
    for line in lines:
        text = json.dumps(line)
        if deep:
            text = text.replace('"DEEP"', "[" * _DEEP + "]" * _DEEP)
        end.add(text)
        out.append(text)
    return "\n".join([*out, end.line(), ""])


def answer(capture: Path, plan: Path) -> FileVerdict | HarnessError:
    """What the verifier answers, its report rendered both ways."""
    try:
        verdict = verify(capture, plan, Reader.FAST)
    except HarnessError as error:
        return error
    list(to_text(verdict, 3))
    json.dumps(to_json(verdict))
    return verdict


def run(seeds: Iterable[int], folder: Path) -> Counter[str]:
    """Judge a damaged plan for each seed; gives how often each answer came.

    Raises:
        AssertionError: another exception, or an error of more than one line; the message names the seed.
    """
    captures, path, base = [], folder / "operations.jsonl", whole()
    for number, content in enumerate(sound()[:2]):  # with markers and without
        captures.append(folder / f"capture{number}.pcapng")
        captures[-1].write_bytes(content)
    answers: Counter[str] = Counter()
    for seed in seeds:
        path.write_text(mutated(seed, base))
        try:
            given = answer(captures[seed % 2], path)
        except Exception as error:
            raise AssertionError(f"seed {seed}: {type(error).__name__}: {error}") from error
        if isinstance(given, HarnessError):
            assert "\n" not in given.line(), f"seed {seed}: {given.line()!r}"
        answers[type(given).__name__ if isinstance(given, HarnessError) else given.status.value] += 1
    return answers
