/*
 * work.h - one WSK call: its IRP, its parameters and its outcome.
 *
 * A WSK function makes a WORK and submits it (queue.h); the worker carries it out and completes the IRP, which frees
 * the WORK. From WorkCreate on the IRP is completed exactly once, whatever happens.
 */
#ifndef NETIO_WORK_H
#define NETIO_WORK_H

#include "address.h"
#include "linux.h"
#include "socket.h"
#include "wsk_min.h"

typedef enum _WORK_KIND {
    WorkOpen,
    WorkClose,
    WorkBind,
    WorkGetAddress,
    WorkControl,
    WorkSend,
    WorkReceive
} WORK_KIND;

typedef struct _MESSAGE { /* one datagram of a send, or the buffer of a receive */
    ULONG First;          /* index into WORK.Iov */
    ULONG Count;
} MESSAGE;

typedef struct _WORK {
    LIST_ENTRY Link;
    WORK_KIND Kind;
    PSOCKET Socket;
    PIRP Irp;
    volatile LONG Cancelled;
    ULONG Flags;
    ADDRESS Address; /* copied when the call is made */
    BOOLEAN HasAddress;
    /* set by force.c */
    ULONG Effects;
    NTSTATUS ForcedStatus;
    ULONG DelayMs;
    ULONG Rule;
    int64_t DueMs;
    volatile LONG Inline; /* set when the calling thread may complete it */
    NTSTATUS Status;
    ULONG_PTR Information;
    PSOCKADDR AddressOut;
    PULONG ControlFlagsOut;
    /* sends and receives: the client's buffers, which stay locked until completion */
    struct lx_iovec *Iov;
    MESSAGE *Messages;
    ULONG MessageCount;
    ULONG ControlLength;
    PVOID Control;
    /* WskControlSocket */
    WSK_CONTROL_SOCKET_TYPE RequestType;
    ULONG ControlCode;
    ULONG Level;
    SIZE_T InputSize;
    PVOID Input;
    SIZE_T OutputSize;
    PVOID Output;
    SIZE_T *OutputSizeReturned;
} WORK, *PWORK;


/*
 * Takes charge of an IRP. On failure the IRP has been completed, and the status is what the WSK function must return;
 * STATUS_INVALID_PARAMETER for an Irp that is NULL. The caller owns the WORK until it submits it.
 */
_IRQL_requires_max_(DISPATCH_LEVEL)
_Must_inspect_result_
NTSTATUS WorkCreate(_In_ WORK_KIND Kind, _In_opt_ PSOCKET Socket, _In_opt_ PIRP Irp, _Outptr_ PWORK *Work);

/* Completes an IRP at once, in the calling thread, and returns its status. */
_IRQL_requires_max_(DISPATCH_LEVEL)
NTSTATUS WorkRefuse(_In_opt_ PIRP Irp, _In_ NTSTATUS Status);

/*
 * Completes a WORK's IRP with the status that the WORK has, and frees the WORK. The client's completion routine may
 * free IRP and buffers. The worker's thread, or the caller's for a WORK that completes inline.
 */
_IRQL_requires_max_(DISPATCH_LEVEL)
VOID WorkComplete(_In_ PWORK Work);

#endif /* NETIO_WORK_H */
