"""harness.toml: what is accepted, and the one line that a mistake gets."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cli.config import Config, line_of, load
from harness.errors import EXIT_USAGE, UsageError
from harness.guests.windows.options import WindowsOptions


def write(folder: Path, text: str) -> Path:
    file = folder / "harness.toml"
    file.write_text(text, encoding="utf-8")
    return file


def refused(folder: Path, text: str) -> str:
    with pytest.raises(UsageError) as caught:
        load(write(folder, text))
    assert caught.value.exit_code == EXIT_USAGE
    line = caught.value.line()
    assert "\n" not in line
    return line


def test_absent_file_gives_the_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load() == Config()
    assert Config().nics == ("virtio-net", "e1000")


def test_file_in_the_working_directory_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, 'nics = ["e1000"]\njobs = 3\n[lab]\nmemory = 512\n')
    monkeypatch.chdir(tmp_path)
    config = load()
    assert (config.nics, config.jobs, config.lab.memory) == (("e1000",), 3, 512)


def test_named_file_must_exist(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read .*nowhere\.toml"):
        load(tmp_path / "nowhere.toml")


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    config = load(write(tmp_path, 'driver = "out/my.sys"\nsuite = ["tests", "/elsewhere"]\n'))
    assert config.driver == tmp_path / "out/my.sys"
    assert config.suite == (tmp_path / "tests", Path("/elsewhere"))
    assert load(write(tmp_path, 'adapter = "my.py:Mine"\n')).adapter == f"{tmp_path}/my.py:Mine"
    assert load(write(tmp_path, 'adapter = "my.module:Mine"\n')).adapter == "my.module:Mine"


def test_what_is_asked_of_windows_guests(tmp_path: Path) -> None:
    config = load(write(tmp_path, '[windows]\ndriver_verifier = true\nnic_driver = "NetKVM"\noffloads = "off"\n'))
    assert config.windows.options() == WindowsOptions(True, tmp_path / "NetKVM", "off")
    assert load(write(tmp_path, "")).windows.options() == WindowsOptions()
    assert "harness.toml:2: `windows.offloads`" in refused(tmp_path, '[windows]\noffloads = "no"\n')


def test_unknown_key_names_file_line_and_the_nearest(tmp_path: Path) -> None:
    line = refused(tmp_path, 'guests = ["wine"]\n\nnic = ["e1000"]\n')
    assert line == f"{tmp_path}/harness.toml:3: unknown key `nic`; did you mean `nics`?"


def test_unknown_key_in_a_table(tmp_path: Path) -> None:
    line = refused(tmp_path, '[lab]\nuri = ""\nbrigde = "br0"\n')
    assert "harness.toml:3: unknown key `lab.brigde`; did you mean `bridge`?" in line


def test_unknown_key_without_a_near_one_lists_what_is_known(tmp_path: Path) -> None:
    assert "known here: bridge, control_address, control_bridge, memory, states, uri" in refused(
        tmp_path, "[lab]\nzzz = 1\n"
    )


def test_unknown_table(tmp_path: Path) -> None:
    assert ":2: unknown key `labs`; did you mean `lab`?" in refused(tmp_path, "jobs = 1\n[labs]\nmemory = 300\n")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("jobs = 0\n", ":1: `jobs`: input should be greater than or equal to 1, not 0"),
        ("guests = []\n", ":1: `guests`:"),
        ('\njobs = "many"\n', ":2: `jobs`:"),
        ("[lab]\nmemory = 64\n", ":2: `lab.memory`:"),
        ("lab = { memory = 64 }\n", ":1: `lab.memory`:"),
    ],
)
def test_wrong_value_names_its_line(tmp_path: Path, text: str, told: str) -> None:
    assert told in refused(tmp_path, text)


def test_text_that_is_not_toml_names_the_line(tmp_path: Path) -> None:
    assert "harness.toml:2: Invalid value" in refused(tmp_path, "jobs = 1\nnics = [\n")
    assert "harness.toml:1: Expected '='" in refused(tmp_path, "jobs 1\nnics = []\n")


def test_bytes_that_are_not_text(tmp_path: Path) -> None:
    file = tmp_path / "harness.toml"
    file.write_bytes(b"nics = 1\n\xff\x00")
    with pytest.raises(UsageError, match="not UTF-8"):
        load(file)


def test_line_of_follows_tables_dotted_and_quoted_keys() -> None:
    text = '# lab.uri = 1\na = 1\n"lab" . uri = ""\n[other]\nuri = ""\n'
    assert line_of(text, ["lab", "uri"]) == 3
    assert line_of(text, ["other", "uri"]) == 5
    assert line_of(text, ["absent"]) == 1
