"""Whatever watches says so at the start of a cell; silence, an old answer or another driver's is the lab's fault."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.capture import proof
from harness.capture.frames import Checksum, Dissection
from harness.driver_verifier import findings, watching
from harness.driver_verifier.watching import Watching, answered, ask
from harness.errors import Failure, LabError

STATUS_NOT_FOUND = 0xC0000225


class Provider:
    """Answers the question with a status, or not at all."""

    def __init__(self, status: int | None) -> None:
        self.status = status
        self.asked: list[int] = []

    def watch(self, number: int) -> int:
        self.asked.append(number)
        if self.status is None:
            raise Failure("the driver did not answer a request within 30 s")
        return self.status


def log(words: str, code: str = "watching") -> list[findings.Line]:
    return findings.parse(f"1\tattached\t0\tversion 2, wsksend.sys, 42 imports\t\n2\t{code}\t0\t{words}\t\n")


def test_the_answer_names_version_driver_and_imports() -> None:
    seen = answered(log("abc version 2, wsksend.sys, 42 imports"), 0xABC, "wsksend.sys")
    assert seen == Watching(2, "wsksend.sys", 42)
    assert str(seen) == "version 2 watches wsksend.sys (42 imports)"


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("abd version 2, wsksend.sys, 42 imports", "its log has no answer"),  # of a state that was saved earlier
        ("", "its log has no answer"),
        ("abc version 2, other.sys, 42 imports", "does not watch wsksend.sys"),
        ("abc version 2, nothing, 0 imports", "does not watch wsksend.sys"),
        ("abc version 2, wsksend.sys, 0 imports", "does not watch wsksend.sys"),
        ("abc version 1, wsksend.sys, 42 imports", "version 1 of its log"),
    ],
)
def test_any_other_answer_is_the_lab_s_fault(words: str, reason: str) -> None:
    with pytest.raises(LabError, match=reason):
        answered(log(words), 0xABC, "wsksend.sys")


def test_an_attached_line_is_no_answer() -> None:
    with pytest.raises(LabError, match="its log has no answer"):
        answered(log("abc version 2, wsksend.sys, 42 imports", code="attached"), 0xABC, "wsksend.sys")


def test_each_question_has_a_number_of_its_own() -> None:
    provider = Provider(0)
    assert [ask(provider), ask(provider)] == provider.asked
    assert len(set(provider.asked)) == 2


@pytest.mark.parametrize(("status", "reason"), [(STATUS_NOT_FOUND, "no verifier watches"), (None, "was asked whether")])
def test_no_verifier_is_the_lab_s_fault(status: int | None, reason: str) -> None:
    with pytest.raises(LabError, match=reason):
        watching.ask(Provider(status))


def test_what_a_verifier_says_of_itself_is_no_finding() -> None:
    lines = [*log("abc version 2, wsksend.sys, 42 imports"), *log("no more lines are written", code="muted")]
    assert findings.findings(lines, findings.Symbols(Path("/nowhere"))) == ()


def said() -> list[Dissection | None]:
    """What a tshark as it should be says of the frames that prove it."""
    whole = Dissection(
        protocols="eth:ethertype:ip:udp:data",
        destination_port=53,
        payload=bytes(range(40)),
        ip_checksum=Checksum.GOOD,
        udp_checksum=Checksum.GOOD,
        reassembled_from=(1, 2),
    )
    return [Dissection("eth"), whole, replace(whole, udp_checksum=Checksum.BAD, reassembled_from=())]


def test_a_tshark_that_reads_the_known_frames_is_proven() -> None:
    proof.require(said())


@pytest.mark.parametrize(
    ("at", "wrong", "reason"),
    [
        (1, {"payload": b""}, "payload"),
        (1, {"reassembled_from": ()}, "fragments"),
        (1, {"udp_checksum": Checksum.UNVERIFIED}, "good UDP checksum"),
        (1, {"ip_checksum": Checksum.UNVERIFIED}, "good IP checksum"),
        (1, {"protocols": "eth:ethertype:ip:udp:dns"}, "plain data"),
        (2, {"udp_checksum": Checksum.GOOD}, "wrong UDP checksum"),
    ],
)
def test_a_tshark_that_reads_them_otherwise_is_the_lab_s_fault(at: int, wrong: dict[str, object], reason: str) -> None:
    answers = said()
    seen = answers[at]
    assert seen is not None
    answers[at] = replace(seen, **wrong)  # type: ignore[arg-type]
    with pytest.raises(LabError, match=reason):
        proof.require(answers)


def test_a_silent_tshark_is_the_lab_s_fault() -> None:
    with pytest.raises(LabError, match="said nothing"):
        proof.require([None, None, None])
