"""No child process depends on the person's settings, on their environment or on the folder where they stand."""

from __future__ import annotations

import ast
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness import __version__, children, interpreter, resources
from harness.capture import pcapng
from harness.capture.frames import CapturedFrame, Checksum
from harness.capture.tshark import one_pass
from harness.cell import modules
from harness.setup import debian

SHADOWS = ("queue.py", "platform.py", "random.py", "re.py", "harness/__init__.py")
# Functions that start a process; a module named alone starts processes by anything that it has.
STARTERS = {
    "subprocess": {"run", "Popen", "call", "check_call", "check_output", "getoutput", "getstatusoutput"},
    "os": {"system", "popen", "fork", "forkpty", "posix_spawn", "posix_spawnp", "startfile"},
    "asyncio": {"create_subprocess_exec", "create_subprocess_shell"},
    "pty": {"spawn", "fork"},
    "multiprocessing": set(),
    "pexpect": set(),
}
# An IPv4 datagram of 4 bytes from port 4660 to 2000, both checksums right, padded to the shortest frame.
DATAGRAM = bytes.fromhex(
    "525400000001525400000002080045000020000040004011b6c9c0000201c0000202123407d0000c" + "9d07" + "61626364"
).ljust(60, b"\0")


def starts(tree: ast.AST) -> list[tuple[int, str]]:
    """Line and name of everything in a module that starts a process."""
    found = []
    types = [node.value for node in ast.walk(tree) if isinstance(node, ast.Subscript)]  # subprocess.Popen[bytes]
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node not in types and isinstance(node.value, ast.Name):
            module, name = node.value.id, node.attr
            if name in STARTERS.get(module, ()) or (module == "os" and name.startswith(("exec", "spawn"))):
                found.append((node.lineno, f"{module}.{name}"))
            if name == "ProcessPoolExecutor":
                found.append((node.lineno, name))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in STARTERS:
            own = STARTERS[node.module.split(".")[0]]
            found += [(node.lineno, each.name) for each in node.names if not own or each.name in own]
        if isinstance(node, ast.ImportFrom) and node.module == "os":
            found += [(node.lineno, each.name) for each in node.names if each.name.startswith(("exec", "spawn"))]
        if isinstance(node, ast.Import):
            found += [(node.lineno, each.name) for each in node.names if STARTERS.get(each.name.split(".")[0]) == set()]
    return found


def test_one_module_starts_processes() -> None:
    # What confines QEMU is a program of its own, which imports nothing of the harness and becomes QEMU; the command
    # becomes itself again before it may import ``children``.
    others = [resources.PACKAGE / name for name in ("children.py", "interpreter.py", "vm/confine.py")]
    sources = [path for path in resources.PACKAGE.rglob("*.py") if path not in others]
    assert len(sources) > 100
    found = [
        f"{path.relative_to(resources.PACKAGE)}:{line}: {name}"
        for path in sources
        for line, name in starts(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert not found, "start it with harness.children"


@pytest.mark.parametrize(
    "source",
    [
        "import subprocess\nsubprocess.Popen(['true'])",
        "from subprocess import run",
        "import os\nos.execv('/bin/true', [])",
        "from os import spawnv",
        "import asyncio\nasyncio.create_subprocess_exec('true')",
        "import multiprocessing",
        "from concurrent import futures\nfutures.ProcessPoolExecutor()",
    ],
)
def test_the_reader_of_sources_sees_each_way_to_start_a_process(source: str) -> None:
    assert starts(ast.parse(source))


def test_one_module_looks_for_programs() -> None:
    words = ("shutil.which", "import which", "find_executable", "get_exec_path")
    sources = [path for path in resources.PACKAGE.rglob("*.py") if path != resources.PACKAGE / "children.py"]
    found = [path.name for path in sources if any(word in path.read_text(encoding="utf-8") for word in words)]
    assert not found, "look for it with harness.children.find"


def test_a_program_where_the_person_stands_is_not_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bin").mkdir()
    for name in ("tshark", "bin/tshark", "only-here"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    for start in (".", "bin", "", "./bin"):
        monkeypatch.setenv("PATH", os.pathsep.join((start, "/usr/bin", "/bin")))
        assert (children.find("sh") or "").startswith("/")
        assert children.find("only-here") is debian.find_command("only-here") is None
        assert one_pass.find() in ("", "/usr/bin/tshark")
        debian.complete_path()
        assert all(folder.startswith("/") for folder in os.environ["PATH"].split(os.pathsep))
    monkeypatch.setenv("PATH", ".")
    assert children.find("only-here") is None
    assert children.find("sh", "/bin") == "/bin/sh"


@pytest.fixture
def hostile(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A person whose settings would change every verdict; gives their home."""
    settings = tmp_path / ".config" / "wireshark"
    plugins = tmp_path / ".local" / "lib" / "wireshark" / "plugins"
    settings.mkdir(parents=True)
    plugins.mkdir(parents=True)
    (settings / "preferences").write_text("eth.fcs: Always\neth.trailer_length: 2\nframe.force_docsis_encap: TRUE\n")
    (settings / "disabled_protos").write_text("udp\n")
    (plugins / "mine.lua").write_text("os.exit(7)\n")
    for name, value in {
        "HOME": str(tmp_path),
        "XDG_CONFIG_HOME": str(tmp_path / ".config"),
        "WIRESHARK_CONFIG_DIR": str(settings),
        "PYTEST_ADDOPTS": "-k nothing",
        "PYTEST_PLUGINS": "no_such_plugin",
        "PYTHONWARNINGS": "error",
        "LD_PRELOAD": "/nowhere/lib.so",
        "LIBVIRT_DEFAULT_URI": "test:///default",
        "QEMU_AUDIO_DRV": "spice",
        "LC_ALL": "de_DE.UTF-8",
        "TZ": "Asia/Tokyo",
        "PYTHONPATH": f"{tmp_path}/mine",
        "BOARD_SERIAL": "42",
        "https_proxy": "http://proxy:3128",
        "PATH": f".:{os.environ['PATH']}:",
    }.items():
        monkeypatch.setenv(name, value)
    return tmp_path


def test_a_tool_gets_a_short_list_of_variables_and_a_fixed_language(hostile: Path) -> None:
    seen = children.run(["env"]).stdout.splitlines()
    names = {line.partition("=")[0] for line in seen}
    assert names <= children._TOOL | {"LC_ALL", "TZ", "OPENBLAS_NUM_THREADS", "PWD"}
    assert {"LC_ALL=C.UTF-8", "TZ=UTC", "https_proxy=http://proxy:3128"} <= set(seen)
    assert all(folder.startswith("/") for folder in children.path().split(os.pathsep))
    assert children.run(["pwd"]).stdout == "/\n"


def test_a_worker_keeps_the_variables_of_tests_and_none_that_change_a_verdict(hostile: Path) -> None:
    seen = children.worker_environment()
    assert seen["BOARD_SERIAL"] == "42"
    assert seen["WIRESHARK_CONFIG_DIR"] == children.NOWHERE
    assert seen[interpreter.USER_PATH] == f"{hostile}/mine"
    assert seen.get("PYTHONPATH", "") in ("", str(resources.checkout()))
    assert not {"PYTEST_ADDOPTS", "PYTEST_PLUGINS", "PYTHONWARNINGS", "LD_PRELOAD", "XDG_CONFIG_HOME"} & seen.keys()
    assert not {"LIBVIRT_DEFAULT_URI", "QEMU_AUDIO_DRV"} & seen.keys()


def test_the_users_modules_go_from_interpreter_to_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(resources.checkout() or "/"))
    monkeypatch.setenv(interpreter.USER_PATH, "/one:/two")
    assert children.worker_environment()[interpreter.USER_PATH] == "/one:/two"


def test_settings_of_wireshark_change_no_dissection(hostile: Path, tmp_path: Path) -> None:
    if not one_pass.find():
        pytest.skip("tshark is not installed")
    frame = CapturedFrame(1, 0, DATAGRAM, len(DATAGRAM))
    (tmp_path / "one.pcapng").write_bytes(pcapng.section("lo") + pcapng.packet(frame))
    for said in (one_pass.dissect_file(tmp_path / "one.pcapng", {1}), one_pass.dissect_frames([frame])):
        assert said[1].payload == b"abcd"
        assert said[1].udp_checksum is Checksum.GOOD
        assert said[1].expert == ()
    (shown,) = one_pass.show([frame])
    assert "User Datagram Protocol" in shown
    assert "Frame check sequence" not in shown


def test_what_lies_where_a_person_stands_stands_for_no_module(tmp_path: Path) -> None:
    for name in SHADOWS:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("raise SystemExit('shadowed')\n")
    argv = children.python("harness.cell.worker", str(tmp_path / "none"))
    worker = children.start_worker(argv, folder=tmp_path, stderr=subprocess.PIPE)
    said = worker.communicate()[1].decode()
    assert "FileNotFoundError" in said, said


def test_the_command_starts_in_a_folder_with_modules_of_the_same_names(tmp_path: Path) -> None:
    for name in ("queue.py", "platform.py", "pathlib.py", "json.py"):
        (tmp_path / name).write_text("raise SystemExit('shadowed')\n")
    argv = [sys.executable, "-m", "harness", "run", "--units"]
    environment = {**os.environ, "PYTHONPATH": str(resources.PACKAGE.parent), "PYTHONWARNINGS": "error"}
    done = subprocess.run(argv, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode != 1, done.stderr
    assert "shadowed" not in done.stderr


def test_modules_of_pythonpath_stand_for_none_of_pythons(tmp_path: Path) -> None:
    # -S: what Python imports before the first line of the command, for site-packages, is not the harness's to choose.
    ask = [sys.executable, "-IS", "-c", "import os, sys; print(*sys.modules)"]
    loaded = set(subprocess.run(ask, capture_output=True, text=True, check=True).stdout.split())
    shadows = [name for name in sys.stdlib_module_names if name not in loaded and importlib.util.find_spec(name)]
    assert {"signal", "types", "enum", "re", "__future__"} <= set(shadows)
    for name in shadows:
        (tmp_path / f"{name}.py").write_text(f"raise ImportError('{name} is shadowed')\n")
    own = f"sys.path.append({str(resources.PACKAGE.parent)!r})"
    start = f"import sys; {own}; from harness.__main__ import main; sys.exit(main())"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    argv = [sys.executable, "-S", "-c", start, "--version"]
    done = subprocess.run(argv, cwd="/", env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, f"harness {__version__}\n"), done.stderr


def test_a_suites_neighbours_stand_for_no_module_of_pythons(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "neighbour.py").write_text("")
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    (tmp_path / "colorsys.py").write_text("raise RuntimeError\n")
    modules.prefer_own()
    monkeypatch.syspath_prepend(str(tmp_path))
    import colorsys

    import neighbour  # type: ignore[import-not-found]

    assert not colorsys.__file__.startswith(str(tmp_path))
    assert neighbour.__file__.startswith(str(tmp_path))
