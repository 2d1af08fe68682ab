"""The MTU as an option of any NIC model."""

from __future__ import annotations

import pytest

from harness import nics
from harness.errors import UsageError


def test_an_mtu_within_the_models_reach_is_a_variant() -> None:
    nic = nics.get("virtio-net+csum=off+mtu=9000")
    assert (nic.mtu, nic.name, nic.partial_checksum) == (9000, "virtio-net+csum=off+mtu=9000", False)
    assert nics.get("e1000").mtu == 1500


@pytest.mark.parametrize("name", ["pcnet+mtu=9000", "e1000+mtu=68", "e1000+mtu=many", "e1000+mtu="])
def test_an_mtu_out_of_reach_is_refused_with_what_the_model_carries(name: str) -> None:
    with pytest.raises(UsageError, match="MTU") as raised:
        nics.get(name)
    assert str(nics.get(name.split("+")[0]).max_mtu) in raised.value.mend
