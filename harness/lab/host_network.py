"""Uses two bridges that the host has, in place of a lab's own: nothing is made on the host, and nothing is left there.

The DUT bridge must carry the host peers' addresses, for whoever asks for them must be answered; the control bridge
gives the guest an address by a DHCP server of the host's.
"""

from __future__ import annotations

from harness.errors import LabError
from harness.lab.bridges import Bridges
from harness.lab.network import PEERS


class HostNetwork(Bridges):
    """Existing bridges while the context lasts.

    Args:
        dut: bridge for the NIC under test; nothing but the harness should use it.
        control: bridge for the control NIC.

    Raises (on entry):
        LabError: no such bridge, or the DUT bridge lacks an address of a host peer; says how to mend it.
    """

    def _open(self) -> None:
        for name in (self.dut, self.control):
            found = self._netlink.link_lookup(ifname=name, kind="bridge")
            if not found:
                raise LabError(f"the host has no bridge {name!r}", mend=f"ip link add {name} type bridge")
        index = self._index(self.dut)
        present = {item.get_attr("IFA_ADDRESS") for item in self._netlink.get_addr(index=index)}
        for peer in PEERS:
            if str(peer) not in present:
                prefix = 24 if peer.version == 4 else 64
                raise LabError(
                    f"the DUT bridge {self.dut} lacks the host peer {peer}",
                    mend=f"ip address add {peer}/{prefix} dev {self.dut}",
                )

    def _release(self) -> None:
        """Nothing was made."""
