"""A lab on the host: bridges, DHCP and a libvirt daemon that were there before, used and left as they were."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from harness import resources
from harness.cell.job import Cell, CellJob, HostLab
from harness.cell.run import run_cell
from harness.driver_build import build as drivers
from harness.errors import LabError
from harness.guests.wine import wine_image
from harness.lab import dhcp, namespace
from harness.lab.growth import Growth
from harness.lab.host_network import HostNetwork
from harness.lab.network import CONTROL_GUEST, CONTROL_NIC_MAC, LabNetwork
from harness.lab.process import Child
from harness.results.status import Status
from harness.vm.libvirt import QEMU_CONF, embedded_uri


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[str]:
    """A libvirt daemon of the lab's own, as a host runs one; its URI."""
    program = shutil.which("libvirtd")
    if program is None:
        pytest.skip("libvirtd is not installed; the harness itself needs only libvirt's QEMU driver")
    embedded_uri()  # names the users that libvirt insists on
    settings = namespace.WORK / "etc"
    with suppress(shutil.Error):  # what only the host's root may read is of no use to the daemon
        shutil.copytree("/etc", settings, symlinks=True)
    namespace.mount(str(settings), "/etc", None, namespace.MS_BIND)  # not all of libvirt's packages make its folder
    ours = Path("/etc/libvirt")
    ours.mkdir(exist_ok=True)
    (ours / "qemu.conf").write_text(QEMU_CONF)
    (ours / "libvirtd.conf").write_text('auth_unix_rw = "none"\nunix_sock_group = "root"\n')
    log = tmp_path / "libvirtd.log"
    socket = Path("/run/libvirt/libvirt-sock")
    socket.parent.mkdir(parents=True)
    with Growth(socket) as ready, Child("libvirtd", [program, "--verbose"], log) as child:

        def listening() -> bool | None:
            child.require_alive()
            return socket.exists() or None

        ready.until(listening, "libvirtd's socket", 20.0, detail=child.tail)
        yield "qemu:///system"


@pytest.fixture
def host(tmp_path: Path) -> Iterator[LabNetwork]:
    """Stands for what an administrator has set up: two bridges, and DHCP on one of them."""
    with LabNetwork() as network:
        server = dhcp.serve(network.control, CONTROL_NIC_MAC, CONTROL_GUEST, tmp_path / "dhcp.log")
        yield network
        server.end()


@pytest.mark.lab
def test_a_cell_runs_on_existing_bridges_and_leaves_them(tmp_path: Path, daemon: str, host: LabNetwork) -> None:
    image = wine_image.find()
    if image is None:
        pytest.skip("the Wine image is not built yet; `harness run` builds it")
    build = drivers.build()
    job = CellJob(
        Cell("wine", "e1000"),
        "host-lab",
        tmp_path,
        image.key,
        build.wsksend_sys,
        build.wskctl_exe,
        suite=(resources.suite() / "test_destination.py",),
        pytest_args=("-k", "explicit_address and ipv4"),
        host=HostLab(daemon, host.dut, host.control, str(CONTROL_GUEST)),
    )
    before = host.ports()
    result = run_cell(job, lambda _event: None)
    assert result.status is Status.PASSED, result
    assert result.cases
    assert host.ports() == before


@pytest.mark.lab
def test_what_is_missing_on_the_host_is_named_with_its_command(host: LabNetwork) -> None:
    with pytest.raises(LabError, match="no bridge 'br9'") as missing, HostNetwork(host.dut, "br9"):
        pass
    assert "ip link add br9 type bridge" in missing.value.mend
    with pytest.raises(LabError, match="lacks the host peer") as bare, HostNetwork(host.control, host.dut):
        pass
    assert "ip address add 192.0.2.1/24 dev ctl0" in bare.value.mend


def test_a_job_for_the_host_survives_the_way_to_its_worker(tmp_path: Path) -> None:
    lab = HostLab("qemu:///system", "br0", "br1", "198.51.100.10")
    job = CellJob(Cell("wine", "e1000"), "r", tmp_path, "k", Path("/d.sys"), Path("/c.exe"), host=lab)
    assert CellJob.from_json(job.to_json()) == job
    assert not job.isolated
    assert replace(job, host=None).isolated
