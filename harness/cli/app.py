"""The command line: each command's options, and nothing of what the commands do.

Imports are made inside the commands, so that ``harness --help`` is quick and a command needs only its own parts.
"""

from __future__ import annotations

import errno
import signal
import sys
import tempfile
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness import __version__, printable
from harness.cli import nights, output_streams, runs, scale
from harness.cli.options import Adapter, Cold, ConfigFile, Driver, Json, NoInstall, Output
from harness.errors import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_LAB,
    EXIT_PASSED,
    EXIT_USAGE,
    HarnessError,
    LabError,
    UsageError,
)

if TYPE_CHECKING:
    from harness.guests.cache import Entry

app = typer.Typer(
    name="harness",
    help="Tests Windows network drivers on emulated NICs, judged on the wire.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
image = typer.Typer(help="Guest images.", no_args_is_help=True)
driver = typer.Typer(help="Windows drivers.", no_args_is_help=True)
app.add_typer(image, name="image")
app.add_typer(driver, name="driver")

_run_folder: Path | None = None  # where the traceback of an error in the harness goes, once there is a run


def _version(wanted: bool) -> None:
    if wanted:
        print(f"harness {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show it.")] = False,
) -> None:
    """Nothing to do before a command."""


runs.add_to(app, remember=lambda folder: _remember(folder))
nights.add_to(app)
scale.add_to(app)


def _remember(folder: Path) -> None:
    global _run_folder
    _run_folder = folder


@app.command()
def verify(
    capture: Annotated[Path, typer.Argument(help="pcap or pcapng file, compressed or not.")],
    plan: Annotated[Path, typer.Option("--plan", help="operations.jsonl of what was done.")],
    reader: Annotated[str, typer.Option("--reader", help="tshark, fast, or auto: by the file's size.")] = "auto",
    interface: Annotated[str, typer.Option("--interface", help="Only frames of that interface (name or number).")] = "",
    vlan: Annotated[int | None, typer.Option("--vlan", min=0, max=4095, help="Only frames tagged for it.")] = None,
    explain: Annotated[int, typer.Option("--explain", min=0, help="Findings to explain in full.")] = 3,
    json: Json = False,
) -> None:
    """Hold a capture file against a plan, without a lab."""
    from harness.cli import offline

    raise typer.Exit(offline.verify(capture, plan, reader, interface, vlan, explain=explain, as_json=json))


@app.command()
def replay(
    source: Annotated[Path, typer.Argument(help="A run's folder, or the file that --pack made of one.")],
    pack: Annotated[bool, typer.Option("--pack", help="Pack the folder into one file.")] = False,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="That file [default: FOLDER.zip].")] = None,
    reader: Annotated[str, typer.Option("--reader", help="tshark, fast, or auto: by the file's size.")] = "auto",
    json: Json = False,
) -> None:
    """Judge a run again from its files, with today's model."""
    from harness.cli import offline

    raise typer.Exit(offline.replay(source, pack=pack, output=output, reader=reader, as_json=json))


@app.command()
def bench(
    name: Annotated[list[str] | None, typer.Argument(help="readers, growth, verdicts, fuzz [default: all].")] = None,
    count: Annotated[int | None, typer.Option("--count", min=1, help="Frames, or files of fuzz.")] = None,
    folder: Annotated[Path | None, typer.Option("--folder", help="Keep the captures there.")] = None,
    json: Json = False,
) -> None:
    """Measure the harness against other tools (from a checkout)."""
    from harness.selftest import benchmarks

    raise typer.Exit(benchmarks.run(tuple(name or ()), count, folder, as_json=json))


@app.command(name="test")
def selftest(
    output: Output = None,
    fast: Annotated[bool, typer.Option("--fast", help="Without integration tests and guests.")] = False,
    no_install: NoInstall = False,
) -> None:
    """Build the drivers, check the sources, and pass all tests of a checkout."""
    from harness.selftest import steps as tests

    raise typer.Exit(tests.run(output, fast=fast))


@app.command()
def defects(
    only: Annotated[str, typer.Option("--only", help="A group (A, B, C, D, V, W, S, L) or the name of one.")] = "",
    output: Output = None,
    json: Json = False,
    jobs: Annotated[int, typer.Option("--jobs", min=1, help="Cells at the same time.")] = 2,
    no_install: NoInstall = False,
) -> None:
    """Prove that the harness catches what it must: known bugs of driver, wire and lab, each by its name."""
    from harness.selftest.defects import run as runs

    folder = runs.claim(output or Path(tempfile.mkdtemp(prefix="defects-")))
    record = runs.run(only, folder, lambda line: print(printable.line(line), file=sys.stderr, flush=True), jobs=jobs)
    print(record.to_json() if json else "\n".join(map(printable.line, runs.lines(record))))
    raise typer.Exit(EXIT_PASSED if record.good else EXIT_FAILED)


@app.command()
def doctor(
    json: Json = False,
    cache: Annotated[
        bool, typer.Option("--cache", help="Read everything that is cached, and say what is damaged.")
    ] = False,
) -> None:
    """Say what this host can and cannot do, and the command that mends it."""
    from harness.setup import doctor as examination

    raise typer.Exit(examination.report(as_json=json, cache=cache))


@app.command()
def shell(
    command: Annotated[list[str] | None, typer.Argument(help="Command for the guest [default: its prompt].")] = None,
    config: ConfigFile = None,
    guest: Annotated[str, typer.Option("--guest", help="Guest [default: the first of the configuration].")] = "",
    nic: Annotated[str, typer.Option("--nic", help="NIC model [default: the first of the configuration].")] = "",
    driver: Driver = None,
    adapter: Adapter = "",
    cold: Cold = False,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Folder for console and capture.")] = None,
    no_install: NoInstall = False,
) -> None:
    """Open a command line in a guest with the driver loaded, or run one command there (shell -- sc query wsksend)."""
    from harness.cli import config as configuration
    from harness.cli import shell as shells
    from harness.cli.options import request_of

    settings = configuration.load(config)
    request = request_of(
        settings,
        guest=[guest or settings.guests[0]],
        nic=[nic or settings.nics[0]],
        driver=driver,
        adapter=adapter,
        cold=cold,
    )
    raise typer.Exit(shells.run(request, tuple(command or ()), output))


@app.command()
def setup(
    dev: Annotated[bool, typer.Option("--dev", help="With the tools of `harness test`.")] = False,
    no_install: NoInstall = False,
) -> None:
    """Install what `harness run` needs, and end; every other command does so by itself."""
    print("everything is in place")


@image.command("build")
def image_build(
    guest: Annotated[str, typer.Argument(help="Guest whose image to build: wine, or windows with --iso and --name.")],
    refresh: Annotated[
        bool, typer.Option("--refresh", help="Build anew, not from the cache or where it stopped.")
    ] = False,
    iso: Annotated[Path | None, typer.Option("--iso", help="windows: installation media.")] = None,
    virtio_iso: Annotated[
        Path | None, typer.Option("--virtio-iso", help="windows: virtio-win ISO, for NetKVM.")
    ] = None,
    openssh: Annotated[
        Path | None, typer.Option("--openssh", help="windows: Win32-OpenSSH .zip or .msi, where the media have none.")
    ] = None,
    edition: Annotated[str, typer.Option("--edition", help="windows: name or number, if the media have several.")] = "",
    name: Annotated[str, typer.Option("--name", help="windows: name of the guest, such as ws2022.")] = "",
    key_file: Annotated[
        Path | None, typer.Option("--key-file", help="windows: file with the product key, not for evaluation media.")
    ] = None,
    show: Annotated[
        list[str] | None, typer.Option("--show-nic", help="windows: NIC model to show it once; several times.")
    ] = None,
    bios: Annotated[bool, typer.Option("--bios", help="windows: BIOS instead of UEFI.")] = False,
    patience: Annotated[float, typer.Option("--patience", min=0.1, help="windows: factor for every deadline.")] = 1.0,
    memory: Annotated[int | None, typer.Option("--memory", min=512, help="windows: guest memory in MiB.")] = None,
    no_install: NoInstall = False,
) -> None:
    """Build a guest's image, unless the cache has it; an interrupted Windows build goes on where it stopped."""
    from harness.guests import catalogue

    def say(text: str) -> None:
        print(printable.line(text), file=sys.stderr, flush=True)

    if guest != "windows":
        print(catalogue.prepare_guest(guest, say, refresh=refresh))
        return
    from harness.cli import image_windows

    options = image_windows.Options(
        iso, virtio_iso, openssh, edition, name, key_file, tuple(show or ()), bios, patience, memory, refresh
    )
    print(image_windows.build(options, say))


@image.command("list")
def image_list(json: Json = False) -> None:
    """List the images in the cache, newest first."""
    from harness.guests import cache
    from harness.guests.windows.state import unfinished

    found = cache.entries()
    if json:
        _print_json({"schema": 1, "images": [_image_row(entry) for entry in found]})
        return
    for entry in found:
        row = _image_row(entry)
        print(printable.line(f"{row['name']}  {row['megabytes']:.0f} MB  {row['built']}"))
    for name in unfinished():
        print(f"{name}  not finished: the command that began it goes on", file=sys.stderr)
    if not found:
        print(f"no image in {cache.root()}", file=sys.stderr)


@image.command("info")
def image_info(name: Annotated[str, typer.Argument(help="Name or key as `image list` shows it.")]) -> None:
    """Print what an image was made of, as JSON."""
    from harness.guests import cache

    for entry in cache.entries():
        if name in (entry.folder.name, entry.manifest.get("key"), entry.manifest.get("guest")):
            _print_json({"schema": 1, **_image_row(entry), "manifest": entry.manifest})
            return
    raise UsageError(f"no image {name!r} in {cache.root()}", mend="`harness image list` shows what there is")


def _image_row(entry: Entry) -> dict[str, Any]:
    built = entry.manifest.get("built", "")
    megabytes = round(entry.size / 1e6, 1)
    return {"name": entry.folder.name, "folder": str(entry.folder), "megabytes": megabytes, "built": built}


def _print_json(value: object) -> None:
    import json

    print(json.dumps(value, indent=1))


@driver.command("build")
def driver_build(
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Folder [default: the cache].")] = None,
    no_install: NoInstall = False,
) -> None:
    """Build wsksend.sys, wskctl.exe and netio.sys, and print where they are."""
    from harness.driver_build import build as drivers

    made = drivers.build(output)
    for path in (made.wsksend_sys, made.wsksend_debug, made.wskctl_exe, made.netio_sys):
        print(path)


@driver.command("check")
def driver_check(
    file: Annotated[Path, typer.Argument(help="The .sys to look at.")],
    signed: Annotated[bool, typer.Option("--signed", help="It must be signed, too.")] = False,
    json: Json = False,
) -> None:
    """Say whether 64-bit Windows would load the file, point by point."""
    from dataclasses import asdict

    from harness.driver_build.check import check
    from harness.driver_build.sign import check_signed

    if not file.is_file():
        raise UsageError(f"no such file: {file}")
    points = check_signed(file) if signed else check(file)
    if json:
        _print_json({"schema": 1, "file": str(file), "points": [asdict(point) for point in points]})
    else:
        for point in points:
            code = f" (Windows error {point.win32_error})" if not point.ok and point.win32_error else ""
            print(printable.line(f"{'ok' if point.ok else 'WRONG':5} {point.name}: {point.detail}{code}"))
    raise typer.Exit(EXIT_PASSED if all(point.ok for point in points) else EXIT_FAILED)


@driver.command("sign")
def driver_sign(
    files: Annotated[list[Path] | None, typer.Argument(help="Drivers to sign [default: the sample].")] = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the signed copies.")] = Path("signed"),
    no_install: NoInstall = False,
) -> None:
    """Sign drivers with the lab's certificate, for Windows in test mode, and print where the copies are."""
    from harness.driver_build import build as drivers
    from harness.driver_build import sign

    for file in files or [drivers.build().wsksend_sys]:
        print(printable.line(str(sign.sign(file, output / file.name))))
    print(f"certificate: {sign.certificate().cer}", file=sys.stderr)


@app.command()
def accept(
    guest: Annotated[str, typer.Option("--guest", help="Windows guest that has an image.")] = "",
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Folder [default: accept/GUEST].")] = None,
    step: Annotated[list[str] | None, typer.Option("--step", help="Only this step; several times.")] = None,
    list_: Annotated[bool, typer.Option("--list", help="Only list the steps and what each settles.")] = False,
    json: Json = False,
    no_install: NoInstall = False,
) -> None:
    """Settle on a real Windows what only Windows can tell: every step run, judged and timed, and a report to send."""
    from harness.cli import accept as acceptance

    if list_:
        acceptance.show_list(as_json=json)
        return
    raise typer.Exit(acceptance.run(guest, output or Path("accept") / guest, tuple(step or ()), as_json=json))


def run_app(arguments: list[str]) -> int:
    """Run the command line; every error is one line on standard error, and never a traceback."""
    _end_in_order()
    with output_streams.patient():
        code = _run(arguments)
        try:
            if sys.stdout is not None:
                sys.stdout.flush()
        except LabError as error:  # a disk that takes no more: what was asked for is not all there
            return _tell(error.line(), "", code or EXIT_LAB)
        return code


def _end_in_order() -> None:
    """Let a hang-up and a request to end do what Ctrl-C does; one that is ignored (``nohup``) stays ignored."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)


def _run(arguments: list[str]) -> int:
    """Run a command; not by typer's ``main``, which takes a reader that has gone for a failure (exit code 1)."""
    command = typer.main.get_command(app)
    try:
        with command.make_context("harness", list(arguments)) as context:
            answer = command.invoke(context)
    except typer.Exit as exit_:
        return exit_.exit_code
    except HarnessError as error:
        return _tell(error.line(), error.detail, error.exit_code)
    except (KeyboardInterrupt, EOFError, typer.Abort):
        return _tell("interrupted", "", EXIT_INTERRUPTED)
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE):
            return _tell("no more files can be opened (raise the limit: `ulimit -n 1024`)", "", EXIT_LAB)
        where = f": {error.filename}" if error.filename else ""
        return _tell(f"{error.strerror or error}{where}", _keep_traceback(), EXIT_LAB)
    except Exception as error:
        if hasattr(error, "format_message"):  # typer's own: a wrong option or argument
            return _tell_usage(error, error.format_message())
        return _tell(f"error in the harness: {type(error).__name__}: {error}", _keep_traceback(), EXIT_LAB)
    return answer if isinstance(answer, int) else 0


def _tell(line: str, detail: str, code: int) -> int:
    print(f"harness: {printable.line(' '.join(line.split()))}", file=sys.stderr)
    if detail:
        print(printable.block(detail), file=sys.stderr)
    return code


def _tell_usage(error: Exception, message: str) -> int:
    if type(error).__name__ == "NoArgsIsHelpError":  # a group without a command: the message is its help
        print(message)
        return EXIT_USAGE
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "harness"
    return _tell(f"{message.rstrip('.')} (`{command} --help` shows what there is)", "", EXIT_USAGE)


def _keep_traceback() -> str:
    """Write the current traceback to a file in the run's folder, or a temporary one, and say where it is."""
    try:
        folder = _run_folder or Path(tempfile.mkdtemp(prefix="harness-"))
        path = folder / "traceback.txt"
        path.write_text(traceback.format_exc(), encoding="utf-8", errors="backslashreplace")
    except OSError:
        return ""
    return f"traceback: {path}"
