"""Virtual machines through libvirt: the domain XML, the connection, the running machine, the choice of accelerator."""
