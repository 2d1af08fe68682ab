/*
 * batch.c - many requests in one IOCTL, because a trip to the driver costs more than what most requests do there. Each
 * request gets a buffer of its own, as the I/O manager would give it, so no handler sees a difference.
 */
#include "batch.h"

#include "accounts.h"
#include "wsksend_abi.h"

#define HANDLE_OFFSET sizeof(struct wsksend_header) /* in every request that has a handle */

_IRQL_requires_max_(DISPATCH_LEVEL)
static ULONG Aligned(_In_ ULONG Bytes) {
    return (Bytes + 7) & ~7u;
}

typedef struct _BATCH {
    REQUEST_DISPATCHER *Dispatch;
    PUCHAR Reply;
    ULONG Room;
    ULONG Used;
    UINT64 Opened;
} BATCH;

/* Carries out one request and appends its output to the reply. Fails only when the reply has no room for the output. */
_IRQL_requires_(PASSIVE_LEVEL)
_Must_inspect_result_
static NTSTATUS RunItem(_Inout_ BATCH *Batch, _In_ const struct wsksend_item *Item, _In_ const UCHAR *Input,
                        _In_ PFILE_OBJECT Opener) {
    struct wsksend_item_reply *Head = (struct wsksend_item_reply *)(Batch->Reply + Batch->Used);
    ULONG Longest = Item->length > Item->capacity ? Item->length : Item->capacity;
    REQUEST Request = {.InputLength = Item->length, .OutputLength = Item->capacity, .Opener = Opener};
    NTSTATUS Status = STATUS_INVALID_DEVICE_REQUEST;

    if (Batch->Room - Batch->Used < sizeof(*Head) + Aligned(Item->capacity)) {
        return STATUS_BUFFER_TOO_SMALL;
    }
    Request.Buffer = PoolAllocate((SIZE_T)Longest + 1);
    if (Request.Buffer == NULL) {
        Status = STATUS_INSUFFICIENT_RESOURCES;
    } else if (Item->code != WSKSEND_IOCTL_BATCH) {
        RtlCopyMemory(Request.Buffer, Input, Item->length);
        if ((Item->flags & WSKSEND_ITEM_OPENED) != 0 && Item->length >= HANDLE_OFFSET + sizeof(UINT64)) {
            RtlCopyMemory((PUCHAR)Request.Buffer + HANDLE_OFFSET, &Batch->Opened, sizeof(UINT64));
        }
        Status = Batch->Dispatch(Item->code, &Request);
    }
    Head->status = (uint32_t)Status;
    Head->length = NT_SUCCESS(Status) ? (ULONG)Request.Information : 0;
    RtlCopyMemory(Head + 1, Request.Buffer, Head->length);
    if (Item->code == WSKSEND_IOCTL_OPEN) {
        Batch->Opened = NT_SUCCESS(Status) ? ((struct wsksend_open_reply *)(Head + 1))->handle : 0;
    }
    Batch->Used += sizeof(*Head) + Aligned(Head->length);
    PoolFree(Request.Buffer);
    return STATUS_SUCCESS;
}

/* Checks, before anything is done, that all items lie within the request and their replies within the output. */
_IRQL_requires_max_(DISPATCH_LEVEL)
_Must_inspect_result_
static NTSTATUS CheckItems(_In_ const REQUEST *Request, _In_ ULONG Count) {
    const UCHAR *Buffer = Request->Buffer;
    ULONG64 At = sizeof(struct wsksend_batch);
    ULONG64 Output = 0;

    for (; Count != 0; Count--) {
        const struct wsksend_item *Item = (const struct wsksend_item *)(Buffer + At);

        if (At + sizeof(*Item) > Request->InputLength) {
            return STATUS_INFO_LENGTH_MISMATCH;
        }
        if ((Item->flags & ~WSKSEND_ITEM_OPENED) != 0) {
            return STATUS_INVALID_PARAMETER;
        }
        Output += sizeof(struct wsksend_item_reply) + (((ULONG64)Item->capacity + 7) & ~7ull);
        At += sizeof(*Item) + (((ULONG64)Item->length + 7) & ~7ull);
    }
    if (At != Request->InputLength) {
        return STATUS_INFO_LENGTH_MISMATCH;
    }
    return Output > Request->OutputLength ? STATUS_BUFFER_TOO_SMALL : STATUS_SUCCESS;
}

_Use_decl_annotations_
NTSTATUS BatchRun(PREQUEST Request, REQUEST_DISPATCHER *Dispatch) {
    struct wsksend_batch Asked = *(const struct wsksend_batch *)Request->Buffer;
    BATCH Batch = {Dispatch, NULL, Request->OutputLength, 0, 0};
    const UCHAR *At = (const UCHAR *)Request->Buffer + sizeof(Asked);
    NTSTATUS Status;

    if (Asked.count == 0 || Asked.count > WSKSEND_MAX_BATCH || Asked.reserved != 0) {
        return STATUS_INVALID_PARAMETER;
    }
    Status = CheckItems(Request, Asked.count);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Batch.Reply = PoolAllocate((SIZE_T)Batch.Room + 1);
    if (Batch.Reply == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    for (; NT_SUCCESS(Status) && Asked.count != 0; Asked.count--) {
        const struct wsksend_item *Item = (const struct wsksend_item *)At;

        Status = RunItem(&Batch, Item, At + sizeof(*Item), Request->Opener);
        At += sizeof(*Item) + Aligned(Item->length);
    }
    RtlCopyMemory(Request->Buffer, Batch.Reply, Batch.Used);
    Request->Information = Batch.Used;
    PoolFree(Batch.Reply);
    return Status;
}
