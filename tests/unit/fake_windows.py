"""An SSH server that answers as Windows' OpenSSH does, quirks and all, as documents and field reports tell of it.

Commands go to a ``cmd.exe`` that does not unescape; output has CRLF and, from plain tools, the OEM code page of a
German Windows; exit codes have 32 bits; what a session leaves running dies with it; a restart goes on answering for a
while.
"""

from __future__ import annotations

import io
import json
import re
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import paramiko
from paramiko.common import AUTH_FAILED, AUTH_SUCCESSFUL, OPEN_SUCCEEDED
from paramiko.sftp import SFTP_NO_SUCH_FILE, SFTP_OP_UNSUPPORTED

from harness.guests.keys import KeyPair
from harness.guests.windows import powershell
from tests.ssh_kit import Punctual

OEM = "cp850"
BEFORE, AFTER = "2026-01-01T00:00:00.0000000Z", "2026-01-01T00:05:00.0000000Z"
BAD_IMAGES = {b"unsigned": 577, b"narrow": 193, b"import": 127, b"entry": 31}


@dataclass
class Service:
    path: str
    state: str = "STOPPED"
    unloads: bool = True


@dataclass
class FakeWindows:
    """The machine behind the server.

    Args:
        restarts_truly: whether a restart leads to another boot.
        lingers: logins of the old boot that are still answered after the restart was asked for.
        hasty: whether a restart ends the connection before it tells the command's exit code.
    """

    restarts_truly: bool = True
    lingers: int = 0
    dut_exit: int = 0
    refuses: dict[bytes, int] = field(default_factory=dict)
    certificates: tuple[str, ...] = ()
    boot: str = BEFORE
    files: dict[str, bytes] = field(default_factory=dict)
    services: dict[str, Service] = field(default_factory=dict)
    commands: list[str] = field(default_factory=list)
    running_children: list[str] = field(default_factory=list)
    verifier: str = ""
    events: list[dict[str, object]] = field(default_factory=list)
    dump: str = ""
    inventory: dict[str, object] = field(default_factory=dict)
    boots: int = 0
    hasty: bool = False
    hang_up: Callable[[], None] = lambda: None

    def crash(self, code: int = 0xD1, *, logged: bool = True) -> None:
        """Stop with a bugcheck: connections break, drivers are gone, the next boot logs it and saves the dump."""
        self.boots += 1
        self.boot = f"2026-01-01T01:{self.boots:02}:00.0000000Z"
        self.services.clear()
        words = f"0x{code:08x} (0xffffa50000000010, 0x0000000000000002, 0x0000000000000000, 0xfffff80112345678)"
        text = f"Der Computer wurde nach einem schwerwiegenden Fehler neu gestartet. Fehler: {words}."
        if logged:
            self.events.append({"id": 1001, "time": self.boot, "text": text, "data": {}})
            self.dump = self.boot
            self.files["C:/harness/dump.tgz"] = f"dump of {self.boot}".encode()
        self.hang_up()

    def _since(self, script: str) -> str:
        found = re.search(r"\$Since='([^']*)'", script)
        return found[1] if found else ""

    def run(self, command: str) -> tuple[int, bytes]:
        """What cmd.exe /c "COMMAND" gives: exit code and standard output."""
        self.commands.append(command)
        if "-EncodedCommand" in command:
            return self._powershell(powershell.decode(command))
        if " -File " in command:
            path = command.rpartition(" ")[2].replace("\\", "/")
            return self._powershell(self.files[path].decode("utf-8-sig"))
        code = 0
        output = b""
        for part in command.split(" && "):
            code, said = self._tool(part.strip())
            output += said
            if code:
                break
        return code, output

    def _tool(self, command: str) -> tuple[int, bytes]:
        words = command.split()
        match words[0] if words else "":
            case "sc.exe":
                return self._sc(words[1:])
            case "netsh" | "netsh.exe":
                return (
                    (1, "Das System kann die angegebene Datei nicht finden.\r\n\r\n".encode(OEM))
                    if ('"DUT"' not in command)
                    else (0, b"")
                )
            case "exit":
                return int(words[1], 0) & 0xFFFFFFFF, b""
            case "echo":
                return 0, (command[5:] + "\r\n").encode(OEM, "replace")
            case "if" | "del" | "shutdown.exe" | "tar.exe":
                return 0, b""
            case "start":
                self.running_children.append(command)
                return 0, b""
            case "cmd.exe":
                return self._verifier(command)
        return 1, f'Der Befehl "{words[0]}" ist entweder falsch geschrieben oder\r\n'.encode(OEM)

    def _verifier(self, command: str) -> tuple[int, bytes]:
        if "/querysettings" in command:
            return 0, f"Überprüfte Treiber:\r\n\r\n{self.verifier}\r\n".encode(OEM)
        self.verifier = command.split("/driver ")[1].split(" 2>")[0] if "/driver" in command else ""
        return 2, "Sie müssen den Computer neu starten.\r\n".encode(OEM)

    def _sc(self, words: list[str]) -> tuple[int, bytes]:
        verb, name = words[0], words[1]
        service = self.services.get(name)
        if verb == "create":
            if service is not None:
                return self._failed("CreateService", 1073)
            if not re.search(r"type= kernel start= demand .*binPath= \S+", " ".join(words)):
                return 1639, b""
            self.services[name] = Service(words[words.index("binPath=") + 1])
            return 0, "[SC] CreateService ERFOLG\r\n".encode(OEM)
        if service is None:
            return self._failed("OpenService", 1060)
        if verb == "start":
            return self._start(name, service)
        if verb == "stop":
            if service.state == "STOPPED":
                return self._failed("ControlService", 1062)
            if not service.unloads:
                return self._failed("ControlService", 1052)
            service.state = "STOPPED"
        elif verb == "delete":
            del self.services[name]
            return 0, b"[SC] DeleteService ERFOLG\r\n"
        return 0, self._status(name, service)

    def _start(self, name: str, service: Service) -> tuple[int, bytes]:
        if service.state == "RUNNING":
            return self._failed("StartService", 1056)
        content = self.files.get(service.path.replace("\\", "/"))
        if content is None:
            return self._failed("StartService", 2)
        if content in self.refuses:
            return self._failed("StartService", self.refuses[content])
        for word, error in BAD_IMAGES.items():
            if word in content:
                return self._failed("StartService", error)
        service.unloads = b"nounload" not in content
        service.state = "RUNNING"
        return 0, self._status(name, service)

    def _failed(self, function: str, error: int) -> tuple[int, bytes]:
        return (
            error,
            f"[SC] {function} FEHLER {error}:\r\n\r\nDer angegebene Dienst lässt sich nicht öffnen.\r\n".encode(OEM),
        )

    def _status(self, name: str, service: Service) -> bytes:
        number = {"STOPPED": 1, "RUNNING": 4}[service.state]
        lines = [
            "",
            f"SERVICE_NAME: {name}",
            "        TYPE               : 1  KERNEL_DRIVER",
            f"        STATE              : {number}  {service.state}",
            "                                (STOPPABLE, NOT_PAUSABLE, IGNORES_SHUTDOWN)",
            "        WIN32_EXIT_CODE    : 0  (0x0)",
        ]
        return "\r\n".join(lines).encode(OEM) + b"\r\n"

    def _powershell(self, script: str) -> tuple[int, bytes]:
        if (told := self._of_crashes(script)) is not None:
            return 0, told
        if "Rename-NetAdapter" in script:
            answer = {"name": "DUT", "status": "Up", "description": "Netzwerkkarte für Tests", "version": "1.2.3"}
            return self.dut_exit, b"" if self.dut_exit else (json.dumps(answer, ensure_ascii=False) + "\r\n").encode()
        if "SystemStartOptions" in script and self.inventory:
            return 0, (json.dumps(self.inventory) + "\r\n").encode()
        if "Get-NetIPAddress" in script:
            return 0, b""
        if "pnputil.exe" in script:
            if not any(name.endswith("netkvm.inf") for name in self.files):
                return 0x80070002, b""
            return 0, (json.dumps({"DeviceName": "NetKVM", "DriverVersion": "100.85"}) + "\r\n").encode()
        if "Cert:" in script:
            return 0, "".join(f"{line}\r\n" for line in self.certificates).encode()
        if script.startswith("Write-Output "):
            return 0, (script.removeprefix("Write-Output ").strip("'") + "\r\n").encode()
        if found := re.search(r"exit (\d+)$", script):
            return int(found[1]), b""
        return 97, b""

    def _of_crashes(self, script: str) -> bytes | None:
        if "WER-SystemErrorReporting" in script:
            told = [event for event in self.events if str(event["time"]) >= self._since(script)]
            return json.dumps(told).encode()
        if "MEMORY.DMP" in script:
            fresh = self.dump and self.dump >= self._since(script)
            row = {"path": "C:\\Windows\\MEMORY.DMP", "size": 9, "time": self.dump}
            return json.dumps(row).encode() if fresh else b""
        if "LastBootUpTime" in script:
            return (self.boot + "\r\n").encode()
        return None


class Server:
    """Serves a FakeWindows on a port of the loopback interface."""

    def __init__(self, machine: FakeWindows, folder: Path) -> None:
        self.machine = machine
        login, host = KeyPair.generate(), KeyPair.generate()
        self.key = folder / "key"
        self.key.write_bytes(login.openssh_private)
        self.host_public_key = host.public_line
        self._allowed = login.public_line.split()[1]
        self._host = paramiko.Ed25519Key(file_obj=io.StringIO(host.openssh_private.decode()))
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._transports: list[paramiko.Transport] = []
        machine.hang_up = self._hang_up
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._socket.close()
        self._hang_up()

    def _hang_up(self) -> None:
        for transport in self._transports:
            transport.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            transport = Punctual(connection)
            transport.add_server_key(self._host)
            transport.set_subsystem_handler("sftp", paramiko.SFTPServer, _Files, self.machine)
            self._transports.append(transport)
            try:
                transport.start_server(server=_Session(self.machine, self._allowed, transport))
            except (paramiko.SSHException, EOFError):
                transport.close()


class _Session(paramiko.ServerInterface):
    def __init__(self, machine: FakeWindows, allowed: str, transport: Punctual) -> None:
        self._machine = machine
        self._allowed = allowed
        self._transport = transport

    def get_allowed_auths(self, username: str) -> str:
        return "publickey,password"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        right = username.lower() == "administrator" and key.get_base64() == self._allowed
        return AUTH_SUCCESSFUL if right else AUTH_FAILED

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        self._transport.once_taken(lambda: self._run(channel, command.decode()))
        return True

    def _run(self, channel: paramiko.Channel, command: str) -> None:
        code, output = self._machine.run(command)
        channel.sendall(output)
        self._machine.running_children.clear()  # the job object ends them with the session
        restarts = command.startswith("shutdown.exe /r")
        if not (restarts and self._machine.hasty):
            channel.send_exit_status(code)
            channel.close()
        if restarts:
            if self._machine.lingers:
                self._machine.lingers -= 1
            elif self._machine.restarts_truly:
                self._machine.boot = AFTER
            self._transport.close()
        elif self._machine.boot == BEFORE and "shutdown.exe /r /t 0 /f" in self._machine.commands:
            if self._machine.restarts_truly:
                self._machine.boot = AFTER
            self._transport.close()


class _Files(paramiko.SFTPServerInterface):
    def __init__(self, server: paramiko.ServerInterface, machine: FakeWindows) -> None:
        super().__init__(server)
        self._machine = machine

    def open(self, path: str, flags: int, attr: paramiko.SFTPAttributes) -> paramiko.SFTPHandle | int:
        name = path.removeprefix("/")
        handle = paramiko.SFTPHandle(flags)
        buffer = io.BytesIO(b"" if flags & 0x200 or name not in self._machine.files else self._machine.files[name])
        machine = self._machine

        class Store(io.BytesIO):
            def close(self) -> None:
                machine.files[name] = self.getvalue()
                super().close()

        store = Store(buffer.getvalue())
        handle.readfile = handle.writefile = store  # type: ignore[attr-defined]
        handle.filename = name  # type: ignore[attr-defined]
        self._last = store
        return handle

    def stat(self, path: str) -> paramiko.SFTPAttributes | int:
        attributes = paramiko.SFTPAttributes()
        name = path.removeprefix("/")
        if name not in self._machine.files and getattr(self, "_last", None) is None:
            return SFTP_NO_SUCH_FILE
        content = self._machine.files.get(name)
        attributes.st_size = len(content if content is not None else self._last.getvalue())
        return attributes

    def chattr(self, path: str, attr: paramiko.SFTPAttributes) -> int:
        return SFTP_OP_UNSUPPORTED
