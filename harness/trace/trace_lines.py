"""Encodes and parses the lines of a plan (operations.jsonl), JSON objects: a header, steps and closings, an end.

This module handles text only; its callers open the files. The codec follows the dataclasses of ``operations`` and
``types``, so a new operation needs no change here. Fields at their defaults are left out; bytes are hexadecimal.
Parsing returns what was encoded, and every error names its line.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import re
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum, StrEnum
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

from harness import printable
from harness.errors import UsageError
from harness.trace import trace_end
from harness.verify.closing import Closing
from harness.wsk.operations import Operation, Outcome, Step

SCHEMA = 3
_READ = (1, 2, 3)  # schemas that are read: 1 had no closings, 2 no end
CUT = "the plan has no last line: the run that wrote it did not come to its end, or the file was cut"
_HALF_A_PAIR = re.compile("[\ud800-\udfff]")
_OPERATIONS: dict[str, type[Any]] = {kind.__name__: kind for kind in typing.get_args(Operation)}


class _BadLineError(ValueError):
    """A line cannot be parsed; the message says what is wrong."""


@dataclass(frozen=True, slots=True)
class Header:
    """First line of a plan.

    Args:
        run: identifier of the run.
        profile: name of the stack profile (``harness.model.profile``).
        site: ``Site.to_json()``: addresses, neighbours, MTU, properties of the NIC.
        cell: guest and NIC, for people.
        schema: version of this format.
        markers: secret of the run (16 bytes), which its markers in the capture carry; empty in plans of older versions.
    """

    run: str
    profile: str
    site: Mapping[str, Any] = field(default_factory=dict)
    cell: str = ""
    schema: int = SCHEMA
    markers: bytes = b""


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan: header, steps and closings in order.

    Args:
        header: its first line.
        steps: the executed operations with their outcomes.
        closings: how each case ended.
        doubts: reasons to believe that the file was cut or edited, one line each.
    """

    header: Header
    steps: tuple[Step, ...]
    closings: tuple[Closing, ...] = ()
    doubts: tuple[str, ...] = ()

    @property
    def ends(self) -> bool:
        """True if plans of this schema have a last line that reveals a cut or an edit."""
        return self.header.schema >= trace_end.SINCE


def header_line(header: Header) -> str:
    """Encode the header as a line, without the line end."""
    return _dump(
        {"schema": header.schema, "run": header.run, "cell": header.cell, "profile": header.profile}
        | ({"markers": header.markers.hex()} if header.markers else {})
        | {"site": dict(header.site)}
    )


def step_line(step: Step) -> str:
    """Encode a step as a line, without the line end."""
    operation = {"op": type(step.operation).__name__, **_encode_fields(step.operation)}
    return _dump(
        {"step": step.number, "case": step.case, "operation": operation, "outcome": _encode_fields(step.outcome)}
    )


def closing_line(closing: Closing) -> str:
    """Encode a case's closing as a line, without the line end."""
    return _dump({"closing": _encode_fields(closing)})


def lines(plan: Plan) -> Iterator[str]:
    """Yield all lines of a plan, without line ends: the header, all steps, all closings, the end."""
    end = trace_end.End()
    body = (header_line(plan.header), *map(step_line, plan.steps), *map(closing_line, plan.closings))
    for line in body:
        end.add(line)
        yield line
    if plan.ends:
        yield end.line()


def parse(text: Iterable[str]) -> Plan:
    """Parse a plan from its lines; ``text`` may be a file object.

    A plan that was cut or edited is parsed, too, and gets a doubt in ``doubts``.

    Raises:
        UsageError: a line is not JSON or lacks what such a line must have; the message names the line.
    """
    header: Header | None = None
    steps: list[Step] = []
    closings: list[Closing] = []
    doubts: list[str] = []
    counted, ended = trace_end.End(), False
    for number, line in enumerate(text, 1):
        if not line.strip():
            continue
        try:
            value = _load(line)
            if ended:
                doubts.append(f"the plan was changed after the run: line {number} follows its last line")
            if header is None:
                header = _header(value)
            elif trace_end.KEY in value:
                ended = True
                doubts += filter(None, [counted.difference(value[trace_end.KEY])])
            elif "closing" in value:
                closings.append(_decode_fields(Closing, value["closing"], "closing"))
            else:
                steps.append(_step(value))
                if len(steps) > 1 and steps[-1].number <= steps[-2].number:
                    raise _BadLineError(f"step {steps[-1].number} follows step {steps[-2].number}")
        except (_BadLineError, RecursionError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise UsageError(printable.line(f"operations plan, line {number}: {error}")) from None
        counted.add(line)
    if header is None:
        raise UsageError("operations plan: it is empty", mend='its first line must be the header {"schema": 1, ...}')
    plan = Plan(header, tuple(steps), tuple(closings), tuple(doubts[:1]))
    return replace(plan, doubts=(CUT,)) if plan.ends and not ended else plan


def _dump(value: Mapping[str, Any]) -> str:
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    if text.isascii() or not _HALF_A_PAIR.search(text):
        return text
    return json.dumps(value, separators=(",", ":"))  # UTF-8 cannot hold half a surrogate pair, but JSON's escapes can


def _load(line: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except ValueError as error:
        raise _BadLineError(f"not JSON ({error})") from None
    if not isinstance(value, dict):
        raise _BadLineError(f"a JSON object is wanted, not {type(value).__name__}")
    return value


def _header(value: dict[str, Any]) -> Header:
    if "schema" not in value:
        raise _BadLineError('the header is missing (an object with "schema")')
    if value["schema"] not in _READ:
        raise _BadLineError(f"schema {value['schema']!r} is not known, this version reads up to {SCHEMA}")
    site = value.get("site", {})
    if not isinstance(site, dict):
        raise _BadLineError('"site" must be an object')
    texts = {key: value.get(key, "") for key in ("run", "profile", "cell")}
    for key, text in texts.items():
        if not isinstance(text, str):
            raise _BadLineError(f'"{key}" must be a string')
    markers = _decode(bytes, value.get("markers", ""), '"markers"')
    return Header(site=site, schema=value["schema"], markers=markers, **texts)


def _step(value: dict[str, Any]) -> Step:
    for key in ("step", "case", "operation"):
        if key not in value:
            raise _BadLineError(f'"{key}" is missing')
    operation = value["operation"]
    if not isinstance(operation, dict) or not isinstance(operation.get("op"), str):
        raise _BadLineError('"operation" must be an object with "op"')
    name = operation["op"]
    if name not in _OPERATIONS:
        near = difflib.get_close_matches(name, _OPERATIONS, 1)
        raise _BadLineError(f'operation "{name}" is not known' + (f', did you mean "{near[0]}"?' if near else ""))
    rest = {key: item for key, item in operation.items() if key != "op"}
    return Step(
        number=_decode(int, value["step"], "step"),
        case=_decode(str, value["case"], "case"),
        operation=_decode_fields(_OPERATIONS[name], rest, name),
        outcome=_decode_fields(Outcome, value.get("outcome", {}), "outcome"),
    )


_FIELDS: dict[type[Any], tuple[tuple[str, Any, Any], ...]] = {}


def _fields(kind: type[Any]) -> tuple[tuple[str, Any, Any], ...]:
    """Return (name, type, default or MISSING) for each field of a dataclass."""
    if kind in _FIELDS:
        return _FIELDS[kind]
    hints = typing.get_type_hints(kind)
    out = []
    for item in dataclasses.fields(kind):
        default = item.default
        if item.default_factory is not dataclasses.MISSING:
            default = item.default_factory()
        out.append((item.name, hints[item.name], default))
    return _FIELDS.setdefault(kind, tuple(out))


def _encode_fields(value: Any) -> dict[str, Any]:  # noqa: ANN401 - any dataclass of the plan
    out: dict[str, Any] = {}
    for name, _, default in _fields(type(value)):
        item = getattr(value, name)
        if default is dataclasses.MISSING or item != default:
            out[name] = _encode(item)
    return out


def _encode(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, IPv4Address | IPv6Address):
        return str(value)
    if isinstance(value, tuple):
        return [_encode(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _encode(item) for key, item in value.items()}
    return _encode_fields(value)


def _decode_fields(kind: type[Any], value: Any, where: str) -> Any:  # noqa: ANN401
    if not isinstance(value, dict):
        raise _BadLineError(f"{where} must be an object")
    known = _fields(kind)
    for key in value:
        if all(key != name for name, _, _ in known):
            near = difflib.get_close_matches(key, [name for name, _, _ in known], 1)
            raise _BadLineError(f'{where} has no field "{key}"' + (f', did you mean "{near[0]}"?' if near else ""))
    made: dict[str, Any] = {}
    for name, hint, default in known:
        if name in value:
            made[name] = _decode(hint, value[name], f"{where}.{name}")
        elif default is dataclasses.MISSING:
            raise _BadLineError(f'{where} lacks "{name}"')
    try:
        return kind(**made)
    except ValueError as error:
        raise _BadLineError(f"{where}: {error}") from None


def _decode(hint: Any, value: Any, where: str) -> Any:  # noqa: ANN401
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return _decode_union(typing.get_args(hint), value, where)
    if origin is tuple:
        if not isinstance(value, list):
            raise _BadLineError(f"{where} must be a list")
        inner = typing.get_args(hint)[0]
        return tuple(_decode(inner, item, f"{where}[{index}]") for index, item in enumerate(value))
    if origin is dict:
        if not isinstance(value, dict):
            raise _BadLineError(f"{where} must be an object")
        key_hint, item_hint = typing.get_args(hint)
        return {_key(key_hint, k, where): _decode(item_hint, v, f"{where}[{k}]") for k, v in value.items()}
    if dataclasses.is_dataclass(hint):
        return _decode_fields(typing.cast("type[Any]", hint), value, where)
    return _decode_scalar(hint, value, where)


def _decode_union(options: tuple[Any, ...], value: Any, where: str) -> Any:  # noqa: ANN401
    if IPv4Address in options:
        try:
            if isinstance(value, str):
                return ip_address(value)
        except ValueError:
            pass
        raise _BadLineError(f"{where} must be an IP address, not {value!r}")
    if value is None and type(None) in options:
        return None
    return _decode(next(option for option in options if option is not type(None)), value, where)


def _decode_scalar(hint: Any, value: Any, where: str) -> Any:  # noqa: ANN401
    if hint is bytes:
        try:
            if isinstance(value, str):
                return bytes.fromhex(value)
        except ValueError:
            pass
        raise _BadLineError(f"{where} must be hexadecimal")
    if hint is bool or hint is str:
        if not isinstance(value, hint):
            raise _BadLineError(f"{where} must be {'true or false' if hint is bool else 'a string'}, not {value!r}")
        return value
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return _member(hint, value, where)
    if not isinstance(value, int) or isinstance(value, bool):
        raise _BadLineError(f"{where} must be a whole number, not {value!r}")
    if isinstance(hint, type) and issubclass(hint, IntEnum):
        return _member(hint, value, where)
    return value


def _member(hint: type[IntEnum | StrEnum], value: Any, where: str) -> Any:  # noqa: ANN401
    try:
        return hint(value)
    except ValueError:
        raise _BadLineError(f"{where}: {value} is none of {[item.value for item in hint]}") from None


def _key(hint: Any, value: str, where: str) -> Any:  # noqa: ANN401
    if hint is not int:
        return value
    try:
        return int(value)
    except ValueError:
        raise _BadLineError(f"{where}: {value!r} is not a whole number") from None
