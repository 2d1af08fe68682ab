"""Crashes: stop codes decoded wherever they stand, fingerprints that group, the verdict from the evidence."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from harness import resources
from harness.capture.frames import CapturedFrame
from harness.errors import LabError
from harness.guests.silence import noise
from harness.guests.windows import powershell
from harness.guests.windows.crash import bugcheck, collect
from harness.guests.windows.crash.bugcheck import Bugcheck
from harness.guests.windows.crash.detect import Evidence, Kind, judge
from harness.guests.windows.crash.examine import examine
from harness.guests.windows.crash.fingerprint import Module, fingerprint

D1 = Bugcheck(0xD1, (0xFFFFC08112345678, 2, 1, 0xFFFFF80312341ABC))
EVENT_1001 = (
    "The computer has rebooted from a bugcheck.  The bugcheck was: 0x000000d1 (0xffffc08112345678, 0x0000000000000002, "
    r"0x0000000000000001, 0xfffff80312341abc). A dump was saved in: C:\Windows\MEMORY.DMP. Report Id: 8d4d."
)


def test_event_1001_in_any_language() -> None:
    assert bugcheck.from_text(EVENT_1001) == D1
    german = (
        "Der Computer wurde nach einem schwerwiegenden Fehler neu gestartet. Der Fehlercode war: " + EVENT_1001[62:]
    )
    assert bugcheck.from_text(german) == D1
    assert bugcheck.from_text("The computer was started.") is None


def test_power_event_41() -> None:
    data = {"BugcheckCode": "209", "BugcheckParameter1": "0xffffc08112345678", "BugcheckParameter2": "0x2"}
    data |= {"BugcheckParameter3": "0x1", "BugcheckParameter4": "0xfffff80312341abc"}
    assert bugcheck.from_power_event(data) == D1
    assert bugcheck.from_power_event({"BugcheckCode": "0"}) is None, "a reset without a bugcheck"
    assert bugcheck.from_power_event({}) is None
    assert bugcheck.from_power_event({"BugcheckCode": "?"}) is None


def test_dump_header() -> None:
    head = bytearray(b"PAGEDU64".ljust(bugcheck.DUMP_HEADER_BYTES, b"\0"))
    struct.pack_into("<I4x4Q", head, 0x38, D1.code, *D1.parameters)
    assert bugcheck.from_dump(bytes(head)) == D1
    assert bugcheck.from_dump(bytes(head[:40])) is None
    assert bugcheck.from_dump(b"ELF".ljust(200, b"\0")) is None


def test_names() -> None:
    assert D1.name == "DRIVER_IRQL_NOT_LESS_OR_EQUAL"
    assert Bugcheck(0xDEAD).name == "UNKNOWN_BUGCHECK"
    assert all(meaning in ("value", "code", "any") for code in range(0x200) for meaning in Bugcheck(code).meanings)


def test_the_same_crash_after_another_boot_has_the_same_fingerprint() -> None:
    moved = Bugcheck(0xD1, (0xFFFFC08199995678, 2, 1, 0xFFFFF8037777_7ABC))
    assert fingerprint(D1) == fingerprint(moved)
    assert fingerprint(D1).text == "0xd1 DRIVER_IRQL_NOT_LESS_OR_EQUAL *,0x2,0x1,*abc"


def test_other_crashes_have_other_fingerprints() -> None:
    other_irql = Bugcheck(0xD1, (D1.parameters[0], 0xFF, 1, D1.parameters[3]))
    other_place = Bugcheck(0xD1, (D1.parameters[0], 2, 1, D1.parameters[3] + 4))
    keys = {fingerprint(one).key for one in (D1, other_irql, other_place, Bugcheck(0x0A, D1.parameters))}
    assert len(keys) == 4


def test_code_is_named_by_module_when_its_place_is_known() -> None:
    modules = [Module("wsksend.sys", 0xFFFFF80312340000, 0x8000)]
    assert fingerprint(D1, modules).text.endswith("wsksend.sys+0x1abc")


def test_a_status_parameter_counts() -> None:
    status = Bugcheck(0x7E, (0xFFFFFFFFC0000005, 0xFFFFF80312341ABC, 0xFFFFA0812345, 0))
    assert fingerprint(status).text == "0x7e SYSTEM_THREAD_EXCEPTION_NOT_HANDLED 0xc0000005,*abc,*,*"


@pytest.mark.parametrize(
    ("evidence", "kind"),
    [
        (Evidence(), Kind.NONE),
        (Evidence(boot_before="a", boot_after="a"), Kind.NONE),
        (Evidence(boot_before="a", boot_after="b"), Kind.RESTARTED),
        (Evidence(boot_before="a", boot_after="b", expected_restart=True), Kind.NONE),
        (Evidence(boot_before="a", boot_after="b", bugcheck=D1), Kind.CRASHED),
        (Evidence(boot_before="a", boot_after="b", dump=True), Kind.CRASHED),
        (Evidence(notices=["crashloaded"], boot_before="a", reachable=False), Kind.DUMPING),
        (Evidence(notices=["crashloaded"], boot_before="a", boot_after="b"), Kind.CRASHED),
        (Evidence(notices=["panicked"], reachable=False), Kind.CRASHED),
        (Evidence(boot_before="a", reachable=False), Kind.GONE),
    ],
)
def test_verdict_from_the_evidence(evidence: Evidence, kind: Kind) -> None:
    assert judge(evidence) is kind


@dataclass
class Answer:
    exit_code: int = 0
    stdout: str = ""
    stderr: str = ""


@dataclass
class Shell:
    answers: list[Answer]
    asked: list[str] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)

    def run(self, command: str, timeout: float = 0) -> Answer:
        self.asked.append(powershell.decode(command) if "-EncodedCommand" in command else command)
        return self.answers.pop(0)

    def put(self, local: Path | bytes, remote: str) -> None:
        raise AssertionError("nothing is put")

    def fetch(self, remote: str, local: Path) -> None:
        local.write_bytes(self.files[remote])


def test_bugchecks_of_the_event_log_come_once_each() -> None:
    power = {"id": 41, "time": "2026-01-01T00:00:02", "text": "", "data": {"BugcheckCode": "226"}}
    same = {"id": 1001, "time": "2026-01-01T00:00:03", "text": EVENT_1001, "data": {}}
    again = {"id": 1001, "time": "2026-01-01T00:00:04", "text": EVENT_1001, "data": {}}
    shell = Shell([Answer(stdout=json.dumps([again, same, power]))])
    log = collect.events_since(shell, "2026-01-01T00:00:00Z")
    assert log == collect.EventLog((Bugcheck(0xE2), D1), dump_saved=True, restarted=True)
    assert "'2026-01-01T00:00:00Z'" in shell.asked[0]


def test_one_event_alone_is_no_list_and_none_is_no_text() -> None:
    single = json.dumps({"id": 1001, "time": "x", "text": EVENT_1001, "data": {}})
    assert collect.events_since(Shell([Answer(stdout=single)]), "t").bugchecks == (D1,)
    assert collect.events_since(Shell([Answer(stdout="\n")]), "t") == collect.EventLog()


def test_a_guest_that_does_not_tell() -> None:
    with pytest.raises(LabError, match="does not tell of its crashes"):
        collect.boot_identity(Shell([Answer(97, "", "Access denied")]))
    with pytest.raises(LabError, match="not answer in JSON"):
        collect.dumps_since(Shell([Answer(stdout="oops")]), "t")


def test_a_dump_is_packed_fetched_and_deleted(tmp_path: Path) -> None:
    shell = Shell([Answer(), Answer()], files={collect.PACKED: b"packed"})
    dump = collect.DumpFile(r"C:\Windows\MEMORY.DMP", 7, "t")
    target = collect.fetch_dump(shell, dump, tmp_path / "dumps")
    assert target.read_bytes() == b"packed"
    assert shell.asked == [
        r"tar.exe -czf C:\harness\dump.tgz -C C:\Windows MEMORY.DMP",
        r"del C:\harness\dump.tgz",
    ]


def test_powershell_survives_quotes_and_ampersands() -> None:
    script = "Write-Output 'a & b | c ^ d % e \"f\" ünïcode'"
    line = powershell.command(script)
    assert powershell.decode(line) == script
    assert not set("&|^%\"'<>") & set(line)
    assert powershell.quote("it's") == "'it''s'"
    with pytest.raises(ValueError, match="too long"):
        powershell.command("x" * 4000)


SCRIPTS = sorted((resources.root() / "images" / "windows" / "guest").glob("*.ps1"))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_guest_scripts_parse_as_powershell_and_fit_a_command_line(path: Path) -> None:
    """By the tree-sitter grammar: Microsoft's own parser cannot be installed here."""
    tree_sitter = pytest.importorskip("tree_sitter")
    grammar = pytest.importorskip("tree_sitter_powershell")
    parser = tree_sitter.Parser(tree_sitter.Language(grammar.language()))
    script = powershell.load(path.stem, Since="2026-01-01T00:00:00Z", Mac="52:54:00:d0:00:01", Name="it's")
    assert not parser.parse(path.read_bytes()).root_node.has_error
    assert not parser.parse(script.encode()).root_node.has_error
    assert all(len(line) <= 130 for line in path.read_text(encoding="ascii").splitlines())
    if path.stem != "dut":
        powershell.command(script)


class ClosingShell(Shell):
    def close(self) -> None:
        self.asked.append("closed")


BEFORE, AFTER = "2026-01-01T00:00:00Z", "2026-01-01T00:09:00Z"


def test_a_guest_that_crashed_is_examined_when_it_is_back(tmp_path: Path) -> None:
    event = json.dumps({"id": 1001, "time": AFTER, "text": EVENT_1001, "data": {}})
    dump = json.dumps({"path": r"C:\Windows\MEMORY.DMP", "size": 9, "time": AFTER})
    answers = [Answer(stdout=AFTER), Answer(stdout=event), Answer(stdout=dump), Answer(), Answer()]
    shell = ClosingShell(answers, files={collect.PACKED: b"packed"})
    crash = examine(BEFORE, ["crashloaded"], lambda: shell, tmp_path)
    assert (crash.kind, crash.bugcheck) == (Kind.CRASHED, D1)
    assert crash.fingerprint == fingerprint(D1)
    assert crash.dump is not None
    assert crash.dump.read_bytes() == b"packed"
    assert "DRIVER_IRQL_NOT_LESS_OR_EQUAL" in crash.line()
    assert shell.asked[-1] == "closed"
    assert f"$Since='{AFTER}'" in shell.asked[1], "a crash is logged by the boot after it; an earlier one is no news"


def test_the_dump_is_waited_for_and_a_second_one_of_a_kind_is_left(tmp_path: Path) -> None:
    power = json.dumps({"id": 41, "time": AFTER, "text": "", "data": {"BugcheckCode": "209"}})
    event = json.dumps({"id": 1001, "time": AFTER, "text": EVENT_1001, "data": {}})
    dump = json.dumps({"path": r"C:\Windows\MEMORY.DMP", "size": 9, "time": AFTER})
    answers = [Answer(stdout=AFTER), Answer(stdout=power), Answer(stdout=event), Answer(stdout=dump)]
    shell = ClosingShell(answers)
    crash = examine(BEFORE, [], lambda: shell, tmp_path, known={fingerprint(D1).key}, settle=0.05)
    assert (crash.bugcheck, crash.dump) == (D1, None)
    assert "the first of these" in crash.note


def test_a_reset_is_no_crash_of_the_driver(tmp_path: Path) -> None:
    power = json.dumps({"id": 41, "time": AFTER, "text": "", "data": {"BugcheckCode": "0"}})
    shell = ClosingShell([Answer(stdout=AFTER), Answer(stdout=power), Answer()])
    crash = examine(BEFORE, [], lambda: shell, tmp_path)
    assert crash.kind is Kind.RESTARTED
    assert not crash.proven


def dump_head(code: int) -> bytes:
    return b"PAGEDU64" + bytes(0x38 - 8) + struct.pack("<I4x4Q", code, *D1.parameters)


@pytest.mark.parametrize(("code", "kind"), [(0xD1, Kind.CRASHED), (0x161, Kind.GONE)])
def test_a_guest_that_stays_away_is_dumped_from_the_host(tmp_path: Path, code: int, kind: Kind) -> None:
    """QEMU writes 0x161 for a Windows that has not stopped: it hangs, which is no proof against the driver."""

    def never() -> ClosingShell:
        raise LabError("no SSH")

    def dump(path: Path) -> None:
        path.write_bytes(dump_head(code) + bytes(100))

    crash = examine(BEFORE, [], never, tmp_path / "dumps", dump_from_host=dump)
    assert (crash.kind, crash.back) == (kind, False)
    assert crash.dump is not None
    assert crash.dump.is_file()
    assert crash.bugcheck == (D1 if kind is Kind.CRASHED else None)
    assert crash.proven == (kind is Kind.CRASHED)


def test_a_guest_that_only_lost_its_connection_did_not_crash(tmp_path: Path) -> None:
    crash = examine(BEFORE, [], lambda: ClosingShell([Answer(stdout=BEFORE)]), tmp_path)
    assert crash.kind is Kind.NONE


def test_a_guest_that_stays_away(tmp_path: Path) -> None:
    def never() -> ClosingShell:
        raise LabError("no SSH")

    assert examine(BEFORE, ["crashloaded"], never, tmp_path).kind is Kind.DUMPING
    gone = examine(BEFORE, [], never, tmp_path)
    assert gone.kind is Kind.GONE
    assert "no SSH" in gone.line()


def test_noise_is_named() -> None:
    mac = bytes.fromhex("525400d00001")

    def frame(ethertype: str, rest: bytes, source: bytes = mac) -> CapturedFrame:
        data = b"\xff" * 6 + source + bytes.fromhex(ethertype) + rest
        return CapturedFrame(1, 0, data, len(data))

    udp = bytes.fromhex("4500001c000000008011000000000000e00000fc") + bytes.fromhex("c00014eb00080000")
    igmp = bytes.fromhex("46000020000000000102000000000000e0000016") + bytes(12)
    report = bytes.fromhex("6000000000240001") + bytes(32) + bytes.fromhex("3a00050200000000") + bytes(28)
    frames = [
        frame("0806", bytes(28)),
        frame("0806", bytes(28), b"\x02" * 6),
        frame("0800", udp),
        frame("0800", igmp),
        frame("86dd", report),
    ]
    assert noise(frames, mac) == {"ARP": 1, "LLMNR": 1, "IGMP": 1, "ICMPv6": 1}
    assert noise(frames[1:2], mac) == {}
