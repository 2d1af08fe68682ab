/*
 * options.c - WskControlSocket: socket options by table, and the two fixed addresses.
 *
 * The numbers on the left are Windows' (ws2def.h, ws2ipdef.h), those on the right Linux'. Options not in the table are
 * STATUS_NOT_SUPPORTED.
 */
#include "options.h"

#include "address.h"
#include "linux.h"
#include "queue.h"
#include "status.h"

typedef enum _OPTION_KIND {
    OptionInt,       /* a DWORD on both sides */
    OptionDouble,    /* likewise; Linux doubles what it is given */
    OptionMtu,       /* IP_PMTUDISC: other numbers */
    OptionFragment,  /* IP_DONTFRAGMENT over Linux' MTU discovery */
    OptionSwapped,   /* an index in host order that Linux wants in network order */
    OptionInterface, /* IP_MULTICAST_IF: an address, or 0.x.x.x for an index */
    OptionBytes,     /* the same structure on both sides */
    OptionExclusive  /* what Linux does anyway */
} OPTION_KIND;

typedef struct _OPTION {
    ULONG Level;
    ULONG Name;
    OPTION_KIND Kind;
    int LinuxLevel;
    int LinuxName;
    ULONG Length;
} OPTION;

static const OPTION Options[] = {
    {SOL_SOCKET, 0x0004, OptionInt, LX_SOL_SOCKET, 2, 4},            /* SO_REUSEADDR */
    {SOL_SOCKET, 0x0020, OptionInt, LX_SOL_SOCKET, 6, 4},            /* SO_BROADCAST */
    {SOL_SOCKET, 0x1001, OptionDouble, LX_SOL_SOCKET, 7, 4},         /* SO_SNDBUF */
    {SOL_SOCKET, 0x1002, OptionDouble, LX_SOL_SOCKET, 8, 4},         /* SO_RCVBUF */
    {SOL_SOCKET, 0x1008, OptionInt, LX_SOL_SOCKET, 3, 4},            /* SO_TYPE */
    {SOL_SOCKET, 0xFFFFFFFB, OptionExclusive, 0, 0, 4},              /* SO_EXCLUSIVEADDRUSE */
    {IPPROTO_IP, 3, OptionInt, LX_SOL_IP, 1, 4},                     /* IP_TOS */
    {IPPROTO_IP, 4, OptionInt, LX_SOL_IP, 2, 4},                     /* IP_TTL */
    {IPPROTO_IP, 9, OptionInterface, LX_SOL_IP, 32, 4},              /* IP_MULTICAST_IF */
    {IPPROTO_IP, 10, OptionInt, LX_SOL_IP, 33, 4},                   /* IP_MULTICAST_TTL */
    {IPPROTO_IP, 11, OptionInt, LX_SOL_IP, 34, 4},                   /* IP_MULTICAST_LOOP */
    {IPPROTO_IP, 12, OptionBytes, LX_SOL_IP, 35, 8},                 /* IP_ADD_MEMBERSHIP */
    {IPPROTO_IP, 13, OptionBytes, LX_SOL_IP, 36, 8},                 /* IP_DROP_MEMBERSHIP */
    {IPPROTO_IP, 14, OptionFragment, LX_SOL_IP, 10, 4},              /* IP_DONTFRAGMENT */
    {IPPROTO_IP, 31, OptionInt, LX_SOL_IP, 50, 4},                   /* IP_UNICAST_IF, network order on both */
    {IPPROTO_IP, 71, OptionMtu, LX_SOL_IP, 10, 4},                   /* IP_MTU_DISCOVER */
    {IPPROTO_IPV6, 4, OptionInt, LX_SOL_IPV6, 16, 4},                /* IPV6_UNICAST_HOPS */
    {IPPROTO_IPV6, 9, OptionInt, LX_SOL_IPV6, 17, 4},                /* IPV6_MULTICAST_IF */
    {IPPROTO_IPV6, 10, OptionInt, LX_SOL_IPV6, 18, 4},               /* IPV6_MULTICAST_HOPS */
    {IPPROTO_IPV6, 11, OptionInt, LX_SOL_IPV6, 19, 4},               /* IPV6_MULTICAST_LOOP */
    {IPPROTO_IPV6, 12, OptionBytes, LX_SOL_IPV6, 20, 20},            /* IPV6_ADD_MEMBERSHIP */
    {IPPROTO_IPV6, 13, OptionBytes, LX_SOL_IPV6, 21, 20},            /* IPV6_DROP_MEMBERSHIP */
    {IPPROTO_IPV6, 14, OptionInt, LX_SOL_IPV6, 62, 4},               /* IPV6_DONTFRAG */
    {IPPROTO_IPV6, 27, OptionInt, LX_SOL_IPV6, 26, 4},               /* IPV6_V6ONLY */
    {IPPROTO_IPV6, 31, OptionSwapped, LX_SOL_IPV6, 76, 4},           /* IPV6_UNICAST_IF */
    {IPPROTO_IPV6, 39, OptionInt, LX_SOL_IPV6, 67, 4},               /* IPV6_TCLASS */
    {IPPROTO_IPV6, 71, OptionMtu, LX_SOL_IPV6, 23, 4},               /* IPV6_MTU_DISCOVER */
    {IPPROTO_UDP, 1, OptionInt, LX_SOL_SOCKET, 11, 4},               /* UDP_NOCHECKSUM: SO_NO_CHECK */
    {IPPROTO_UDP, 2, OptionInt, LX_SOL_UDP, 103, 4},                 /* UDP_SEND_MSG_SIZE: UDP_SEGMENT */
};

/* IP_PMTUDISC_NOT_SET, DO, DONT, PROBE of Windows, as Linux' WANT, DO, DONT, PROBE. */
static const int MtuToLinux[] = {1, 2, 0, 3};

_IRQL_requires_max_(DISPATCH_LEVEL)
static ULONG Swap(_In_ ULONG Value) {
    return (Value >> 24) | ((Value >> 8) & 0xFF00) | ((Value << 8) & 0xFF0000) | (Value << 24);
}

_IRQL_requires_(PASSIVE_LEVEL)
static NTSTATUS SetOption(_Inout_ PSOCKET Socket, _In_ const OPTION *Option,
                          _In_reads_bytes_opt_(Length) const VOID *Input, _In_ SIZE_T Length) {
    struct {
        ULONG Group;
        ULONG Address;
        int Index;
    } Interface = {0};
    ULONG Value;

    if (Length != Option->Length || Input == NULL) {
        return STATUS_INVALID_PARAMETER;
    }
    if (Option->Kind == OptionBytes) {
        return StatusFromLinux(LinuxSetOption(Socket->Fd, Option->LinuxLevel, Option->LinuxName, Input,
                                              Option->Length));
    }
    RtlCopyMemory(&Value, Input, sizeof(Value));
    switch (Option->Kind) {
    case OptionExclusive:
        Socket->Exclusive = Value != 0;
        return STATUS_SUCCESS;
    case OptionMtu:
        if (Value >= RTL_NUMBER_OF(MtuToLinux)) {
            return STATUS_INVALID_PARAMETER;
        }
        Value = (ULONG)MtuToLinux[Value];
        break;
    case OptionFragment:
        Value = Value != 0 ? 2 /* DO */ : 0 /* DONT */;
        break;
    case OptionSwapped:
        Value = Swap(Value);
        break;
    case OptionInterface:
        if (Value != 0 && (Value & 0xFF) == 0) { /* 0.x.x.x: an index, in network order */
            Interface.Index = (int)Swap(Value);
        } else {
            Interface.Address = Value;
        }
        return StatusFromLinux(LinuxSetOption(Socket->Fd, Option->LinuxLevel, Option->LinuxName, &Interface,
                                              sizeof(Interface)));
    default:
        break;
    }
    return StatusFromLinux(LinuxSetOption(Socket->Fd, Option->LinuxLevel, Option->LinuxName, &Value, sizeof(Value)));
}

_IRQL_requires_(PASSIVE_LEVEL)
static NTSTATUS GetOption(_In_ PSOCKET Socket, _In_ const OPTION *Option,
                          _Out_writes_bytes_opt_(Room) PVOID Output, _In_ SIZE_T Room, _Inout_ SIZE_T *Length) {
    ULONG Value = 0;
    uint32_t Size = sizeof(Value);
    ULONG Index;
    NTSTATUS Status;

    if (Option->Kind == OptionBytes) {
        return STATUS_NOT_SUPPORTED;
    }
    if (Output == NULL || Room < sizeof(Value)) {
        return STATUS_BUFFER_TOO_SMALL;
    }
    if (Option->Kind == OptionExclusive) {
        Value = Socket->Exclusive;
    } else {
        Status = StatusFromLinux(LinuxGetOption(Socket->Fd, Option->LinuxLevel, Option->LinuxName, &Value, &Size));
        if (!NT_SUCCESS(Status)) {
            return Status;
        }
    }
    switch (Option->Kind) {
    case OptionDouble:
        Value /= 2;
        break;
    case OptionMtu:
        for (Index = 0; Index < RTL_NUMBER_OF(MtuToLinux); Index++) {
            if ((ULONG)MtuToLinux[Index] == Value) {
                Value = Index;
                break;
            }
        }
        break;
    case OptionFragment:
        Value = Value == 2;
        break;
    case OptionSwapped:
        Value = Swap(Value);
        break;
    default:
        break;
    }
    RtlCopyMemory(Output, &Value, sizeof(Value));
    *Length = sizeof(Value);
    return STATUS_SUCCESS;
}

/* Both ioctls: an address of the socket's family sets, no input clears. After bind only. */
_IRQL_requires_(PASSIVE_LEVEL)
static NTSTATUS FixAddress(_Inout_ PSOCKET Socket, _In_ const WORK *Work) {
    PADDRESS Fixed = Work->ControlCode == SIO_WSK_SET_REMOTE_ADDRESS ? &Socket->Remote : &Socket->SendTo;
    SIZE_T Length = Socket->Family == AF_INET ? sizeof(SOCKADDR_IN) : sizeof(SOCKADDR_IN6);

    if (!Socket->Bound) {
        return STATUS_INVALID_DEVICE_STATE;
    }
    if (Work->InputSize == 0 && Work->Input == NULL) {
        RtlZeroMemory(Fixed, sizeof(*Fixed));
        return STATUS_SUCCESS;
    }
    if (Work->Input == NULL || Work->InputSize != Length) {
        return STATUS_INVALID_PARAMETER;
    }
    return AddressCopy(Fixed, Work->Input, Socket->Family);
}

_Use_decl_annotations_
NTSTATUS WSKAPI ProviderControlSocket(PWSK_SOCKET Socket, WSK_CONTROL_SOCKET_TYPE RequestType, ULONG ControlCode,
                                      ULONG Level, SIZE_T InputSize, PVOID InputBuffer, SIZE_T OutputSize,
                                      PVOID OutputBuffer, SIZE_T *OutputSizeReturned, PIRP Irp) {
    PWORK Work;
    NTSTATUS Status;

    if (OutputSizeReturned != NULL) {
        *OutputSizeReturned = 0;
    }
    if (Irp == NULL) {
        /* What goes without an IRP on Windows (event callbacks, address lists) is not offered here. */
        return RequestType == WskSetOption && ControlCode == SO_WSK_EVENT_CALLBACK ? STATUS_NOT_SUPPORTED
                                                                                   : STATUS_INVALID_PARAMETER;
    }
    Status = WorkCreate(WorkControl, CONTAINING_RECORD(Socket, SOCKET, Wsk), Irp, &Work);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Work->RequestType = RequestType;
    Work->ControlCode = ControlCode;
    Work->Level = Level;
    Work->InputSize = InputSize;
    Work->Input = InputBuffer;
    Work->OutputSize = OutputSize;
    Work->Output = OutputBuffer;
    Work->OutputSizeReturned = OutputSizeReturned;
    return WorkSubmit(Work);
}

_Use_decl_annotations_
VOID ControlRun(PWORK Work) {
    NTSTATUS Status = STATUS_NOT_SUPPORTED;
    SIZE_T Length = 0;
    ULONG Index;

    if (Work->RequestType == WskIoctl) {
        if (Work->ControlCode == SIO_WSK_SET_REMOTE_ADDRESS || Work->ControlCode == SIO_WSK_SET_SENDTO_ADDRESS) {
            Status = FixAddress(Work->Socket, Work);
        }
    } else {
        for (Index = 0; Index < RTL_NUMBER_OF(Options); Index++) {
            if (Options[Index].Level == Work->Level && Options[Index].Name == Work->ControlCode) {
                Status = Work->RequestType == WskSetOption
                             ? SetOption(Work->Socket, &Options[Index], Work->Input, Work->InputSize)
                             : GetOption(Work->Socket, &Options[Index], Work->Output, Work->OutputSize, &Length);
                break;
            }
        }
    }
    if (Work->OutputSizeReturned != NULL) {
        *Work->OutputSizeReturned = Length;
    }
    WorkFinish(Work, Status, Length);
}
