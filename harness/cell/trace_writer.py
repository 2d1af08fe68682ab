"""The plan of a running cell: every step and every case's closing, one line each, in the order in which they came."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

from harness.errors import writing
from harness.trace import trace_end
from harness.trace.trace_lines import Header, closing_line, header_line, step_line
from harness.verify.closing import Closing
from harness.wsk.operations import Step


class PlanFile:
    """The file, open while the context lasts.

    Args:
        path: where; an old one is replaced.
        header: its first line.

    Raises:
        LabError: from every call, when the disk is full.
    """

    def __init__(self, path: Path, header: Header) -> None:
        self._path = path
        with writing(path):
            self._file = path.open("w", encoding="utf-8")
            self._end = trace_end.End()
            self._write(header_line(header))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        with writing(self._path):
            try:
                self._file.write(self._end.line() + "\n")
            finally:
                self._file.close()

    def add(self, event: Step | Closing) -> None:
        """Write one line."""
        with writing(self._path):
            self._write(step_line(event) if isinstance(event, Step) else closing_line(event))
            if isinstance(event, Closing):
                self._file.flush()  # a test can take the whole process down

    def _write(self, line: str) -> None:
        self._file.write(line + "\n")
        self._end.add(line)
