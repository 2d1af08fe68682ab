"""The Wine guest's image: its key, and the pure parts of its making."""

from __future__ import annotations

import dataclasses
import shutil
import stat
import struct
import subprocess
from pathlib import Path

import paramiko
import pytest

from harness import resources
from harness.errors import LabError, UsageError
from harness.guests import cache, keys
from harness.guests.wine import assembly, kernel, packages, prefix, wine_image


@pytest.fixture
def recipe(tmp_path: Path) -> wine_image.Recipe:
    shutil.copytree(resources.root() / "images" / "wine", tmp_path / "wine")
    (tmp_path / "netio.sys").write_bytes(b"one")
    return wine_image.Recipe(
        tmp_path / "wine", tmp_path / "netio.sys", packages.Sources("stable", ("deb http://example main",))
    )


def test_the_key_changes_with_every_input(recipe: wine_image.Recipe) -> None:
    seen = {recipe.inputs()}
    assert recipe.inputs() in seen, "the same input gives the same key"
    for file in sorted(recipe.folder.iterdir()):
        file.write_bytes(file.read_bytes() + b"\n")
        seen.add(recipe.inputs())
    files = len(list(recipe.folder.iterdir()))
    recipe.netio_sys.write_bytes(b"two")
    seen.add(recipe.inputs())
    for sources in (packages.Sources("next", recipe.sources.lines), packages.Sources("stable", ("deb x",))):
        seen.add(dataclasses.replace(recipe, sources=sources).inputs())
    assert len(seen) == 1 + files + 1 + 2


def test_the_recipe_names_every_file_that_the_builder_reads() -> None:
    folder = resources.root() / "images" / "wine"
    programs = {
        Path(name).with_suffix(".c").name
        for name in wine_image.Recipe(folder, folder, packages.Sources("", ())).table["wine"]["own_programs"]
    }
    assert {*assembly.SCRIPTS, *programs, "recipe.toml", "initramfs-init"} == {file.name for file in folder.iterdir()}


@pytest.mark.parametrize("script", ["init", "initramfs-init", "winshell", "netsh", "udhcpc.sh"])
def test_scripts_are_shell(script: str) -> None:
    subprocess.run(["bash", "-n", resources.root() / "images" / "wine" / script], check=True)


def test_sources_are_the_releases_own(tmp_path: Path) -> None:
    (tmp_path / "apt/sources.list.d").mkdir(parents=True)
    (tmp_path / "os-release").write_text('ID=debian\nVERSION_CODENAME=trixie\nPRETTY_NAME="Debian 13"\n')
    (tmp_path / "apt/sources.list").write_text(
        "# comment\ndeb http://deb.debian.org/debian trixie main\ndeb-src http://deb.debian.org/debian trixie main\n"
        "deb [arch=amd64] https://example.org/docker trixie stable\n"
    )
    (tmp_path / "apt/sources.list.d/debian.sources").write_text(
        "Types: deb deb-src\n# a comment inside\nURIs: http://security.debian.org/\nSuites: trixie-security\n"
        "Components: main\nSigned-By: /usr/share/keyrings/debian.gpg\n\n"
        "Types: deb\nURIs: http://elsewhere\nSuites: cloud-sdk-trixie\nComponents: main\n\n"
        "Types: deb\nEnabled: no\nURIs: http://disabled\nSuites: trixie\nComponents: main\n"
    )
    assert packages.host_sources(tmp_path) == packages.Sources(
        "trixie",
        (
            "deb http://deb.debian.org/debian trixie main",
            "deb [signed-by=/usr/share/keyrings/debian.gpg] http://security.debian.org/ trixie-security main",
        ),
    )


def test_a_host_without_sources_is_told_so(tmp_path: Path) -> None:
    (tmp_path / "apt/sources.list.d").mkdir(parents=True)
    (tmp_path / "os-release").write_text("ID=other\nVERSION_CODENAME=focal\n")
    with pytest.raises(UsageError, match="no apt source for this host's release \\(focal\\)"):
        packages.host_sources(tmp_path)


def test_registry_sections_follow_the_longest_prefix() -> None:
    head, kept, dropped = "WINE REGISTRY Version 2\n", '[System\\\\A] 1\n"x"=1\n', "[System\\\\Services\\\\Bad] 1\n"
    deeper, foreign = '[System\\\\Services\\\\Tcpip\\\\P] 1\n"y"=2\n', "[Other] 1\n"
    text = "\n".join([head, kept, dropped, deeper, foreign])
    pruned = prefix.pruned_registry(text, ["System", r"System\Services\Tcpip"], [r"system\services"])
    assert pruned == "\n".join([head, kept, deeper])


def test_the_initramfs_is_an_archive_that_cpio_reads(tmp_path: Path) -> None:
    if shutil.which("cpio") is None:
        pytest.skip("cpio is not installed")
    archive = kernel.initramfs({"init": b"#!x\n", "modules/a.ko": b"12345"}, ["dev"])
    subprocess.run(["cpio", "-id", "--quiet"], input=archive, cwd=tmp_path, check=True)
    assert (tmp_path / "modules/a.ko").read_bytes() == b"12345"
    assert stat.S_IMODE((tmp_path / "init").stat().st_mode) == 0o755
    assert (tmp_path / "dev").is_dir()
    assert archive == kernel.initramfs({"modules/a.ko": b"12345", "init": b"#!x\n"}, ["dev"])


def _module(depends: str) -> bytes:
    """A minimal ELF file with the two sections that are looked at."""
    info, names = f"license=GPL\0depends={depends}\0".encode(), b"\0.modinfo\0.shstrtab\0"
    body = b"\x7fELF".ljust(64, b"\0") + info + names
    table = len(body)
    rows = [(0, 0, 0, 0, 0, 0), (1, 1, 0, 0, 64, len(info)), (10, 3, 0, 0, 64 + len(info), len(names))]
    body += b"".join(struct.pack("<IIQQQQ", *row).ljust(64, b"\0") for row in rows)
    header = bytearray(body)
    struct.pack_into("<Q", header, 0x28, table)
    struct.pack_into("<HHH", header, 0x3A, 64, 3, 2)
    return bytes(header)


def test_modules_come_after_what_they_depend_on(tmp_path: Path) -> None:
    folder = tmp_path / "usr/lib/modules/6/kernel"
    folder.mkdir(parents=True)
    for name, depends in {"net-top": "mid", "mid": "low,built_in", "low": ""}.items():
        (folder / f"{name}.ko").write_bytes(_module(depends))
    (tmp_path / "usr/lib/modules/6/modules.builtin").write_text("kernel/x/built-in.ko\n")
    assert list(kernel.modules(tmp_path, ["net_top", "low", "built_in"])) == ["low", "mid", "net_top"]


def test_keys_are_what_ssh_software_reads(tmp_path: Path) -> None:
    pair = keys.KeyPair.generate()
    keys.write_private(tmp_path / "key", pair.openssh_private)
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    read = paramiko.Ed25519Key.from_private_key_file(str(tmp_path / "key"))
    assert f"ssh-ed25519 {read.get_base64()}" == pair.public_line
    assert pair.dropbear_private.startswith(b"\0\0\0\x0bssh-ed25519\0\0\0\x40")
    assert pair.public_line != keys.KeyPair.generate().public_line


@pytest.mark.parametrize(
    "name", [wine_image.KERNEL, wine_image.INITRD, wine_image.DISK, wine_image.KEY, cache.MANIFEST]
)
def test_a_half_written_image_is_built_again_once_and_that_is_said(
    recipe: wine_image.Recipe, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(wine_image, "_require_amd64", lambda: None)
    monkeypatch.setattr(cache, "require_space", lambda _: None)
    built: list[str] = []

    def make(recipe: wine_image.Recipe, folder: Path, progress: object) -> cache.Entry:
        built.append("built")
        (folder / "out").mkdir()
        for file in (wine_image.KERNEL, wine_image.INITRD, wine_image.DISK, wine_image.KEY):
            (folder / "out" / file).write_bytes(b"content" * 100)
        facts = {"guest": "wine", "key": "k", "inputs": recipe.inputs(), "host_public_key": "h", "cmdline": "c"}
        return cache.publish(folder / "out", "wine-k", facts)

    monkeypatch.setattr(wine_image, "_build", make)
    said: list[str] = []
    image = wine_image.build(said.append, recipe=recipe)
    assert wine_image.build(said.append, recipe=recipe) == image
    path = image.kernel.with_name(name)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(LabError, match=r"was damaged|is not in"):
        wine_image.load("k")
    again = wine_image.build(said.append, recipe=recipe)
    assert again.kernel.with_name(wine_image.KEY).read_bytes() == b"content" * 100
    assert wine_image.build(said.append, recipe=recipe) == wine_image.load("k") == again
    assert len(built) == 2
    (line,) = said
    assert "wine-k was damaged" in line
    assert name in line
