"""Explains the verifier's codes: the driver rule that each code stands for, and the page that states the rule.

The pages belong to Microsoft's Windows Driver Kit documentation; "ddi" is its reference of functions.
"""

from __future__ import annotations

from dataclasses import dataclass

_IRPS = "WDK, Using IRPs with Winsock Kernel Functions"
_SEND = "ddi WskSendTo"
_CLOSE = "ddi WskCloseSocket; WDK, Closing a Socket"
_UNREGISTER = "ddi WskDeregister; WDK, Unregistering a Winsock Kernel Application"
_POOL = "ddi ExFreePoolWithTag"
_MDL = "WDK, Using MDLs; ddi MmUnlockPages, IoFreeMdl"


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule for drivers.

    Args:
        words: the rule in one sentence.
        source: the page that states it.
    """

    words: str
    source: str


RULES: dict[str, Rule] = {
    "pool-leak": Rule("what was allocated is freed before the driver unloads", "ddi ExAllocatePoolWithTag"),
    "irp-leak": Rule("every IRP of the driver's own is freed with IoFreeIrp", _IRPS),
    "mdl-leak": Rule("every MDL is freed with IoFreeMdl; IoFreeIrp does not do it", "ddi IoFreeIrp, IoFreeMdl"),
    "device-leak": Rule("DriverUnload deletes the driver's devices", "ddi IoDeleteDevice"),
    "link-leak": Rule("DriverUnload deletes the driver's symbolic links", "ddi IoDeleteSymbolicLink"),
    "socket-leak": Rule("every socket is closed before WskDeregister, which waits for it", _UNREGISTER),
    "npi-leak": Rule("every captured provider NPI is released before WskDeregister, which waits for it", _UNREGISTER),
    "registration-leak": Rule("every successful WskRegister is ended by WskDeregister before unload", _UNREGISTER),
    "npi-released-twice": Rule("exactly one WskReleaseProviderNPI for each capture", "ddi WskReleaseProviderNPI"),
    "deregistered-twice": Rule("exactly one WskDeregister for each WskRegister", _UNREGISTER),
    "infinite-wait": Rule(
        "no WSK_INFINITE_WAIT where the system may start without WSK, as in DriverEntry", "ddi WskCaptureProviderNPI"
    ),
    "double-free": Rule("what was freed is not freed again", _POOL),
    "bad-free": Rule("only what the same kind of function allocated is freed, by its own address", _POOL),
    "wrong-tag": Rule("memory is freed with the tag it was allocated with", _POOL),
    "use-after-free": Rule("freed memory is not touched", _POOL),
    "pool-overrun": Rule("nothing is read or written behind the end of an allocation", "ddi ExAllocatePoolWithTag"),
    "pool-underrun": Rule("nothing is written before the start of an allocation", "ddi ExAllocatePoolWithTag"),
    "freed-before-completion": Rule("buffers, MDLs and control information stay until the IRP has completed", _SEND),
    "buffer-changed": Rule("the bytes of a send are left alone until the IRP has completed", _SEND),
    "control-changed": Rule("control information is left alone until the IRP has completed", _SEND),
    "wskbuf-changed": Rule(
        "WSK_BUF and its MDLs are left alone until the IRP has completed; no page says that WSK copies them", _SEND
    ),
    "address-changed": Rule(
        "the address is left alone until the IRP has completed; no page says that WSK copies it", _SEND
    ),
    "wskbuf-bounds": Rule("Offset lies within the first MDL, and Offset and Length within the chain", "ddi WSK_BUF"),
    "irp-no-stack-location": Rule("an IRP for WSK has at least one stack location", _IRPS),
    "irp-in-use": Rule("an IRP is given to WSK again only after it has completed", _IRPS),
    "irp-not-reused": Rule("a completed IRP is used again only after IoReuseIrp", _IRPS),
    "irp-reused-in-flight": Rule("IoReuseIrp is for IRPs that have completed", "ddi IoReuseIrp"),
    "irp-freed-in-flight": Rule("an IRP is freed only after it has completed", _IRPS),
    "completion-routine-missing": Rule("an IRP of the driver's own has a completion routine at every call", _IRPS),
    "completion-not-always": Rule(
        "the routine is invoked on success, on error and on cancel (TRUE, TRUE, TRUE)", _IRPS
    ),
    "completion-routine-status": Rule(
        "for an IRP of the driver's own the routine always returns STATUS_MORE_PROCESSING_REQUIRED", _IRPS
    ),
    "wsk-call-in-completion-routine": Rule(
        "a completion routine makes no WSK call: it may recurse until the stack is exhausted", _IRPS
    ),
    "wait-in-completion-routine": Rule("a completion routine does not wait", "ddi IO_COMPLETION_ROUTINE"),
    "wait-at-dispatch": Rule(
        "a wait with a timeout other than zero is made at APC_LEVEL or below", "ddi KeWaitForSingleObject"
    ),
    "irql-too-high": Rule("a function is called at or below the IRQL that its page allows", "its own ddi page"),
    "irql-wrong-way": Rule("KeRaiseIrql raises and KeLowerIrql lowers", "ddi KeRaiseIrql, KeLowerIrql"),
    "irql-leaked": Rule("a routine returns at the IRQL at which it was called", "WDK, Managing Hardware Priorities"),
    "paged-code": Rule("code that may run at DISPATCH_LEVEL is not pageable", "WDK, Making Drivers Pageable"),
    "mutex-not-held": Rule("a fast mutex is released by the thread that acquired it", "ddi ExReleaseFastMutex"),
    "event-not-initialized": Rule("an event is initialised before it is used", "ddi KeInitializeEvent"),
    "mdl-not-locked": Rule("MmUnlockPages is for MDLs whose pages were locked, not for nonpaged pool", _MDL),
    "mdl-locked-twice": Rule("pages are locked once, and those of nonpaged pool never", _MDL),
    "mdl-freed-locked": Rule("pages are unlocked before their MDL is freed", _MDL),
    "wsk-call-after-close": Rule("no WSK function is called on a socket after WskCloseSocket", _CLOSE),
    "close-during-call": Rule("no other WSK call on the socket is in progress when WskCloseSocket is called", _CLOSE),
    "wsk-bad-socket": Rule("a socket is what WskSocket gave", "ddi WskSocket"),
    "unload-in-flight": Rule("DriverUnload returns when no IRP is with WSK any more", "ddi IoSetCompletionRoutine"),
    "fault": Rule("a driver raises no exception that it does not handle", "WDK, Handling Exceptions"),
}

NOTES = frozenset({"attached", "detached", "replaced", "watching", "muted"})
"""Codes of lines that are not findings."""


def rule(code: str) -> Rule:
    """Return the rule of a code; an unknown code (from a verifier newer than this table) is its own rule."""
    return RULES.get(code, Rule(code, "the verifier"))
