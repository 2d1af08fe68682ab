"""The binaries that run in a guest: how they are built (``build``) and whether Windows would load them (``check``)."""
