/*
 * options.c - bind, local address, socket options and the two fixed addresses: calls with a little data, whose
 * completion the request waits for. What WSK reads or writes lies in the CALL until the IRP has completed.
 */
#include "options.h"

#include "address.h"
#include "call.h"
#include "socket.h"
#include "wsksend_abi.h"

/* Acquires the socket and makes a call on it with room for data. The caller ends both. */
_IRQL_requires_(PASSIVE_LEVEL)
_Must_inspect_result_
static NTSTATUS Prepare(_In_ const REQUEST *Request, _In_ UINT64 Handle, _In_ ULONG DataLength,
                        _Outptr_ PSOCKET *Socket, _Outptr_ PCALL *Call) {
    NTSTATUS Status = SocketAcquire(Handle, Request->Opener, Socket);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = CallCreateWithIrp(*Socket, 0, DataLength, Call);
    if (!NT_SUCCESS(Status)) {
        SocketRelease(*Socket);
    }
    return Status;
}

_Use_decl_annotations_
NTSTATUS RequestBind(PREQUEST Request) {
    struct wsksend_address Bind = *(const struct wsksend_address *)Request->Buffer;
    ADDRESS Address;
    PSOCKET Socket;
    PCALL Call;
    NTSTATUS Status;

    if (Bind.header.size != sizeof(Bind)) {
        return STATUS_INFO_LENGTH_MISMATCH;
    }
    Status = AddressFromEndpoint(&Bind.endpoint, &Address);
    if (!NT_SUCCESS(Status) || AddressLength(&Address) == 0) {
        return STATUS_INVALID_ADDRESS;
    }
    Status = Prepare(Request, Bind.handle, 0, &Socket, &Call);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Call->Address = Address;
    CallBegin(Call);
    CallReturned(Call, Socket->Dispatch->WskBind(Socket->Wsk, &Call->Address.Any, 0, Call->Irp));
    SocketRelease(Socket);
    CallFinish(Call, WSKSEND_CALL_WAIT_MS, Request->Buffer);
    Request->Information = sizeof(struct wsksend_completion);
    return STATUS_SUCCESS;
}

_Use_decl_annotations_
NTSTATUS RequestGetLocalAddress(PREQUEST Request) {
    struct wsksend_socket Get = *(const struct wsksend_socket *)Request->Buffer;
    struct wsksend_address_reply *Reply = Request->Buffer;
    PSOCKET Socket;
    PCALL Call;
    NTSTATUS Status;

    if (Get.header.size != sizeof(Get)) {
        return STATUS_INFO_LENGTH_MISMATCH;
    }
    Status = Prepare(Request, Get.handle, 0, &Socket, &Call);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    CallBegin(Call);
    CallReturned(Call, Socket->Dispatch->WskGetLocalAddress(Socket->Wsk, &Call->Address.Any, Call->Irp));
    SocketRelease(Socket);
    RtlZeroMemory(Reply, sizeof(*Reply));
    if (CallWait(Call, WSKSEND_CALL_WAIT_MS) && NT_SUCCESS(Call->Status)) {
        AddressToEndpoint(&Call->Address, &Reply->endpoint);
    }
    CallFinish(Call, 0, &Reply->completion);
    Request->Information = sizeof(*Reply);
    return STATUS_SUCCESS;
}

_Use_decl_annotations_
NTSTATUS RequestSetOption(PREQUEST Request) {
    struct wsksend_option Set = *(const struct wsksend_option *)Request->Buffer;
    PSOCKET Socket;
    PCALL Call;
    NTSTATUS Status;

    if (Set.reserved != 0 || Set.length > WSKSEND_MAX_OPTION) {
        return STATUS_INVALID_PARAMETER;
    }
    if (Set.header.size != sizeof(Set) + Set.length) {
        return STATUS_INFO_LENGTH_MISMATCH;
    }
    Status = Prepare(Request, Set.handle, Set.length, &Socket, &Call);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    if (Set.length != 0) {
        RtlCopyMemory(Call->Data, (const UCHAR *)Request->Buffer + sizeof(Set), Set.length);
    }
    CallBegin(Call);
    CallReturned(Call, WSK_BASIC(Socket->Dispatch)
                           ->WskControlSocket(Socket->Wsk, WskSetOption, Set.name, Set.level, Set.length, Call->Data,
                                              0, NULL, NULL, Call->Irp));
    SocketRelease(Socket);
    CallFinish(Call, WSKSEND_CALL_WAIT_MS, Request->Buffer);
    Request->Information = sizeof(struct wsksend_completion);
    return STATUS_SUCCESS;
}

_Use_decl_annotations_
NTSTATUS RequestGetOption(PREQUEST Request) {
    struct wsksend_option Get = *(const struct wsksend_option *)Request->Buffer;
    struct wsksend_option_reply *Reply = Request->Buffer;
    PSOCKET Socket;
    PCALL Call;
    NTSTATUS Status;

    if (Get.header.size != sizeof(Get)) {
        return STATUS_INFO_LENGTH_MISMATCH;
    }
    if (Get.reserved != 0 || Get.length > WSKSEND_MAX_OPTION) {
        return STATUS_INVALID_PARAMETER;
    }
    if (Request->OutputLength < sizeof(*Reply) + Get.length) {
        return STATUS_BUFFER_TOO_SMALL;
    }
    Status = Prepare(Request, Get.handle, Get.length, &Socket, &Call);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    CallBegin(Call);
    CallReturned(Call, WSK_BASIC(Socket->Dispatch)
                           ->WskControlSocket(Socket->Wsk, WskGetOption, Get.name, Get.level, 0, NULL, Get.length,
                                              Call->Data, &Call->OutputSize, Call->Irp));
    SocketRelease(Socket);
    RtlZeroMemory(Reply, sizeof(*Reply));
    if (CallWait(Call, WSKSEND_CALL_WAIT_MS) && NT_SUCCESS(Call->Status)) {
        /* IoStatus.Information is the number of bytes; never read beyond the buffer. */
        ULONG Length = Call->Information > Get.length ? Get.length : (ULONG)Call->Information;

        Reply->length = Length;
        if (Length != 0) {
            RtlCopyMemory(Reply + 1, Call->Data, Length);
        }
    }
    Request->Information = sizeof(*Reply) + Reply->length;
    CallFinish(Call, 0, &Reply->completion);
    return STATUS_SUCCESS;
}

/* Both fixed addresses: an endpoint sets, family 0 clears (InputSize 0, InputBuffer NULL). */
_IRQL_requires_(PASSIVE_LEVEL)
static NTSTATUS FixAddress(_Inout_ PREQUEST Request, _In_ ULONG ControlCode) {
    struct wsksend_address Fix = *(const struct wsksend_address *)Request->Buffer;
    ADDRESS Address;
    ULONG Length;
    PSOCKET Socket;
    PCALL Call;
    NTSTATUS Status;

    if (Fix.header.size != sizeof(Fix)) {
        return STATUS_INFO_LENGTH_MISMATCH;
    }
    Status = AddressFromEndpoint(&Fix.endpoint, &Address);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = Prepare(Request, Fix.handle, 0, &Socket, &Call);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Call->Address = Address;
    Length = AddressLength(&Address);
    CallBegin(Call);
    CallReturned(Call, WSK_BASIC(Socket->Dispatch)
                           ->WskControlSocket(Socket->Wsk, WskIoctl, ControlCode, 0, Length,
                                              Length != 0 ? &Call->Address : NULL, 0, NULL, NULL, Call->Irp));
    SocketRelease(Socket);
    CallFinish(Call, WSKSEND_CALL_WAIT_MS, Request->Buffer);
    Request->Information = sizeof(struct wsksend_completion);
    return STATUS_SUCCESS;
}

_Use_decl_annotations_
NTSTATUS RequestSetRemoteAddress(PREQUEST Request) {
    return FixAddress(Request, SIO_WSK_SET_REMOTE_ADDRESS);
}

_Use_decl_annotations_
NTSTATUS RequestSetSendToAddress(PREQUEST Request) {
    return FixAddress(Request, SIO_WSK_SET_SENDTO_ADDRESS);
}
