"""Collects the facts of a record: the host that ran the cells, and the versions of the tools that took part."""

from __future__ import annotations

import os
import platform
import re
import subprocess

from harness import __version__, children, resources
from harness.cache import document

_TOOLS = {
    "qemu": ("qemu-system-x86_64", "--version"),
    "tshark": ("tshark", "--version"),
    "compiler": ("x86_64-w64-mingw32-gcc", "--version"),
}


def host() -> dict[str, str]:
    """Describe the host: name, system, kernel, processor, cores, memory, and whether root runs the harness."""
    memory = _matched(r"MemTotal:\s+(\d+)", "/proc/meminfo")
    return {
        "name": platform.node(),
        "system": platform.freedesktop_os_release().get("PRETTY_NAME", platform.system()),
        "kernel": platform.release(),
        "processor": _matched(r"model name\s+:\s+(.*)", "/proc/cpuinfo") or platform.machine(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{int(memory) // 1024} MiB" if memory else "",
        "user": "root" if os.geteuid() == 0 else "ordinary",
    }


def versions() -> dict[str, str]:
    """Return versions by name; tools that are not installed are left out."""
    found = {"harness": __version__, "python": platform.python_version(), "libvirt": _libvirt()}
    for name, argv in _TOOLS.items():
        found[name] = _first_number(argv)
    return {name: version for name, version in found.items() if version}


def requirable() -> dict[str, str]:
    """Return what requirements may name: versions, cores, memory in MiB, kernel, and the last proven "accelerator"."""
    own = host()
    found = versions() | {"cores": own["cores"], "memory": own["memory"].split(" ")[0], "kernel": own["kernel"]}
    try:
        proven = document.read(resources.cache() / "libvirt" / "accelerator.json") or {}
        found["accelerator"] = str(proven["name"])
    except (ValueError, KeyError):
        found["accelerator"] = "kvm" if os.access("/dev/kvm", os.R_OK | os.W_OK) else "tcg"  # none is proven yet: guess
    return found


def _libvirt() -> str:
    try:
        import libvirt
    except ImportError:
        return ""
    number = libvirt.getVersion()
    return f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"


def _first_number(argv: tuple[str, ...]) -> str:
    try:
        answer = children.run(argv, seconds=20)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    first = (answer.stdout.splitlines() or [""])[0]
    match = re.search(r"(?<=\s)\d[\w.+-]*", first)
    return match[0] if match else ""


def _matched(pattern: str, path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            match = re.search(pattern, file.read())
    except OSError:
        return ""
    return match[1].strip() if match else ""
