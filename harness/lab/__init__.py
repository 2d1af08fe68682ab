"""The private lab of one cell: namespaces, bridges, peers, DHCP and the children that live and die with the worker."""
