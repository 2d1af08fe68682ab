"""Becomes QEMU with the files that its command line names, as an unprivileged user without capabilities.

libvirt runs this script in place of the emulator (``harness.vm.emulator``); it imports nothing of the harness, since it
runs without its environment. QEMU gets a mount namespace whose root is a small tmpfs:
the system's programs and libraries, read-only; each file of its command line, writable only where QEMU writes it; the
devices that it opens. It keeps the file descriptors that libvirt hands over: monitor, taps, console.

Root's QEMU runs as ``USER``. The QEMU of an ordinary user, who is root in the lab's user namespace alone, gets a user
namespace of its own, in which it is ``USER`` and on the host that very person: their files and their right to use KVM
stay what they are. Either way it has no capability and can gain none.
"""

import contextlib
import ctypes
import errno
import json
import os
import re
import signal
import stat
import sys
from itertools import pairwise

USER = 64055
"""Debian's number of the user libvirt-qemu; it needs no entry in /etc/passwd."""
LAB = "/run/wsk-harness"
_PROBE = "none,"  # libvirt asks QEMU what it can do with "-machine none,..."
_SYSTEM = ("/usr", "/lib", "/lib64", "/lib32", "/bin", "/sbin", "/etc/ld.so.cache", "/etc/alternatives", "/nix/store")
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/kvm")

# <sys/mount.h>, <linux/sched.h>, <linux/prctl.h>, <linux/mount.h>; the numbers of system calls are x86-64's and those
# of all architectures since Linux 5.2.
_RDONLY, _NOSUID, _NODEV, _NOEXEC, _REMOUNT, _BIND, _REC, _PRIVATE = 1, 2, 4, 8, 32, 4096, 16384, 1 << 18
_NEWNS, _NEWUSER = 0x20000, 0x10000000
_DETACH = 2
_NO_NEW_PRIVS, _CAPBSET_DROP, _CAP_AMBIENT, _CLEAR_ALL = 38, 24, 47, 4
_CAPSET, _PIVOT_ROOT, _OPEN_TREE, _MOVE_MOUNT, _MOUNT_SETATTR = 126, 155, 428, 429, 442
_CLONE_TREE, _EMPTY_PATH, _FROM_EMPTY, _ATTR_IDMAP = 1, 0x1000, 4, 0x100000
_AT_FDCWD = -100

_libc = ctypes.CDLL(None, use_errno=True)


def main(qemu: str, arguments: list[str]) -> None:
    """Confine this process and become QEMU; returns never."""
    machine = arguments[arguments.index("-machine") + 1] if "-machine" in arguments else ""
    if not machine.startswith(_PROBE):  # a probe has no guest, and writes where libvirt's own process does
        confine(qemu, arguments)
    else:
        drop_bounding()
    drop()
    os.execv(qemu, [qemu, *arguments])


def named(arguments: list[str]) -> dict[str, bool]:
    """Absolute paths of files on QEMU's command line, and whether QEMU must be able to write each."""
    found: dict[str, bool] = {}
    nodes = []
    for option, value in pairwise(arguments):
        if option in ("-kernel", "-initrd", "-bios"):
            found[value] = False
        elif option == "-blockdev" and value.startswith("{"):
            nodes.append(json.loads(value))
        elif value.startswith("{"):
            node = json.loads(value)
            found |= {node[key]: False for key in ("file", "filename") if isinstance(node.get(key), str)}
        elif option.startswith("-"):
            found |= {path: True for path in _in_words(value)}
    readonly = {name for node in nodes if node.get("read-only") for name in (node["node-name"], node.get("file"))}
    found |= {node["filename"]: node["node-name"] not in readonly for node in nodes if "filename" in node}
    return {path: write for path, write in found.items() if path.startswith("/") and not path.startswith("/dev/")}


def _in_words(value: str) -> list[str]:
    """Paths in an option of the form ``key=value,key=value``, where a comma of a value is written twice."""
    paths = []
    for word in re.split(r"(?<!,),(?!,)", value):
        key, _, path = word.replace(",,", ",").partition("=")
        if key in ("path", "mem-path", "file"):
            paths.append(path)
        elif key.startswith("unix:"):
            paths.append(key.removeprefix("unix:"))
    return paths


def screens(arguments: list[str]) -> set[str]:
    """Folders in which QEMU makes the socket for a VNC viewer, as ``-vnc vnc=unix:PATH,...`` names it."""
    values = [value for option, value in pairwise(arguments) if option == "-vnc"]
    words = [
        word.partition("unix:")[2].replace(",,", ",") for value in values for word in re.split(r"(?<!,),(?!,)", value)
    ]
    return {os.path.dirname(word) for word in words if word.startswith("/")}


def confine(qemu: str, arguments: list[str]) -> None:
    """Leave the host's file systems and the superuser behind."""
    with open("/proc/self/uid_map", encoding="ascii") as file:
        superuser = file.read().split() == ["0", "0", "4294967295"]
    groups = [os.stat("/dev/kvm").st_gid] if superuser and os.path.exists("/dev/kvm") else []
    _call(_libc.unshare(_NEWNS), "unshare")
    _mount(None, "/", None, _REC | _PRIVATE)
    root = f"{LAB}/qemu"
    os.makedirs(root, exist_ok=True)
    _mount("tmpfs", root, "tmpfs", _NOSUID | _NODEV, "mode=0755,size=4M")
    tree = Tree(root, superuser)
    system = [*_SYSTEM, *([] if qemu.startswith("/usr/") else [os.path.dirname(os.path.realpath(qemu))])]
    for path in system:
        tree.system(path)
    for path in _DEVICES:
        tree.device(path)
    files = named(arguments)
    for folder in screens(arguments):
        tree.folder(folder)
    if "-vnc" in arguments:  # what its screen shows QEMU writes into files that libvirt makes beside the guest's key
        for folder in {os.path.dirname(path) for path in files if os.path.basename(path) == "master-key.aes"}:
            tree.folder(folder)
            files = {path: write for path, write in files.items() if os.path.dirname(path) != folder}
    for path, write in files.items():
        tree.file(path, write)
    if any("vfio-pci" in argument for argument in arguments):
        tree.vfio()
    own = os.open("/proc/self", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)  # QEMU's root has no /proc
    tree.pivot()
    if superuser and not tree.unmapped:
        drop_bounding()  # needs a right that goes with the superuser
        os.setgroups(groups)
        os.setresgid(USER, USER, USER)
        os.setresuid(USER, USER, USER)
    elif superuser:
        drop_bounding()
    else:
        _own_user_namespace(own)
        drop_bounding()


def _own_user_namespace(own: int) -> None:
    """Be ``USER`` in a user namespace of our own, and outside of it who we are (user_namespaces(7))."""
    user, group = os.geteuid(), os.getegid()
    _call(_libc.unshare(_NEWUSER), "unshare")
    for name, text in (("setgroups", "deny"), ("uid_map", f"{USER} {user} 1"), ("gid_map", f"{USER} {group} 1")):
        file = os.open(name, os.O_WRONLY, dir_fd=own)
        os.write(file, text.encode())
        os.close(file)
    os.close(own)


class Tree:
    """The file system of one QEMU.

    Args:
        root: an empty tmpfs.
        superuser: whether QEMU will be another user than the one who owns the files.
    """

    def __init__(self, root: str, superuser: bool) -> None:
        self._root = root
        self._superuser = superuser
        self._given: list[str] = []
        self._system: list[str] = []
        self.unmapped = ""
        """A file that QEMU's user cannot be given: its file system knows no mapped mounts. QEMU stays root then."""

    def system(self, path: str) -> None:
        """A file or folder of the operating system, read-only; a link as a link."""
        if os.path.islink(path):
            os.symlink(os.readlink(path), self._root + path)
        elif os.path.exists(path):
            self._bind(path, write=False)
            self._system.append(path)

    def device(self, path: str) -> None:
        """A device; nothing when this host has none."""
        if os.path.exists(path):
            self._bind(path, write=True)

    def file(self, path: str, write: bool) -> None:
        """A file of QEMU's command line, which may be the beginning of a pipe's name or that of a socket to be made."""
        if path.startswith(tuple(f"{folder}/" for folder in self._system)):
            return  # firmware: it is there with its folder, and nobody writes it
        if os.path.exists(path):
            self._lend(path, write)
        elif os.path.exists(path + ".in"):
            self._lend(path + ".in", write)
            self._lend(path + ".out", write)
        elif os.path.isdir(os.path.dirname(path)):
            self._lend(os.path.dirname(path), write)

    def vfio(self) -> None:
        """The devices and the part of sysfs by which QEMU drives a host's device."""
        self._bind("/dev/vfio", write=True)
        self._bind("/sys", write=False)
        if self._superuser:
            for name in os.listdir("/dev/vfio"):
                if name.isdigit():  # a group that libvirt has bound for this guest; it owns the node likewise
                    os.chown(f"/dev/vfio/{name}", USER, -1)

    def folder(self, path: str) -> None:
        """A folder of root's to work in, with what root makes there later."""
        self._bind(path, write=True, mapped=self._superuser)

    def pivot(self) -> None:
        """Make it the root of this process, and forget the old one."""
        if self.unmapped:
            for path in self._given:
                os.chown(path, 0, 0)
        _mount(None, self._root, None, _REMOUNT | _BIND | _RDONLY | _NOSUID | _NODEV)
        os.chdir(self._root)
        _call(_libc.syscall(_PIVOT_ROOT, b".", b"."), "pivot_root")
        _call(_libc.umount2(b".", _DETACH), "umount")
        os.chdir("/")

    def _lend(self, path: str, write: bool) -> None:
        """A file for QEMU's user: by its mode, by its owner in the lab's own tmpfs, or by an owner that only we see."""
        status = os.stat(path)
        bits = (stat.S_IROTH | (stat.S_IWOTH if write else 0)) & ~status.st_mode
        own = os.path.realpath(path).startswith(f"{LAB}/")
        if self._superuser and bits and own:
            os.chown(path, USER, USER)
            self._given.append(path)
        self._bind(path, write, mapped=bool(self._superuser and bits and not own))

    def _bind(self, path: str, write: bool, *, mapped: bool = False) -> None:
        target = self._root + path
        if os.path.isdir(path):
            os.makedirs(target, exist_ok=True)
        else:
            os.makedirs(os.path.dirname(target), exist_ok=True)
            with open(target, "ab"):
                pass
        if not mapped or not self._bind_mapped(path, target):
            try:
                _mount(path, target, None, _BIND)
            except OSError:  # in a user namespace a folder cannot be shown without what is mounted in it
                _mount(path, target, None, _BIND | _REC)
        if not write:
            kept = os.statvfs(target).f_flag & (_NOSUID | _NODEV | _NOEXEC | 0x1C00)  # they may be locked
            _mount(None, target, None, _REMOUNT | _BIND | _RDONLY | kept)

    def _bind_mapped(self, path: str, target: str) -> bool:
        try:
            _bind_mapped(os.path.realpath(path), target)
        except OSError:
            self.unmapped = path
            return False
        return True


def _bind_mapped(path: str, target: str) -> None:
    """Bind a file so that QEMU's user is its owner there, and nowhere else (mount_setattr(2))."""
    tree = _call(_libc.syscall(_OPEN_TREE, _AT_FDCWD, path.encode(), _CLONE_TREE | os.O_CLOEXEC), "open_tree")
    users = _mapping(os.stat(path))
    attributes = (ctypes.c_uint64 * 4)(_ATTR_IDMAP, 0, 0, users)
    size = ctypes.c_size_t(ctypes.sizeof(attributes))
    _call(_libc.syscall(_MOUNT_SETATTR, tree, b"", _EMPTY_PATH, ctypes.byref(attributes), size), f"map {path}")
    _call(_libc.syscall(_MOVE_MOUNT, tree, b"", _AT_FDCWD, target.encode(), _FROM_EMPTY), "move_mount")
    os.close(tree)
    os.close(users)


def _mapping(status: os.stat_result) -> int:
    """A user namespace in which a file's owner and group are QEMU's user outside; an open descriptor."""
    ready, go = os.pipe(), os.pipe()
    child = os.fork()
    if not child:
        os.write(ready[1], b"1" if _libc.unshare(_NEWUSER) == 0 else b"0")
        os.read(go[0], 1)
        os._exit(0)
    try:
        if os.read(ready[0], 1) != b"1":
            raise OSError("no user namespace")
        for kind, own in (("uid_map", status.st_uid), ("gid_map", status.st_gid)):
            with open(f"/proc/{child}/{kind}", "w", encoding="ascii") as file:
                file.write(f"{own} {USER} 1")
        return os.open(f"/proc/{child}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        for descriptor in (*ready, *go):
            os.close(descriptor)


def drop_bounding() -> None:
    """Take every capability from what this process may become."""
    for number in range(64):
        if _libc.prctl(_CAPBSET_DROP, number, 0, 0, 0) != 0:
            if ctypes.get_errno() != errno.EINVAL:
                raise OSError(ctypes.get_errno(), "a capability cannot be given up")
            break  # the kernel knows no more of them


def drop() -> None:
    """Give up every capability that this process has, and every way to gain one."""
    _libc.prctl(_CAP_AMBIENT, _CLEAR_ALL, 0, 0, 0)
    header, none = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    _call(_libc.syscall(_CAPSET, ctypes.byref(header), ctypes.byref(none)), "capset")
    _call(_libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl")


def _mount(source: str | None, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    words = [word.encode() if word is not None else None for word in (source, target, kind, data)]
    _call(_libc.mount(words[0], words[1], words[2], ctypes.c_ulong(flags), words[3]), f"mount {target}")


def _call(result: int, what: str) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")
    return result


if __name__ == "__main__":
    try:
        main(sys.argv[1], sys.argv[2:])
    except Exception as error:  # libvirt quotes what the emulator says before it ends
        with contextlib.suppress(OSError):
            print(f"QEMU cannot be confined: {error}", file=sys.stderr)
        sys.exit(1)
