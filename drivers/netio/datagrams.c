/*
 * datagrams.c - WskSendTo, WskSendMessages and WskReceiveFrom.
 *
 * Wine's MmBuildMdlForNonPagedPool does nothing, so MmGetSystemAddressForMdlSafe finds no mapping. Client and
 * provider share one address space here, and an MDL's own virtual address is where its bytes are.
 */
#include "datagrams.h"

#include "address.h"
#include "controls.h"
#include "linux.h"
#include "pool.h"
#include "queue.h"
#include "status.h"

#define CONTROL_ROOM 1024u
#define SEND_WAIT_MS 5000 /* for room in the socket's buffer */
#define WINDOWS_MSG_TRUNC 0x0100u

/* Appends the bytes of a WSK_BUF to a WORK's Iov. Count must have come from CountMdls. */
_IRQL_requires_max_(DISPATCH_LEVEL)
static VOID AddBuffer(_Inout_ PWORK Work, _In_ const WSK_BUF *Buffer, _Inout_ MESSAGE *Message) {
    SIZE_T Left = Buffer->Length;
    ULONG Offset = Buffer->Offset;
    PMDL Mdl;

    for (Mdl = Buffer->Mdl; Mdl != NULL && Left != 0; Mdl = Mdl->Next) {
        SIZE_T Bytes = MmGetMdlByteCount(Mdl) - Offset;
        struct lx_iovec *Iov = &Work->Iov[Message->First + Message->Count++];

        Iov->base = (PUCHAR)MmGetMdlVirtualAddress(Mdl) + Offset;
        Iov->length = Bytes < Left ? Bytes : Left;
        Left -= (SIZE_T)Iov->length;
        Offset = 0;
    }
}

_IRQL_requires_max_(DISPATCH_LEVEL)
static ULONG CountMdls(_In_ const WSK_BUF *Buffer) {
    ULONG Count = 0;
    PMDL Mdl;

    for (Mdl = Buffer->Mdl; Mdl != NULL; Mdl = Mdl->Next) {
        Count++;
    }
    return Count;
}

/* Frees a WORK that was not submitted. */
_IRQL_requires_max_(DISPATCH_LEVEL)
static VOID Discard(_In_ PWORK Work) {
    PoolFree(Work->Iov);
    PoolFree(Work->Messages);
    PoolFree(Work);
}

/* Makes the Iov and the messages of a WORK. On failure the IRP has been completed and the WORK is gone. */
_IRQL_requires_max_(DISPATCH_LEVEL)
_Must_inspect_result_
static NTSTATUS Describe(_Inout_ PWORK Work, _In_opt_ const WSK_BUF_LIST *List, _In_opt_ const WSK_BUF *Single) {
    const WSK_BUF_LIST *Entry;
    PIRP Irp = Work->Irp;
    ULONG Mdls = Single != NULL ? CountMdls(Single) : 0;
    ULONG Index = 0;
    ULONG First = 0;

    Work->MessageCount = Single != NULL ? 1 : 0;
    for (Entry = List; Entry != NULL; Entry = Entry->Next) {
        Work->MessageCount++;
        Mdls += CountMdls(&Entry->Buffer);
    }
    Work->Messages = PoolAllocate((SIZE_T)Work->MessageCount * sizeof(MESSAGE) + 1);
    Work->Iov = PoolAllocate((SIZE_T)Mdls * sizeof(struct lx_iovec) + 1);
    if (Work->Messages == NULL || Work->Iov == NULL) {
        Discard(Work);
        return WorkRefuse(Irp, STATUS_INSUFFICIENT_RESOURCES);
    }
    if (Single != NULL) {
        AddBuffer(Work, Single, &Work->Messages[0]);
    }
    for (Entry = List; Entry != NULL; Entry = Entry->Next, Index++) {
        Work->Messages[Index].First = First;
        AddBuffer(Work, &Entry->Buffer, &Work->Messages[Index]);
        First += CountMdls(&Entry->Buffer);
    }
    return STATUS_SUCCESS;
}

_IRQL_requires_max_(DISPATCH_LEVEL)
static NTSTATUS SubmitSend(_In_ PWSK_SOCKET WskSocket, _In_opt_ const WSK_BUF_LIST *List,
                           _In_opt_ const WSK_BUF *Single, _In_ ULONG Flags, _In_opt_ PSOCKADDR RemoteAddress,
                           _In_ ULONG ControlInfoLength, _In_opt_ PCMSGHDR ControlInfo, _In_ PIRP Irp) {
    PSOCKET Socket = CONTAINING_RECORD(WskSocket, SOCKET, Wsk);
    PWORK Work;
    NTSTATUS Status = WorkCreate(WorkSend, Socket, Irp, &Work);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    if (Flags != 0 || (ControlInfoLength != 0) != (ControlInfo != NULL) ||
        (RemoteAddress != NULL && !NT_SUCCESS(AddressCopy(&Work->Address, RemoteAddress, Socket->Family)))) {
        PoolFree(Work);
        return WorkRefuse(Irp, STATUS_INVALID_PARAMETER);
    }
    Work->HasAddress = RemoteAddress != NULL;
    Work->Control = ControlInfo;
    Work->ControlLength = ControlInfoLength;
    Status = Describe(Work, List, Single);
    return NT_SUCCESS(Status) ? WorkSubmit(Work) : Status;
}

_Use_decl_annotations_
NTSTATUS WSKAPI ProviderSendTo(PWSK_SOCKET Socket, PWSK_BUF Buffer, ULONG Flags, PSOCKADDR RemoteAddress,
                               ULONG ControlInfoLength, PCMSGHDR ControlInfo, PIRP Irp) {
    return SubmitSend(Socket, NULL, Buffer, Flags, RemoteAddress, ControlInfoLength, ControlInfo, Irp);
}

_Use_decl_annotations_
NTSTATUS WSKAPI ProviderSendMessages(PWSK_SOCKET Socket, PWSK_BUF_LIST BufferList, ULONG Flags,
                                     PSOCKADDR RemoteAddress, ULONG ControlInfoLength, PCMSGHDR ControlInfo,
                                     PIRP Irp) {
    return SubmitSend(Socket, BufferList, NULL, Flags, RemoteAddress, ControlInfoLength, ControlInfo, Irp);
}

/* Port 0 and the unspecified address name nobody; Linux would take the latter for the loopback. */
_IRQL_requires_max_(DISPATCH_LEVEL)
static BOOLEAN IsDestination(_In_ const ADDRESS *Address) {
    const UCHAR *Byte = Address->V6.sin6_addr.u.Byte;
    ULONG Index;

    if (Address->V4.sin_port == 0) {
        return FALSE;
    }
    if (Address->Any.sa_family == AF_INET) {
        return Address->V4.sin_addr.S_un.S_addr != 0;
    }
    for (Index = 0; Index < 16 && Byte[Index] == 0; Index++) {
    }
    return Index < 16;
}

/* One datagram. Waits for room in the socket's buffer, as Linux does for a blocking socket, but not for ever. */
_IRQL_requires_(PASSIVE_LEVEL)
static int64_t SendOne(_In_ int Fd, _In_ const struct lx_msghdr *Message) {
    int64_t Result;
    int Waits = 0;

    while ((Result = LinuxSend(Fd, Message, LX_MSG_DONTWAIT | LX_MSG_NOSIGNAL)) == -LX_EAGAIN && Waits++ < 50) {
        struct lx_pollfd Room = {Fd, LX_POLLOUT, 0};
        LinuxPoll(&Room, 1, SEND_WAIT_MS / 50);
    }
    return Result;
}

_Use_decl_annotations_
VOID SendRun(PWORK Work) {
    PSOCKET Socket = Work->Socket;
    UCHAR Control[CONTROL_ROOM] __attribute__((aligned(8)));
    struct lx_msghdr Message = {0};
    ADDRESS To = Work->Address;
    ULONG_PTR Sent = 0;
    ULONG ControlUsed = 0;
    ULONG Index;
    int64_t Result = 0;
    NTSTATUS Status = STATUS_SUCCESS;

    if (!Work->HasAddress) {
        To = Socket->Remote.Any.sa_family != AF_UNSPEC ? Socket->Remote : Socket->SendTo;
    }
    if (!Socket->Bound || To.Any.sa_family == AF_UNSPEC) {
        Status = STATUS_INVALID_DEVICE_STATE;
    } else if (!IsDestination(&To)) {
        Status = STATUS_INVALID_ADDRESS_COMPONENT;
    } else if (Work->ControlLength != 0) {
        Status = ControlsToLinux(Socket->Fd, Work->Control, Work->ControlLength, Control, sizeof(Control),
                                 &ControlUsed);
    }
    if (NT_SUCCESS(Status)) {
        Message.name = &To;
        Message.name_length = AddressToLinux(&To);
        Message.control = ControlUsed != 0 ? Control : NULL;
        Message.control_length = ControlUsed;
        for (Index = 0; Index < Work->MessageCount && Result >= 0; Index++) {
            Message.iov = &Work->Iov[Work->Messages[Index].First];
            Message.iov_count = Work->Messages[Index].Count;
            Result = SendOne(Socket->Fd, &Message);
            Sent += Result > 0 ? (ULONG_PTR)Result : 0;
        }
        Status = StatusFromLinux(Result);
    }
    WorkFinish(Work, Status, Sent);
}

_Use_decl_annotations_
NTSTATUS WSKAPI ProviderReceiveFrom(PWSK_SOCKET WskSocket, PWSK_BUF Buffer, ULONG Flags, PSOCKADDR RemoteAddress,
                                    PULONG ControlLength, PCMSGHDR ControlInfo, PULONG ControlFlags, PIRP Irp) {
    PWORK Work;
    NTSTATUS Status = WorkCreate(WorkReceive, CONTAINING_RECORD(WskSocket, SOCKET, Wsk), Irp, &Work);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    if (Flags != 0) {
        PoolFree(Work);
        return WorkRefuse(Irp, STATUS_INVALID_PARAMETER);
    }
    UNREFERENCED_PARAMETER(ControlInfo);
    if (ControlLength != NULL) {
        *ControlLength = 0; /* no control information is offered on what is received */
    }
    Work->AddressOut = RemoteAddress;
    Work->ControlFlagsOut = ControlFlags;
    Status = Describe(Work, NULL, Buffer);
    return NT_SUCCESS(Status) ? WorkSubmit(Work) : Status;
}

/* Called by IoCancelIrp with the cancel lock held: leaves the completion to the worker, which owns the WORK. */
_Function_class_(DRIVER_CANCEL)
_IRQL_requires_(DISPATCH_LEVEL)
static VOID NTAPI ReceiveCancel(_Inout_ PDEVICE_OBJECT DeviceObject, _Inout_ PIRP Irp) {
    PWORK Work = Irp->Tail.Overlay.DriverContext[0];

    UNREFERENCED_PARAMETER(DeviceObject);
    IoReleaseCancelSpinLock(Irp->CancelIrql);
    InterlockedExchange(&Work->Cancelled, 1); /* from here on the worker may complete and free both */
    WorkWake();
}

_IRQL_requires_(PASSIVE_LEVEL)
static VOID ReceiveEnd(_In_ PWORK Work, _In_ NTSTATUS Status, _In_ ULONG_PTR Information) {
    RemoveEntryList(&Work->Link);
    WorkFinish(Work, Status, Information);
}

/* FALSE: the cancel routine has, or is about to have, the IRP. */
_IRQL_requires_(PASSIVE_LEVEL)
_Must_inspect_result_
static BOOLEAN ReceiveDisarm(_Inout_ PWORK Work) {
    return IoSetCancelRoutine(Work->Irp, NULL) != NULL;
}

/* Lets the IRP be cancelled; Cancelled is set when it has been already. */
_IRQL_requires_(PASSIVE_LEVEL)
static VOID ReceiveArm(_Inout_ PWORK Work) {
    IoSetCancelRoutine(Work->Irp, ReceiveCancel);
    if (Work->Irp->Cancel && ReceiveDisarm(Work)) {
        InterlockedExchange(&Work->Cancelled, 1);
    }
}

_IRQL_requires_max_(DISPATCH_LEVEL)
static BOOLEAN SameAddress(_In_ const ADDRESS *A, _In_ const ADDRESS *B) {
    if (A->Any.sa_family != B->Any.sa_family || A->V4.sin_port != B->V4.sin_port) {
        return FALSE;
    }
    return A->Any.sa_family == AF_INET ? A->V4.sin_addr.S_un.S_addr == B->V4.sin_addr.S_un.S_addr
                                       : RtlCompareMemory(&A->V6.sin6_addr, &B->V6.sin6_addr, 16) == 16;
}

/* One datagram for a disarmed receive. FALSE: there is none, and the receive must wait on. */
_IRQL_requires_(PASSIVE_LEVEL)
static BOOLEAN ReceiveOne(_In_ PSOCKET Socket, _In_ PWORK Work) {
    for (;;) {
        ADDRESS From = {0};
        struct lx_msghdr Message = {
            .name = &From,
            .name_length = sizeof(From),
            .iov = Work->Iov,
            .iov_count = Work->Messages[0].Count,
        };
        int64_t Result = LinuxReceive(Socket->Fd, &Message, LX_MSG_DONTWAIT);

        if (Result == -LX_EAGAIN) {
            return FALSE;
        }
        AddressFromLinux(&From);
        if (Result >= 0 && Socket->Remote.Any.sa_family != AF_UNSPEC && !SameAddress(&From, &Socket->Remote)) {
            continue; /* with a fixed remote address only its datagrams are received */
        }
        if (Result >= 0 && Work->AddressOut != NULL) {
            RtlCopyMemory(Work->AddressOut, &From,
                          Socket->Family == AF_INET ? sizeof(SOCKADDR_IN) : sizeof(SOCKADDR_IN6));
        }
        if (Result >= 0 && Work->ControlFlagsOut != NULL) {
            *Work->ControlFlagsOut = (Message.flags & LX_MSG_TRUNC) != 0 ? WINDOWS_MSG_TRUNC : 0;
        }
        ReceiveEnd(Work, StatusFromLinux(Result), Result > 0 ? (ULONG_PTR)Result : 0);
        return TRUE;
    }
}

_Use_decl_annotations_
VOID ReceiveTry(PSOCKET Socket) {
    PLIST_ENTRY Link = Socket->Receives.Flink;
    BOOLEAN Dry = FALSE;

    while (Link != &Socket->Receives) {
        PWORK Work = CONTAINING_RECORD(Link, WORK, Link);

        Link = Link->Flink;
        if (Work->Cancelled) {
            ReceiveEnd(Work, STATUS_CANCELLED, 0);
        } else if (!Dry && ReceiveDisarm(Work) && !ReceiveOne(Socket, Work)) {
            Dry = TRUE;
            ReceiveArm(Work);
            if (Work->Cancelled) {
                ReceiveEnd(Work, STATUS_CANCELLED, 0);
            }
        }
    }
}

_Use_decl_annotations_
VOID ReceiveBegin(PWORK Work) {
    PSOCKET Socket = Work->Socket;

    if (!Socket->Bound) {
        WorkFinish(Work, STATUS_INVALID_DEVICE_STATE, 0);
        return;
    }
    Work->Irp->Tail.Overlay.DriverContext[0] = Work;
    InsertTailList(&Socket->Receives, &Work->Link);
    ReceiveArm(Work);
    ReceiveTry(Socket);
}

_Use_decl_annotations_
VOID ReceiveEndAll(PSOCKET Socket, NTSTATUS Status) {
    while (!IsListEmpty(&Socket->Receives)) {
        PWORK Work = CONTAINING_RECORD(Socket->Receives.Flink, WORK, Link);

        while (!ReceiveDisarm(Work) && !Work->Cancelled) {
            LinuxYield(); /* IoCancelIrp is between taking the routine and running it */
        }
        ReceiveEnd(Work, Status, 0);
    }
}
