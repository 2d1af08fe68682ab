"""Tests with the real thing: namespaces, libvirt, QEMU, dumpcap, tshark, SSH."""
