"""What to send: the words of Winsock Kernel that the rest of the harness speaks.

Values only. ``types`` has addresses, buffers and completions, ``operations`` the calls on the driver,
``plan`` their record on disk, ``status`` the names of NTSTATUS values, ``options`` the numbers of socket
options and control messages, ``abi`` the bytes of the driver's IOCTLs by the tables of ``layouts``.
"""
