"""Which files of QEMU's command line a confined QEMU sees, and which of them it may write."""

from __future__ import annotations

import json

from harness.vm.confine import named, screens


def test_the_files_of_a_command_line() -> None:
    storage = {"driver": "file", "filename": "/cache/disk.erofs", "node-name": "s1", "auto-read-only": True}
    own = {"driver": "file", "filename": "/cell/disk.qcow2", "node-name": "s2", "auto-read-only": True}
    arguments = [
        *("-object", json.dumps({"qom-type": "secret", "id": "k", "file": "/lab/domain-1/master-key.aes"})),
        *("-kernel", "/cache/vmlinux", "-initrd", "/cache/initrd", "-append", "console=ttyS0 root=/dev/vda"),
        *("-blockdev", json.dumps(storage)),
        *("-blockdev", json.dumps({"node-name": "f1", "read-only": True, "driver": "raw", "file": "s1"})),
        *("-blockdev", json.dumps(own)),
        *("-blockdev", json.dumps({"node-name": "f2", "read-only": False, "driver": "qcow2", "file": "s2"})),
        *("-chardev", "socket,id=charmonitor,fd=19,server=on,wait=off"),
        *("-chardev", "file,id=charserial0,path=/dev/fdset/0,append=on"),
        *("-chardev", "pipe,id=orders,path=/lab/orders"),
        *("-object", "memory-backend-file,id=ram,size=256M,share=off,mem-path=/cache/ram,, with a comma"),
        *("-object", json.dumps({"qom-type": "rng-random", "filename": "/dev/urandom"})),
        *("-vnc", "unix:/cell/screen,audiodev=a"),
    ]
    assert named(arguments) == {
        "/lab/domain-1/master-key.aes": False,
        "/cache/vmlinux": False,
        "/cache/initrd": False,
        "/cache/disk.erofs": False,
        "/cell/disk.qcow2": True,
        "/lab/orders": True,
        "/cache/ram, with a comma": True,
        "/cell/screen": True,
    }


def test_the_folder_of_the_screen_s_socket_is_found() -> None:
    assert screens(["-vnc", "vnc=unix:/a,,b/screen/vnc.sock,audiodev=audio1"]) == {"/a,b/screen"}
    assert screens(["-vnc", "127.0.0.1:0", "-vnc", "none"]) == set()
