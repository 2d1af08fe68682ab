"""The ``harness`` command and ``python3 -m harness``: sets up what is missing, then runs the command line.

Imports nothing but ``os`` and ``sys`` before the interpreter is one of the harness's own choice, and nothing but the
standard library before the set-up has answered for the rest.
"""

import os
import sys

_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

# ``python -m harness`` searches the current folder first, where a queue.py would stand for Python's own. So the folder
# is taken out before anything else is imported, unless it is the checkout.
if __name__ == "__main__" and not sys.flags.safe_path and sys.path[0] != _ROOT:
    del sys.path[0]
    sys.path.append(_ROOT)

# numpy multiplies no matrices here: the threads that it would start for that cost each process time and memory.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def main() -> int:
    """Run the command line and return its exit code."""
    from harness import interpreter

    interpreter.renew()
    from pathlib import Path

    from harness.cell import modules

    modules.add_users_folders()
    from harness.cli import before_setup
    from harness.errors import UsageError
    from harness.setup import bootstrap
    from harness.setup.console import SetupError

    arguments = sys.argv[1:]
    try:
        if bootstrap.doctor_only(arguments):  # it tells what is missing, so it needs nothing and installs nothing
            from harness.setup import doctor

            return doctor.main(arguments[1:])
        before_setup.check(arguments)
        bootstrap.ensure(arguments, Path(__file__).resolve().parent)
    except UsageError as error:
        from harness import printable

        print(f"harness: {printable.line(error.line())}", file=sys.stderr)
        return error.exit_code
    except SetupError as error:
        print(f"harness: {error}", file=sys.stderr)
        if error.detail:
            print(error.detail, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("harness: interrupted during the set-up; run the command again to finish it", file=sys.stderr)
        return 130
    from harness.cell import ahead

    ahead.begin(arguments)
    try:
        from harness.cli.app import run_app

        return run_app(arguments)
    finally:
        ahead.end()


if __name__ == "__main__":
    sys.exit(main())
