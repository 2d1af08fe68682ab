/*
 * wskhooks.c - WSK as the driver sees it: registrations, provider NPIs and sockets, each with one end. The driver gets
 * sockets of the verifier's own, so that every call can be named with its socket, and a closed socket cannot be
 * touched.
 */
#include "wskhooks.h"

#include "blocks.h"
#include "calls.h"
#include "image.h"
#include "irql.h"
#include "report.h"
#include "sockets.h"

#define REGISTRATIONS 8u

typedef struct _REGISTERED {
    PWSK_REGISTRATION Registration;
    ULONG_PTR Caller;
    LONG Npis;
    ULONG_PTR CapturedAt;
} REGISTERED;

static REGISTERED Registered[REGISTRATIONS];
static WSK_PROVIDER_DISPATCH Dispatch; /* the provider's with WskSocket replaced */
static const WSK_PROVIDER_DISPATCH *Provider;

static NTSTATUS(WSKAPI *RealRegister)(PWSK_CLIENT_NPI, PWSK_REGISTRATION);
static VOID(WSKAPI *RealDeregister)(PWSK_REGISTRATION);
static NTSTATUS(WSKAPI *RealCapture)(PWSK_REGISTRATION, ULONG, PWSK_PROVIDER_NPI);
static VOID(WSKAPI *RealRelease)(PWSK_REGISTRATION);

_IRQL_requires_max_(DISPATCH_LEVEL)
static REGISTERED *FindRegistered(PWSK_REGISTRATION Registration) {
    ULONG Index;

    for (Index = 0; Index < REGISTRATIONS; Index++) {
        if (Registered[Index].Registration == Registration) {
            return &Registered[Index];
        }
    }
    return NULL;
}

_IRQL_requires_max_(DISPATCH_LEVEL)
static VOID NoteRegistered(PWSK_REGISTRATION Registration, ULONG_PTR Caller) {
    REGISTERED *Entry = FindRegistered(NULL);

    if (Entry != NULL) {
        Entry->Registration = Registration;
        Entry->Caller = Caller;
        Entry->Npis = 0;
    }
}

/* Sockets. */

/* Whether a call on a socket may go on; counts it in. The finding has been told. */
_IRQL_requires_max_(DISPATCH_LEVEL)
static BOOLEAN Enter(PWSK_SOCKET WskSocket, const char *Function, ULONG_PTR Caller) {
    PSOCKET_RECORD Socket = (PSOCKET_RECORD)WskSocket;
    PBLOCK Block = BlockOf((ULONG_PTR)WskSocket);

    if (Block == NULL || Block->Kind != BlockSocket || Block->Object != (ULONG_PTR)WskSocket) {
        Report("wsk-bad-socket", Caller, "%s on what is no socket", Function);
        return FALSE;
    }
    if (Block->State != BlockLive || Socket->Closing) {
        Report("wsk-call-after-close", Caller, "%s on a socket that was closed (opened at %p)", Function,
               (ULONG64)Block->AllocatedAt);
        return FALSE;
    }
    InterlockedIncrement(&Socket->Calls);
    return TRUE;
}

_IRQL_requires_max_(DISPATCH_LEVEL)
static VOID Leave(PWSK_SOCKET WskSocket) {
    PBLOCK Block = BlockOf((ULONG_PTR)WskSocket);

    if (Block->State == BlockLive) {
        InterlockedDecrement(&((PSOCKET_RECORD)WskSocket)->Calls);
    }
}

_IRQL_requires_max_(DISPATCH_LEVEL)
static SIZE_T AddressBytes(const SOCKADDR *Address) {
    return Address == NULL                  ? 0
           : Address->sa_family == AF_INET6 ? sizeof(SOCKADDR_IN6)
                                            : sizeof(SOCKADDR_IN);
}

/* Enters the socket and submits the IRP, or refuses both. */
_IRQL_requires_max_(DISPATCH_LEVEL)
static BOOLEAN Begin(PWSK_SOCKET Socket, PIRP Irp, HANDED *Handed, const char *Function, ULONG_PTR Caller,
                     NTSTATUS *Status) {
    *Status = STATUS_INVALID_PARAMETER;
    if (!Enter(Socket, Function, Caller)) {
        *Status = CallRefuse(Irp, STATUS_INVALID_HANDLE);
        return FALSE;
    }
    Handed->Socket = (PSOCKET_RECORD)Socket;
    if (!CallSubmit(Irp, Handed, Function, Caller)) {
        Leave(Socket);
        return FALSE;
    }
    return TRUE;
}

_IRQL_requires_max_(DISPATCH_LEVEL)
static NTSTATUS WSKAPI HookControlSocket(PWSK_SOCKET Socket, WSK_CONTROL_SOCKET_TYPE RequestType, ULONG ControlCode,
                                         ULONG Level, SIZE_T InputSize, PVOID InputBuffer, SIZE_T OutputSize,
                                         PVOID OutputBuffer, SIZE_T *OutputSizeReturned, PIRP Irp) {
    HANDED Handed = {.Kind = CallSend, .Control = InputBuffer, .ControlLength = InputSize};
    PSOCKET_RECORD Record = (PSOCKET_RECORD)Socket;
    NTSTATUS Status;

    if (!Begin(Socket, Irp, &Handed, "WskControlSocket", CALLER(), &Status)) {
        return Status;
    }
    Status = WSK_BASIC(Record->Dispatch)
                 ->WskControlSocket(Record->Provider, RequestType, ControlCode, Level, InputSize, InputBuffer,
                                    OutputSize, OutputBuffer, OutputSizeReturned, Irp);
    Leave(Socket);
    return Status;
}

_IRQL_requires_max_(DISPATCH_LEVEL)
static NTSTATUS WSKAPI HookCloseSocket(PWSK_SOCKET Socket, PIRP Irp) {
    HANDED Handed = {.Kind = CallClose};
    PSOCKET_RECORD Record = (PSOCKET_RECORD)Socket;
    ULONG_PTR Caller = CALLER();
    const WSK_PROVIDER_DATAGRAM_DISPATCH *Real;
    PWSK_SOCKET RealSocket;
    NTSTATUS Status;

    if (!Begin(Socket, Irp, &Handed, "WskCloseSocket", Caller, &Status)) {
        return Status;
    }
    if (Record->Calls > 1) {
        Report("close-during-call", Caller, "WskCloseSocket while another call on the socket has not returned");
    }
    InterlockedExchange(&Record->Closing, 1);
    Real = Record->Dispatch;
    RealSocket = Record->Provider; /* the record may be gone when the call returns */
    return WSK_BASIC(Real)->WskCloseSocket(RealSocket, Irp);
}

_IRQL_requires_max_(DISPATCH_LEVEL)
static NTSTATUS WSKAPI HookBind(PWSK_SOCKET Socket, PSOCKADDR LocalAddress, ULONG Flags, PIRP Irp) {
    HANDED Handed = {.Kind = CallSend, .Address = LocalAddress, .AddressLength = AddressBytes(LocalAddress)};
    PSOCKET_RECORD Record = (PSOCKET_RECORD)Socket;
    NTSTATUS Status;

    if (!Begin(Socket, Irp, &Handed, "WskBind", CALLER(), &Status)) {
        return Status;
    }
    Status = Record->Dispatch->WskBind(Record->Provider, LocalAddress, Flags, Irp);
    Leave(Socket);
    return Status;
}

_IRQL_requires_max_(DISPATCH_LEVEL)
static NTSTATUS WSKAPI HookSendTo(PWSK_SOCKET Socket, PWSK_BUF Buffer, ULONG Flags, PSOCKADDR RemoteAddress,
                                  ULONG ControlInfoLength, PCMSGHDR ControlInfo, PIRP Irp) {
    HANDED Handed = {.Kind = CallSend,
                     .Buffer = Buffer,
                     .Address = RemoteAddress,
                     .AddressLength = AddressBytes(RemoteAddress),
                     .Control = ControlInfo,
                     .ControlLength = ControlInfoLength};
    PSOCKET_RECORD Record = (PSOCKET_RECORD)Socket;
    NTSTATUS Status;

    if (!Begin(Socket, Irp, &Handed, "WskSendTo", CALLER(), &Status)) {
        return Status;
    }
    Status = Record->Dispatch->WskSendTo(Record->Provider, Buffer, Flags, RemoteAddress, ControlInfoLength,
                                         ControlInfo, Irp);
    Leave(Socket);
    return Status;
}

_IRQL_requires_max_(DISPATCH_LEVEL)
static NTSTATUS WSKAPI HookSendMessages(PWSK_SOCKET Socket, PWSK_BUF_LIST BufferList, ULONG Flags,
                                        PSOCKADDR RemoteAddress, ULONG ControlInfoLength, PCMSGHDR ControlInfo,
                                        PIRP Irp) {
    HANDED Handed = {.Kind = CallSend,
                     .List = BufferList,
                     .Address = RemoteAddress,
                     .AddressLength = AddressBytes(RemoteAddress),
                     .Control = ControlInfo,
                     .ControlLength = ControlInfoLength};
    PSOCKET_RECORD Record = (PSOCKET_RECORD)Socket;
    NTSTATUS Status;

    if (!Begin(Socket, Irp, &Handed, "WskSendMessages", CALLER(), &Status)) {
        return Status;
    }
    Status = Record->Dispatch->WskSendMessages(Record->Provider, BufferList, Flags, RemoteAddress, ControlInfoLength,
                                               ControlInfo, Irp);
    Leave(Socket);
    return Status;
}

_IRQL_requires_max_(DISPATCH_LEVEL)
static NTSTATUS WSKAPI HookReceiveFrom(PWSK_SOCKET Socket, PWSK_BUF Buffer, ULONG Flags, PSOCKADDR RemoteAddress,
                                       PULONG ControlLength, PCMSGHDR ControlInfo, PULONG ControlFlags, PIRP Irp) {
    HANDED Handed = {.Kind = CallOther, .Buffer = Buffer, .Address = RemoteAddress};
    PSOCKET_RECORD Record = (PSOCKET_RECORD)Socket;
    NTSTATUS Status;

    if (!Begin(Socket, Irp, &Handed, "WskReceiveFrom", CALLER(), &Status)) {
        return Status;
    }
    Status = Record->Dispatch->WskReceiveFrom(Record->Provider, Buffer, Flags, RemoteAddress, ControlLength,
                                              ControlInfo, ControlFlags, Irp);
    Leave(Socket);
    return Status;
}

_IRQL_requires_max_(DISPATCH_LEVEL)
static NTSTATUS WSKAPI HookRelease(PWSK_SOCKET Socket, PWSK_DATAGRAM_INDICATION Indication) {
    PSOCKET_RECORD Record = (PSOCKET_RECORD)Socket;
    NTSTATUS Status = STATUS_INVALID_HANDLE;

    if (Enter(Socket, "WskRelease", CALLER())) {
        Status = Record->Dispatch->WskRelease(Record->Provider, Indication);
        Leave(Socket);
    }
    return Status;
}

_IRQL_requires_max_(DISPATCH_LEVEL)
static NTSTATUS WSKAPI HookGetLocalAddress(PWSK_SOCKET Socket, PSOCKADDR LocalAddress, PIRP Irp) {
    HANDED Handed = {.Kind = CallOther, .Address = LocalAddress};
    PSOCKET_RECORD Record = (PSOCKET_RECORD)Socket;
    NTSTATUS Status;

    if (!Begin(Socket, Irp, &Handed, "WskGetLocalAddress", CALLER(), &Status)) {
        return Status;
    }
    Status = Record->Dispatch->WskGetLocalAddress(Record->Provider, LocalAddress, Irp);
    Leave(Socket);
    return Status;
}

static const WSK_PROVIDER_DATAGRAM_DISPATCH SocketDispatch = {
    {HookControlSocket, HookCloseSocket},
    HookBind,
    HookSendTo,
    HookReceiveFrom,
    HookRelease,
    HookGetLocalAddress,
    HookSendMessages,
};

_Use_decl_annotations_
VOID WskReset(PWSK_REGISTRATION Registration, ULONG_PTR Caller) {
    RtlZeroMemory(Registered, sizeof(Registered));
    SocketsReset(&SocketDispatch);
    CallsOrphan();
    NoteRegistered(Registration, Caller);
}

_IRQL_requires_max_(DISPATCH_LEVEL)
static NTSTATUS WSKAPI HookSocket(PWSK_CLIENT Client, ADDRESS_FAMILY AddressFamily, USHORT SocketType, ULONG Protocol,
                                  ULONG Flags, PVOID SocketContext, const VOID *ClientDispatch,
                                  PEPROCESS OwningProcess, PETHREAD OwningThread,
                                  PSECURITY_DESCRIPTOR SecurityDescriptor, PIRP Irp) {
    HANDED Handed = {.Kind = CallOpen};

    if (!CallSubmit(Irp, &Handed, "WskSocket", CALLER())) {
        return STATUS_INVALID_PARAMETER;
    }
    return Provider->WskSocket(Client, AddressFamily, SocketType, Protocol, Flags, SocketContext, ClientDispatch,
                               OwningProcess, OwningThread, SecurityDescriptor, Irp);
}

/* Registrations and NPIs. */

_IRQL_requires_max_(DISPATCH_LEVEL)
static NTSTATUS WSKAPI HookRegister(PWSK_CLIENT_NPI Client, PWSK_REGISTRATION Registration) {
    ULONG_PTR Caller = CALLER();
    NTSTATUS Status;

    NeedIrql(PASSIVE_LEVEL, "WskRegister", Caller);
    Status = RealRegister(Client, Registration);
    if (NT_SUCCESS(Status)) {
        NoteRegistered(Registration, Caller);
    }
    return Status;
}

_IRQL_requires_max_(DISPATCH_LEVEL)
static NTSTATUS WSKAPI HookCapture(PWSK_REGISTRATION Registration, ULONG Wait, PWSK_PROVIDER_NPI Npi) {
    REGISTERED *Entry = FindRegistered(Registration);
    ULONG_PTR Caller = CALLER();
    NTSTATUS Status;

    NeedIrql(Wait == WSK_NO_WAIT ? DISPATCH_LEVEL : PASSIVE_LEVEL, "WskCaptureProviderNPI", Caller);
    if (Wait == WSK_INFINITE_WAIT) {
        Report("infinite-wait", Caller, "WskCaptureProviderNPI with WSK_INFINITE_WAIT");
    }
    Status = RealCapture(Registration, Wait, Npi);
    if (NT_SUCCESS(Status)) {
        if (Entry != NULL) {
            Entry->Npis++;
            Entry->CapturedAt = Caller;
        }
        Provider = Npi->Dispatch;
        Dispatch = *Provider;
        Dispatch.WskSocket = HookSocket;
        Npi->Dispatch = &Dispatch;
    }
    return Status;
}

_IRQL_requires_max_(DISPATCH_LEVEL)
static VOID WSKAPI HookReleaseNpi(PWSK_REGISTRATION Registration) {
    REGISTERED *Entry = FindRegistered(Registration);
    ULONG_PTR Caller = CALLER();

    NeedIrql(DISPATCH_LEVEL, "WskReleaseProviderNPI", Caller);
    if (Entry == NULL || Entry->Npis == 0) {
        Report("npi-released-twice", Caller, "WskReleaseProviderNPI without a capture that it ends");
        return;
    }
    Entry->Npis--;
    RealRelease(Registration);
}

_IRQL_requires_max_(DISPATCH_LEVEL)
static NTSTATUS NTAPI ClosedForDriver(PDEVICE_OBJECT DeviceObject, PIRP Irp, PVOID Context) {
    UNREFERENCED_PARAMETER(DeviceObject);
    UNREFERENCED_PARAMETER(Irp);
    KeSetEvent(Context, IO_NO_INCREMENT, FALSE);
    return STATUS_MORE_PROCESSING_REQUIRED;
}

/* Closes in the driver's place, so that what waits for the socket goes on. PASSIVE_LEVEL. */
_IRQL_requires_max_(DISPATCH_LEVEL)
static VOID CloseForDriver(PSOCKET_RECORD Socket) {
    PIRP Irp = IoAllocateIrp(1, FALSE);
    KEVENT Done;

    if (Irp == NULL) {
        return;
    }
    KeInitializeEvent(&Done, NotificationEvent, FALSE);
    IoSetCompletionRoutine(Irp, ClosedForDriver, &Done, TRUE, TRUE, TRUE);
    WSK_BASIC(Socket->Dispatch)->WskCloseSocket(Socket->Provider, Irp);
    KeWaitForSingleObject(&Done, Executive, KernelMode, FALSE, NULL);
    IoFreeIrp(Irp);
    SocketClosed(Socket);
}

_IRQL_requires_max_(DISPATCH_LEVEL)
static VOID CloseLeft(const char *When) {
    for (;;) {
        PSOCKET_RECORD Socket = SocketsFirst();

        while (Socket != NULL && Socket->Closing) {
            Socket = Socket->Next; /* the provider waits for it */
        }
        if (Socket == NULL) {
            break;
        }
        Report("socket-leak", Socket->OpenedAt, "a socket is open at %s, which would wait for it for ever", When);
        CloseForDriver(Socket);
    }
}

_IRQL_requires_max_(DISPATCH_LEVEL)
static VOID WSKAPI HookDeregister(PWSK_REGISTRATION Registration) {
    REGISTERED *Entry = FindRegistered(Registration);
    ULONG_PTR Caller = CALLER();

    NeedIrql(PASSIVE_LEVEL, "WskDeregister", Caller);
    if (Entry == NULL) {
        Report("deregistered-twice", Caller, "WskDeregister of what is not registered");
        return;
    }
    CloseLeft("WskDeregister");
    for (; Entry->Npis > 0; Entry->Npis--) {
        Report("npi-leak", Entry->CapturedAt, "a provider NPI is captured at WskDeregister, which would wait for ever");
        RealRelease(Registration);
    }
    RealDeregister(Registration);
    Entry->Registration = NULL;
}

/* DriverUnload has ended. */
_Use_decl_annotations_
VOID WskUnloaded(VOID) {
    ULONG Index;

    for (Index = 0; Index < REGISTRATIONS; Index++) {
        REGISTERED *Entry = &Registered[Index];

        if (Entry->Registration == NULL) {
            continue;
        }
        Report("registration-leak", Entry->Caller, "registered with WSK at the end of DriverUnload");
        CloseLeft("the end of DriverUnload");
        for (; Entry->Npis > 0; Entry->Npis--) {
            Report("npi-leak", Entry->CapturedAt, "a provider NPI is captured at the end of DriverUnload");
            RealRelease(Entry->Registration);
        }
        RealDeregister(Entry->Registration);
        Entry->Registration = NULL;
    }
}

const HOOK WskHooks[] = {
    {"WskRegister", HookRegister, (PVOID *)&RealRegister},
    {"WskDeregister", HookDeregister, (PVOID *)&RealDeregister},
    {"WskCaptureProviderNPI", HookCapture, (PVOID *)&RealCapture},
    {"WskReleaseProviderNPI", HookReleaseNpi, (PVOID *)&RealRelease},
    {NULL, NULL, NULL},
};
