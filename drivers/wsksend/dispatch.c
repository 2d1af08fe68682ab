/*
 * dispatch.c - the device's requests: create and close, and the IOCTLs, each checked before its handler sees it.
 *
 * METHOD_BUFFERED: one system buffer, as long as the longer of request and reply, holds first the request and then the
 * reply.
 * Handlers run in the caller's thread and wait there only with a deadline.
 */
#include "dispatch.h"

#include "accounts.h"
#include "batch.h"
#include "burst.h"
#include "lifetime.h"
#include "options.h"
#include "receive.h"
#include "registration.h"
#include "request.h"
#include "send.h"
#include "wsksend_abi.h"

typedef struct _OPERATION {
    ULONG Code;
    ULONG Request; /* bytes of the fixed part */
    ULONG Reply;   /* likewise; a handler with a longer reply checks the rest */
    REQUEST_HANDLER *Handler;
} OPERATION;

static REQUEST_DISPATCHER DispatchRequest;

/* INFO: the version of the interface, and those of WSK. */
_IRQL_requires_(PASSIVE_LEVEL)
static NTSTATUS RequestInfo(_Inout_ PREQUEST Request) {
    struct wsksend_info *Info = Request->Buffer;
    WSK_PROVIDER_CHARACTERISTICS Provider = {0};

    RtlZeroMemory(Info, sizeof(*Info));
    Info->abi_version = WSKSEND_ABI_VERSION;
    Info->wsk_status = (uint32_t)RegistrationVersions(&Provider);
    Info->wsk_highest = Provider.HighestVersion;
    Info->wsk_lowest = Provider.LowestVersion;
    Request->Information = sizeof(*Info);
    return STATUS_SUCCESS;
}

/* ACCOUNTS: the driver's counters. */
_IRQL_requires_(PASSIVE_LEVEL)
static NTSTATUS RequestAccounts(_Inout_ PREQUEST Request) {
    AccountsRead(Request->Buffer);
    Request->Information = sizeof(struct wsksend_accounts);
    return STATUS_SUCCESS;
}

/* BATCH: other requests, in order. */
_IRQL_requires_(PASSIVE_LEVEL)
static NTSTATUS RequestBatch(_Inout_ PREQUEST Request) {
    return BatchRun(Request, DispatchRequest);
}

static const OPERATION Operations[] = {
    {WSKSEND_IOCTL_INFO, sizeof(struct wsksend_request), sizeof(struct wsksend_info), RequestInfo},
    {WSKSEND_IOCTL_ACCOUNTS, sizeof(struct wsksend_request), sizeof(struct wsksend_accounts), RequestAccounts},
    {WSKSEND_IOCTL_OPEN, sizeof(struct wsksend_open), sizeof(struct wsksend_open_reply), RequestOpen},
    {WSKSEND_IOCTL_CLOSE, sizeof(struct wsksend_socket), sizeof(struct wsksend_completion), RequestClose},
    {WSKSEND_IOCTL_BIND, sizeof(struct wsksend_address), sizeof(struct wsksend_completion), RequestBind},
    {WSKSEND_IOCTL_GET_LOCAL_ADDRESS, sizeof(struct wsksend_socket), sizeof(struct wsksend_address_reply),
     RequestGetLocalAddress},
    {WSKSEND_IOCTL_SET_OPTION, sizeof(struct wsksend_option), sizeof(struct wsksend_completion), RequestSetOption},
    {WSKSEND_IOCTL_GET_OPTION, sizeof(struct wsksend_option), sizeof(struct wsksend_option_reply), RequestGetOption},
    {WSKSEND_IOCTL_SET_REMOTE_ADDRESS, sizeof(struct wsksend_address), sizeof(struct wsksend_completion),
     RequestSetRemoteAddress},
    {WSKSEND_IOCTL_SET_SENDTO_ADDRESS, sizeof(struct wsksend_address), sizeof(struct wsksend_completion),
     RequestSetSendToAddress},
    {WSKSEND_IOCTL_SEND, sizeof(struct wsksend_send), sizeof(struct wsksend_send_reply), RequestSend},
    {WSKSEND_IOCTL_SEND_MESSAGES, sizeof(struct wsksend_send), sizeof(struct wsksend_send_reply), RequestSendMessages},
    {WSKSEND_IOCTL_BURST, sizeof(struct wsksend_burst), sizeof(struct wsksend_burst_reply), RequestBurst},
    {WSKSEND_IOCTL_COLLECT, sizeof(struct wsksend_collect), 0, RequestCollect},
    {WSKSEND_IOCTL_RECEIVE, sizeof(struct wsksend_receive), sizeof(struct wsksend_receive_reply), RequestReceive},
    {WSKSEND_IOCTL_BATCH, sizeof(struct wsksend_batch), 0, RequestBatch},
};

_IRQL_requires_max_(DISPATCH_LEVEL)
static NTSTATUS Complete(_Inout_ PIRP Irp, _In_ NTSTATUS Status, _In_ ULONG_PTR Information) {
    Irp->IoStatus.Status = Status;
    Irp->IoStatus.Information = Information;
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
    return Status;
}

/* The checks that every request has in common; see the table of statuses in wsksend_abi.h. */
_IRQL_requires_max_(DISPATCH_LEVEL)
_Must_inspect_result_
static NTSTATUS Check(_In_ const OPERATION *Operation, _In_ const REQUEST *Request) {
    const struct wsksend_header *Header = Request->Buffer;

    if (Request->Buffer == NULL || Request->InputLength < sizeof(*Header)) {
        return STATUS_BUFFER_TOO_SMALL;
    }
    if (Header->version != WSKSEND_ABI_VERSION) {
        return STATUS_REVISION_MISMATCH;
    }
    if (Request->InputLength < Operation->Request || Request->OutputLength < Operation->Reply) {
        return STATUS_BUFFER_TOO_SMALL;
    }
    if (Header->size != Request->InputLength) {
        return STATUS_INFO_LENGTH_MISMATCH;
    }
    return STATUS_SUCCESS;
}

/* Checks a request and lets its handler carry it out. */
_Use_decl_annotations_
static NTSTATUS DispatchRequest(ULONG Code, PREQUEST Request) {
    NTSTATUS Status = STATUS_INVALID_DEVICE_REQUEST;
    ULONG Index;

    for (Index = 0; Index < RTL_NUMBER_OF(Operations); Index++) {
        if (Operations[Index].Code == Code) {
            Status = Check(&Operations[Index], Request);
            if (NT_SUCCESS(Status)) {
                Status = Operations[Index].Handler(Request);
            }
            break;
        }
    }
    return Status;
}

_Use_decl_annotations_
NTSTATUS NTAPI DispatchCreateClose(PDEVICE_OBJECT DeviceObject, PIRP Irp) {
    PIO_STACK_LOCATION Stack = IoGetCurrentIrpStackLocation(Irp);

    UNREFERENCED_PARAMETER(DeviceObject);
    if (Stack->MajorFunction != IRP_MJ_CREATE && Stack->FileObject != NULL) {
        SocketCloseAll(Stack->FileObject);
    }
    return Complete(Irp, STATUS_SUCCESS, 0);
}

_Use_decl_annotations_
NTSTATUS NTAPI DispatchDeviceControl(PDEVICE_OBJECT DeviceObject, PIRP Irp) {
    PIO_STACK_LOCATION Stack = IoGetCurrentIrpStackLocation(Irp);
    REQUEST Request = {
        .Buffer = Irp->AssociatedIrp.SystemBuffer,
        .InputLength = Stack->Parameters.DeviceIoControl.InputBufferLength,
        .OutputLength = Stack->Parameters.DeviceIoControl.OutputBufferLength,
        .Opener = Stack->FileObject,
    };
    NTSTATUS Status = DispatchRequest(Stack->Parameters.DeviceIoControl.IoControlCode, &Request);

    UNREFERENCED_PARAMETER(DeviceObject);
    return Complete(Irp, Status, NT_SUCCESS(Status) ? Request.Information : 0);
}
