"""``harness.toml``: what a team writes once about its guests, NICs, driver and suite, checked to the key.

Every key has a default, so an absent file is the same as an empty one. A wrong key or value is a ``UsageError`` that
names file, line and, for a key, the nearest right one.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from harness.cell import adapter_names
from harness.cell.job import HostLab
from harness.errors import UsageError
from harness.files import text_file
from harness.guests.windows.options import WindowsOptions

FILE_NAME = "harness.toml"


class LabConfig(BaseModel):
    """``[lab]``: where the cells run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    uri: str = ""
    """libvirt connection URI; empty runs libvirt's QEMU driver inside the lab's own namespaces."""
    bridge: str = ""
    """With a URI: the host's bridge for the NIC under test."""
    control_bridge: str = ""
    """With a URI: the host's bridge for the control NIC, with a DHCP server on it."""
    control_address: str = ""
    """With a URI: the address that the DHCP server gives to the control NIC."""
    memory: Annotated[int, Field(ge=128, le=1 << 24)] | None = None
    """Guest memory in MiB; absent leaves it to the guest's profile."""
    states: Annotated[int, Field(ge=1, le=1 << 24)] = 6
    """GiB on the disk that saved guests may take together; the least recently used go first."""

    @model_validator(mode="after")
    def _whole(self) -> LabConfig:
        given = {key: getattr(self, key) for key in ("uri", "bridge", "control_bridge", "control_address")}
        missing = [key for key, value in given.items() if not value]
        if missing and len(missing) < len(given):
            raise ValueError(f"a lab on the host needs {', '.join(missing)} too")
        return self

    def host(self) -> HostLab | None:
        """The host's libvirt and bridges; ``None`` for a lab in namespaces of its own."""
        return HostLab(self.uri, self.bridge, self.control_bridge, self.control_address) if self.uri else None


class WindowsConfig(BaseModel):
    """``[windows]``: what is asked of Windows guests alone."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    driver_verifier: bool = False
    """Driver Verifier watches the driver under test with its standard checks."""
    nic_driver: Path | None = None
    """Folder of a driver package (one .inf) for the NIC under test."""
    offloads: Literal["keep", "off", "on"] = "keep"
    """What the NIC's driver is told to leave to the NIC."""

    def options(self) -> WindowsOptions:
        """The same as the cells take it."""
        return WindowsOptions(self.driver_verifier, self.nic_driver, self.offloads)


class Need(BaseModel):
    """``[[require]]``: cells that need something of the host."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cells: str = "*"
    """Pattern of the cells, as in ``include``."""
    needs: dict[str, str]
    """Fact -> what it must be: ``{qemu = ">=8.0", accelerator = "kvm"}``."""
    reason: str = ""


class Config(BaseModel):
    """The whole file. Relative paths are relative to it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    guests: Annotated[tuple[str, ...], Field(min_length=1)] = ("wine",)
    nics: Annotated[tuple[str, ...], Field(min_length=1)] = ("virtio-net", "e1000")
    driver: Path | None = None
    """The ``.sys`` under test; absent builds the sample driver."""
    adapter: str = ""
    """Who drives it when it is not the sample's kind: ``module:Class`` or ``file.py:Class``."""
    drivers: dict[str, Path] = {}
    """Several builds by name, each a dimension of the matrix; not together with ``driver``."""
    include: tuple[str, ...] = ()
    """Patterns of cells that run; empty is all. ``"wine x e1000*"`` or a part, ``"*+mtu=9000"``."""
    exclude: tuple[str, ...] = ()
    """Patterns of cells that do not run."""
    require: tuple[Need, ...] = ()
    """What cells need of the host."""
    history: Path = Path("runs/history.sqlite")
    """The history of all runs."""
    known: Path | None = None
    """Failures that are known, with reason and expiry (``harness nightly``)."""
    suite: tuple[Path, ...] = ()
    """Test files or folders; empty runs the regression suite."""
    output: Path | None = None
    """Folder of a run; absent makes a dated one under ``runs/``."""
    jobs: Annotated[int, Field(ge=1, le=4096)] | None = None
    """Cells at the same time; absent takes the number of cores."""
    lab: LabConfig = LabConfig()
    windows: WindowsConfig = WindowsConfig()


def load(path: Path | None = None) -> Config:
    """Read a configuration file.

    Args:
        path: the file; ``None`` reads ``harness.toml`` in the working directory, if there is one.

    Raises:
        UsageError: no such file, not TOML, or a key or value that is not allowed; one line, with the place.
    """
    file = path or Path(FILE_NAME)
    if path is None and not file.is_file():
        return Config()
    text = text_file.read(file)
    try:
        value = text_file.toml(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{file}:{_toml_reason(error, text)}") from error
    try:
        config = Config.model_validate(value)
    except ValidationError as error:
        raise UsageError(_first_problem(error, file, text)) from error
    except (RecursionError, OverflowError) as error:
        raise UsageError(f"{file}: a value is nested too deeply or too large") from error
    try:
        return _relative_to(config, file.parent)
    except (RuntimeError, ValueError) as error:  # a home folder of nobody, a NUL in a name
        raise UsageError(f"{file}: a path in it cannot be used: {error}") from error


def _relative_to(config: Config, folder: Path) -> Config:
    def absolute(path: Path) -> Path:
        whole = folder / path.expanduser()
        if "\0" in str(whole):
            raise ValueError(f"{str(path)!r} has a NUL in it")
        return whole

    paths: dict[str, Any] = {"suite": tuple(absolute(path) for path in config.suite)}
    paths["driver"] = config.driver and absolute(config.driver)
    paths["drivers"] = {name: absolute(path) for name, path in config.drivers.items()}
    paths["history"] = absolute(config.history)
    paths["known"] = config.known and absolute(config.known)
    package = config.windows.nic_driver
    if package is not None:
        paths["windows"] = config.windows.model_copy(update={"nic_driver": absolute(package)})
    paths["adapter"] = adapter_names.absolute(config.adapter, folder)
    paths["output"] = config.output and absolute(config.output)
    return config.model_copy(update=paths)


def _toml_reason(error: tomllib.TOMLDecodeError, text: str) -> str:
    """The parser's message with its line in front: "3: Expected '=' after a key"."""
    match = re.match(r"(.*) \(at (?:line (\d+), column \d+|end of document)\)$", str(error))
    return f"{match[2] or max(1, len(text.splitlines()))}: {match[1]}" if match else f" {error}"


def _first_problem(error: ValidationError, file: Path, text: str) -> str:
    problem = error.errors(include_url=False)[0]
    keys = [str(part) for part in problem["loc"] if isinstance(part, str)]
    place = f"{file}:{line_of(text, keys)}"
    name = ".".join(keys)
    if problem["type"] == "extra_forbidden":
        known = _keys_beside(keys)
        nearest = difflib.get_close_matches(keys[-1], known, n=1, cutoff=0.5)
        help_ = f"did you mean `{nearest[0]}`?" if nearest else f"known here: {', '.join(known)}"
        return f"{place}: unknown key `{name}`; {help_}"
    return f"{place}: `{name}`: {problem['msg'][0].lower()}{problem['msg'][1:]}, not {problem['input']!r}"


def _keys_beside(keys: list[str]) -> list[str]:
    """Names of the keys that are allowed where the last of ``keys`` stands."""
    tables: dict[str, type[BaseModel]] = {"lab": LabConfig, "windows": WindowsConfig, "require": Need}
    return sorted(tables.get(keys[0], Config).model_fields if len(keys) > 1 else Config.model_fields)


def line_of(text: str, keys: list[str]) -> int:
    """Line (from 1) where the dotted key is set in the TOML text; 1 when it cannot be found.

    tomllib tells no lines, so tables and keys are followed by their looks; enough for files that tomllib has accepted.
    """
    table: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        if match := re.match(r"\s*\[\[?\s*([^\]]+?)\s*\]", line):
            table = _dotted(match[1])
            if table == keys:
                return number
        elif match := re.match(r"""\s*((?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*)\s*=""", line):
            path = [*table, *_dotted(match[1])]
            inside = path == keys[: len(path)] and re.search(rf"\b{re.escape(keys[-1])}\b", line)
            if path == keys or inside:
                return number
    return 1


def _dotted(key: str) -> list[str]:
    return [part.strip().strip("\"'") for part in key.split(".")]
