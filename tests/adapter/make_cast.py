"""Builds udpcast.sys and udpcast.exe into a folder, with the flags of the harness's own drivers."""

from __future__ import annotations

import subprocess
from pathlib import Path

from harness import resources
from harness.driver_build import build

HERE = Path(__file__).parent / "cast"
INCLUDE = resources.root() / "drivers" / "include"


def make(folder: Path) -> Path:
    """Build both; the path of the driver."""
    common = [build.COMPILER, *build._COMPILE, f"-I{INCLUDE}", f"-I{HERE}", *build._LINK]
    ddk = subprocess.run(
        [build.COMPILER, "-print-file-name=libntoskrnl.a"], capture_output=True, text=True, check=True
    ).stdout.strip()
    headers = Path(ddk).resolve().parents[1] / "include" / "ddk"
    driver, tool = folder / "udpcast.sys", folder / "udpcast.exe"
    kernel = [*build._KERNEL_COMPILE, f"-isystem{headers}", *build._KERNEL_LINK]
    libraries = ["-lntoskrnl", "-lnetio", "-lgcc"]
    subprocess.run([*common, *kernel, "-o", driver, HERE / "driver.c", *libraries], check=True)
    subprocess.run([*common, *build._USER_LINK, "-o", tool, HERE / "tool.c", "-lkernel32", "-lgcc"], check=True)
    return driver
