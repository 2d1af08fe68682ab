"""Shows the progress of running cells: a live line per cell on a terminal, plain lines elsewhere."""

from __future__ import annotations

import threading
import time
from collections import Counter
from types import TracebackType

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from harness.cell.events import Collected, Event, Note, Phase
from harness.cell.job import Cell
from harness.printable import marked_up as escape
from harness.report.table import STYLE
from harness.results.record import CaseResult, CellResult
from harness.results.status import Status


class Watcher:
    """Shows events as they come; ``observe`` may be called from any thread.

    Args:
        console: where to print; in general standard error, so that standard output holds the result alone.
        quiet: print notes of cells and the cases that failed or are inconclusive, and nothing else.
    """

    def __init__(self, console: Console, *, quiet: bool = False) -> None:
        self._console = console
        self._quiet = quiet
        self._lock = threading.Lock()
        self._started = time.monotonic()
        self._counts: dict[Cell, Counter[Status]] = {}
        self._expected: dict[Cell, int] = {}
        self._tasks: dict[Cell, TaskID] = {}
        self._live = Progress(
            SpinnerColumn(),
            TextColumn("{task.fields[cell]}"),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=quiet or not console.is_terminal,
        )

    def __enter__(self) -> Watcher:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def say(self, text: str) -> None:
        """Print one line about the whole run, unless quiet."""
        if not self._quiet:
            self._console.print(f"{self._clock()} {escape(text)}", highlight=False, soft_wrap=True)

    def observe(self, cell: Cell, event: Event) -> None:
        """Show one event of a cell."""
        with self._lock:
            match event:
                case Phase(name, seconds):
                    self._phase(cell, name, seconds)
                case Collected(count):
                    self._expected[cell] = count
                case Note(text):
                    self._print(cell, escape(text))
                case CaseResult():
                    self._case(cell, event)
                case CellResult():
                    self._cell(cell, event)

    def _phase(self, cell: Cell, name: str, seconds: float | None) -> None:
        self._update(cell, name)
        if seconds is not None and not self._console.is_terminal and not self._quiet:
            self._print(cell, f"{escape(name)} done in {seconds:.1f} s")

    def _case(self, cell: Cell, case: CaseResult) -> None:
        counts = self._counts.setdefault(cell, Counter())
        counts[case.status] += 1
        if case.status in (Status.FAILED, Status.INCONCLUSIVE):
            self._print(cell, f"[{STYLE[case.status]}]{case.status}[/] {escape(f'{case.id}: {case.told()}')}")
        of = f" of {self._expected[cell]}" if cell in self._expected else ""
        self._update(
            cell, f"{counts.total()}{of}: " + ", ".join(f"{number} {status}" for status, number in counts.items())
        )

    def _cell(self, cell: Cell, result: CellResult) -> None:
        if (task := self._tasks.pop(cell, None)) is not None:
            self._live.remove_task(task)
        counts = Counter(case.status for case in result.cases)
        told = ", ".join(f"{number} {status}" for status, number in counts.items())
        reason = f": {result.reason}" if result.fault else ""
        seconds = f" in {result.timings['total']:.1f} s" if "total" in result.timings else ""
        if not self._quiet:
            style = STYLE[result.status]
            self._print(
                cell, f"[{style}]{result.word}[/]{seconds}{escape(f' ({told})' if told else '')}{escape(reason)}"
            )

    def _update(self, cell: Cell, text: str) -> None:
        if cell not in self._tasks:
            self._tasks[cell] = self._live.add_task(escape(text), total=None, cell=escape(str(cell)))
        self._live.update(self._tasks[cell], description=escape(text))

    def _print(self, cell: Cell, marked_up: str) -> None:
        self._console.print(f"{self._clock()} {escape(str(cell))}: {marked_up}", highlight=False, soft_wrap=True)

    def _clock(self) -> str:
        return f"{time.monotonic() - self._started:6.1f} s"
