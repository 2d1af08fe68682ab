/* sockets.c - WSK_SOCKETs on Linux UDP sockets: made, bound, asked for their address, closed. */
#include "sockets.h"

#include "address.h"
#include "client.h"
#include "datagrams.h"
#include "force.h"
#include "linux.h"
#include "options.h"
#include "pool.h"
#include "queue.h"
#include "status.h"

LIST_ENTRY OpenSockets;
ULONG OpenSocketCount;

_Use_decl_annotations_
VOID SocketsReset(VOID) {
    InitializeListHead(&OpenSockets);
    OpenSocketCount = 0;
}

_IRQL_requires_max_(DISPATCH_LEVEL)
static PSOCKET FromWsk(_In_ PWSK_SOCKET Socket) {
    return CONTAINING_RECORD(Socket, SOCKET, Wsk);
}

_IRQL_requires_max_(DISPATCH_LEVEL)
static NTSTATUS WSKAPI ProviderCloseSocket(PWSK_SOCKET WskSocket, PIRP Irp) {
    PWORK Work;
    NTSTATUS Status = WorkCreate(WorkClose, FromWsk(WskSocket), Irp, &Work);

    return NT_SUCCESS(Status) ? WorkSubmit(Work) : Status;
}

_IRQL_requires_max_(DISPATCH_LEVEL)
static NTSTATUS WSKAPI ProviderBind(PWSK_SOCKET WskSocket, PSOCKADDR LocalAddress, ULONG Flags, PIRP Irp) {
    PSOCKET Socket = FromWsk(WskSocket);
    PWORK Work;
    NTSTATUS Status = WorkCreate(WorkBind, Socket, Irp, &Work);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Work->Flags = Flags;
    Work->HasAddress = LocalAddress != NULL && NT_SUCCESS(AddressCopy(&Work->Address, LocalAddress, Socket->Family));
    return WorkSubmit(Work);
}

_IRQL_requires_max_(DISPATCH_LEVEL)
static NTSTATUS WSKAPI ProviderGetLocalAddress(PWSK_SOCKET WskSocket, PSOCKADDR LocalAddress, PIRP Irp) {
    PWORK Work;
    NTSTATUS Status = WorkCreate(WorkGetAddress, FromWsk(WskSocket), Irp, &Work);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Work->AddressOut = LocalAddress;
    return WorkSubmit(Work);
}

_IRQL_requires_max_(DISPATCH_LEVEL)
static NTSTATUS WSKAPI ProviderRelease(PWSK_SOCKET WskSocket, PWSK_DATAGRAM_INDICATION Indication) {
    UNREFERENCED_PARAMETER(WskSocket);
    UNREFERENCED_PARAMETER(Indication);
    return STATUS_INVALID_PARAMETER; /* no event callbacks, so nothing was ever retained */
}

static const WSK_PROVIDER_DATAGRAM_DISPATCH DatagramDispatch = {
    {ProviderControlSocket, ProviderCloseSocket},
    ProviderBind,
    ProviderSendTo,
    ProviderReceiveFrom,
    ProviderRelease,
    ProviderGetLocalAddress,
    ProviderSendMessages,
};

_IRQL_requires_max_(DISPATCH_LEVEL)
static NTSTATUS WSKAPI ProviderSocket(PWSK_CLIENT Client, ADDRESS_FAMILY AddressFamily, USHORT SocketType,
                                      ULONG Protocol, ULONG Flags, PVOID SocketContext, const VOID *Dispatch,
                                      PEPROCESS OwningProcess, PETHREAD OwningThread,
                                      PSECURITY_DESCRIPTOR SecurityDescriptor, PIRP Irp) {
    PSOCKET Socket;
    PWORK Work;
    NTSTATUS Status;

    UNREFERENCED_PARAMETER(SocketContext);
    UNREFERENCED_PARAMETER(Dispatch);
    UNREFERENCED_PARAMETER(OwningProcess);
    UNREFERENCED_PARAMETER(OwningThread);
    UNREFERENCED_PARAMETER(SecurityDescriptor);
    if (Irp == NULL) {
        return STATUS_INVALID_PARAMETER;
    }
    if (Client == NULL) {
        return WorkRefuse(Irp, STATUS_INVALID_HANDLE);
    }
    if (Flags != WSK_FLAG_DATAGRAM_SOCKET) {
        return WorkRefuse(Irp, STATUS_NOT_IMPLEMENTED); /* the provider has datagram sockets only */
    }
    if (SocketType != SOCK_DGRAM || Protocol != IPPROTO_UDP ||
        (AddressFamily != AF_INET && AddressFamily != AF_INET6)) {
        return WorkRefuse(Irp, STATUS_NOT_SUPPORTED);
    }
    Socket = PoolAllocate(sizeof(*Socket));
    if (Socket == NULL) {
        return WorkRefuse(Irp, STATUS_INSUFFICIENT_RESOURCES);
    }
    Socket->Wsk.Dispatch = &DatagramDispatch;
    Socket->Client = (PCLIENT)Client;
    Socket->Family = AddressFamily;
    Socket->Fd = -1;
    InitializeListHead(&Socket->Receives);
    Status = WorkCreate(WorkOpen, Socket, Irp, &Work);
    if (!NT_SUCCESS(Status)) {
        PoolFree(Socket);
        return Status;
    }
    ClientHold(Socket->Client);
    return WorkSubmit(Work);
}

_Use_decl_annotations_
PFN_WSK_SOCKET ProviderSocketFunction(VOID) {
    return ProviderSocket;
}

_Use_decl_annotations_
VOID OpenAbandon(PSOCKET Socket) {
    PCLIENT Client = Socket->Client;

    PoolFree(Socket);
    ClientRelease(Client);
}

_IRQL_requires_(PASSIVE_LEVEL)
static VOID OpenRun(_In_ PWORK Work) {
    const int On = 1;
    PSOCKET Socket = Work->Socket;
    int Fd = LinuxSocket(Socket->Family == AF_INET ? LX_AF_INET : LX_AF_INET6,
                         LX_SOCK_DGRAM | LX_SOCK_NONBLOCK | LX_SOCK_CLOEXEC, IPPROTO_UDP);

    if (Fd >= 0 && Socket->Family == AF_INET6) {
        /* Windows' sockets are IPv6 only until told otherwise, Linux' are both. */
        int Result = LinuxSetOption(Fd, LX_SOL_IPV6, 26 /* IPV6_V6ONLY */, &On, sizeof(On));

        if (Result < 0) {
            LinuxClose(Fd);
            Fd = Result;
        }
    }
    if (Fd < 0) {
        OpenAbandon(Socket);
        Work->Socket = NULL;
        WorkFinish(Work, StatusFromLinux(Fd), 0);
        return;
    }
    Socket->Fd = Fd;
    InsertTailList(&OpenSockets, &Socket->Link);
    OpenSocketCount++;
    WorkFinish(Work, STATUS_SUCCESS, (ULONG_PTR)&Socket->Wsk);
}

_IRQL_requires_(PASSIVE_LEVEL)
static VOID CloseRun(_In_ PWORK Work) {
    PSOCKET Socket = Work->Socket;
    PCLIENT Client = Socket->Client;

    ReceiveEndAll(Socket, STATUS_CANCELLED);
    ForceFlush(Socket);
    RemoveEntryList(&Socket->Link);
    OpenSocketCount--;
    LinuxClose(Socket->Fd);
    PoolFree(Socket);
    WorkFinish(Work, STATUS_SUCCESS, 0);
    ClientRelease(Client);
}

_IRQL_requires_(PASSIVE_LEVEL)
static VOID BindRun(_In_ PWORK Work) {
    PSOCKET Socket = Work->Socket;
    uint32_t Length;
    int Result;

    if (Work->Flags != 0 || !Work->HasAddress) {
        WorkFinish(Work, STATUS_INVALID_PARAMETER, 0);
        return;
    }
    if (Socket->Bound) {
        WorkFinish(Work, STATUS_INVALID_DEVICE_STATE, 0);
        return;
    }
    Length = AddressToLinux(&Work->Address);
    Result = LinuxBind(Socket->Fd, &Work->Address, Length);
    Socket->Bound = Result >= 0;
    if (Socket->Bound) {
        Length = sizeof(Work->Address);
        if (LinuxGetName(Socket->Fd, &Work->Address, &Length) >= 0) {
            Socket->Port = (USHORT)((Work->Address.V4.sin_port << 8) | (Work->Address.V4.sin_port >> 8));
        }
    }
    WorkFinish(Work, StatusFromLinux(Result), 0);
}

_IRQL_requires_(PASSIVE_LEVEL)
static VOID GetAddressRun(_In_ PWORK Work) {
    PSOCKET Socket = Work->Socket;
    ADDRESS Address;
    uint32_t Length = sizeof(Address);
    int Result;

    if (!Socket->Bound) {
        WorkFinish(Work, STATUS_INVALID_DEVICE_STATE, 0);
        return;
    }
    RtlZeroMemory(&Address, sizeof(Address));
    Result = LinuxGetName(Socket->Fd, &Address, &Length);
    if (Result >= 0) {
        AddressFromLinux(&Address);
        RtlCopyMemory(Work->AddressOut, &Address,
                      Socket->Family == AF_INET ? sizeof(SOCKADDR_IN) : sizeof(SOCKADDR_IN6));
    }
    WorkFinish(Work, StatusFromLinux(Result), 0);
}

_Use_decl_annotations_
VOID SocketRun(PWORK Work) {
    switch (Work->Kind) {
    case WorkOpen:
        OpenRun(Work);
        break;
    case WorkClose:
        CloseRun(Work);
        break;
    case WorkBind:
        BindRun(Work);
        break;
    case WorkGetAddress:
        GetAddressRun(Work);
        break;
    default:
        WorkFinish(Work, STATUS_NOT_IMPLEMENTED, 0);
        break;
    }
}
