"""What libvirt and the choice of the accelerator keep in the cache is used as it was written, or made again."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cache import document
from harness.vm import accelerator, capabilities
from harness.vm.accelerator import Accelerator


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    made = tmp_path / "wsk-harness" / "libvirt"
    (made / "qemu/capabilities").mkdir(parents=True)
    return made


@pytest.mark.parametrize("text", ["", "<qemuCaps>", "<qemuCaps><flag name='kvn'/></qemuCaps>"])
def test_a_damaged_file_of_libvirt_s_goes_before_libvirt_reads_it(folder: Path, text: str) -> None:
    path = folder / "qemu/capabilities/a.xml"
    path.write_text("<qemuCaps><flag name='kvm'/></qemuCaps>")
    assert capabilities.sweep(folder) == []
    capabilities.record(folder)
    assert capabilities.sweep(folder) == []
    path.write_text(text)
    assert capabilities.sweep(folder) == ["cached qemu/capabilities/a.xml was damaged: rebuilt"]
    assert not path.exists()
    assert capabilities.sweep(folder) == []


def test_a_damaged_record_removes_nothing_and_is_made_again(folder: Path) -> None:
    (folder / "qemu/capabilities/a.xml").write_text("<qemuCaps/>")
    capabilities.record(folder)
    (folder / "capabilities.json").write_text("{")
    assert "was damaged" in capabilities.sweep(folder)[0]
    capabilities.record(folder)
    assert capabilities.sweep(folder) == []
    assert (folder / "qemu/capabilities/a.xml").exists()


@pytest.mark.parametrize("damage", [lambda text: "", lambda text: text.replace("tcg", "tcf"), lambda text: text[:-5]])
def test_a_damaged_choice_of_the_accelerator_is_proven_again(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: object
) -> None:
    proven: list[Path] = []

    def prove(scratch: Path) -> Accelerator:
        proven.append(scratch)
        return Accelerator("tcg", "seen")

    monkeypatch.setattr(accelerator, "prove", prove)
    monkeypatch.setattr(accelerator, "_version", lambda: "7.2")
    assert accelerator.choose(tmp_path) == accelerator.choose(tmp_path) == Accelerator("tcg", "seen")
    assert len(proven) == 1
    file = folder / "accelerator.json"
    assert callable(damage)
    file.write_text(damage(file.read_text()))
    found = accelerator.choose(tmp_path)
    assert (found.name, len(proven)) == ("tcg", 2)
    assert "cached accelerator.json was damaged" in found.evidence
    assert accelerator.choose(tmp_path) == Accelerator("tcg", "seen")
    assert document.read(file) is not None
