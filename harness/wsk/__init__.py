"""Defines the Winsock Kernel operations that the harness has the driver execute, and their bytes; does no I/O.

``types`` has addresses, buffers and completions, ``operations`` the calls on the driver, ``status`` the names of
NTSTATUS values, ``options`` the numbers of socket options and control messages, ``walk`` random sequences.
``table`` has a row per operation, by which ``abi`` encodes and decodes the driver's IOCTLs; ``layouts`` has their
structures, which ``generate`` writes from the C headers.
"""
