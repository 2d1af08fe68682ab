"""Installation media: editions read by wimlib through UDF and Joliet, one chosen, and a clear line when wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.guests.windows import media, releases
from harness.guests.windows.iso import Iso
from tests.unit import windows_kit as kit


@pytest.fixture(scope="module", params=[True, False], ids=["udf", "joliet"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return kit.media(tmp_path_factory.mktemp("media"), udf=request.param)


def test_editions_are_read_from_the_wim(server: Path) -> None:
    found = media.inspect(server)
    assert [edition.title for edition in found.editions] == [kit.CORE.title, kit.DESKTOP.title]
    desktop = found.choose("2")
    assert (desktop.build, desktop.revision, desktop.architecture, desktop.language) == (20348, 587, "x64", "en-US")
    assert desktop.evaluation
    assert media.release_of(desktop).name == "server-2022"


def test_an_open_choice_lists_the_editions(server: Path) -> None:
    with pytest.raises(UsageError, match="several editions") as caught:
        media.inspect(server).choose()
    assert "1  Windows Server 2022 Standard Evaluation  [ServerStandardEval, build 20348]" in caught.value.detail
    assert "--edition" in caught.value.mend


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        ("desktop experience", 2),
        ("Windows Server 2022 Standard Evaluation", 1),
        ("Windows Server 2022 SERVERSTANDARD", 2),
    ],
)
def test_an_edition_is_chosen_by_name(server: Path, wanted: str, index: int) -> None:
    assert media.inspect(server).choose(wanted).index == index


def test_no_such_edition_and_an_ambiguous_one(server: Path) -> None:
    with pytest.raises(UsageError, match="no edition 'Datacenter'"):
        media.inspect(server).choose("Datacenter")
    with pytest.raises(UsageError, match="means several editions"):
        media.inspect(server).choose("ServerStandardEval")


def test_wrong_architecture(tmp_path: Path) -> None:
    arm = kit.Image(architecture=12)
    iso = kit.media(tmp_path, [arm], loader="efi/boot/bootaa64.efi")
    with pytest.raises(UsageError, match="ARM64"):
        media.inspect(iso)


def test_wrong_architecture_of_the_editions_alone(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds Windows for x86"):
        media.inspect(kit.media(tmp_path, [kit.Image(architecture=0)]))


def test_media_that_are_not_windows(tmp_path: Path) -> None:
    kit.need("genisoimage")
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "readme.txt").write_text("hello")
    other = kit.iso(tmp_path / "tree", tmp_path / "other.iso")
    with pytest.raises(UsageError, match="not Windows installation media"):
        media.inspect(other)
    noise = tmp_path / "noise.iso"
    noise.write_bytes(b"\x55" * 300_000)
    with pytest.raises(UsageError, match="not an ISO image"):
        media.inspect(noise)


def test_media_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        media.inspect(tmp_path / "none.iso")
    with pytest.raises(UsageError, match="is a folder"):
        media.inspect(tmp_path)


def test_a_truncated_download(server: Path, tmp_path: Path) -> None:
    whole = server.read_bytes()
    for part in (len(whole) // 3, len(whole) // 2):
        cut = tmp_path / f"cut-{part}.iso"
        cut.write_bytes(whole[:part])
        with pytest.raises(UsageError, match=r"damaged|incomplete|not an ISO image"):
            media.inspect(cut)


def test_a_damaged_wim(tmp_path: Path) -> None:
    iso = kit.media(tmp_path, [kit.DESKTOP])
    with Iso(iso) as image:
        wim = image.find("sources/install.wim")
    assert wim is not None
    content = bytearray(iso.read_bytes())
    content[wim.extents[0][0] + 0x48 : wim.extents[0][0] + 0x58] = b"\xff" * 16  # where the XML lies
    iso.write_bytes(content)
    with pytest.raises(UsageError, match="ends before its XML"):
        media.inspect(iso)


def test_files_are_found_without_regard_to_case_and_read_in_part(server: Path) -> None:
    with Iso(server) as image:
        node = image.find("EFI/Boot/BOOTX64.EFI")
        assert node is not None
        assert image.read(node) == b"MZ"
        wim = image.find("sources/install.wim")
        assert wim is not None
        whole = image.read(wim)
        assert whole[:8] == media.WIM_MAGIC
        assert image.read(wim, 5000, 333) == whole[5000:5333]
        root = image.find("/")
        assert root is not None
        assert {path for path, _ in image.walk(root)} == {"boot/bcd", "efi/boot/bootx64.efi", "sources/install.wim"}


@pytest.mark.parametrize(
    ("build", "server", "name"),
    [
        (17763, True, "server-2019"),
        (20348, True, "server-2022"),
        (26100, True, "server-2025"),
        (17763, False, "windows-10"),
        (19045, False, "windows-10"),
        (22631, False, "windows-11"),
        (26100, False, "windows-11"),
    ],
)
def test_the_release_follows_from_build_and_kind(build: int, server: bool, name: str) -> None:
    assert releases.by_build(build, server=server).name == name


def test_an_unknown_build_is_told() -> None:
    with pytest.raises(UsageError, match="build 9600, which is not known"):
        releases.by_build(9600, server=True)
