"""How long the page of a large run takes to be made, and how large it is.

python -m tests.bench.report [--cells 10] [--cases 1000]
"""

from __future__ import annotations

import argparse
import time

from harness.report import html, junit
from tests.integration.test_report_browser import results


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cells", type=int, default=10)
    parser.add_argument("--cases", type=int, default=1000)
    arguments = parser.parse_args()
    made = results(arguments.cells, arguments.cases)
    for name, render in (("index.html", html.render), ("junit.xml", junit.render)):
        begun = time.monotonic()
        text = render(made)
        print(f"{name}: {time.monotonic() - begun:.2f} s, {len(text) / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
