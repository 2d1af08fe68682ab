/*
 * work.c - the provider's worker: one thread that carries out WORKs in the order they came and waits, in poll(), for
 * more of them and for datagrams that somebody wants to receive. Every IRP is completed by it, never by the calling
 * thread, unless the call is refused outright or force.c says so.
 */
#include <ntifs.h>

#include "provider.h"

static volatile LONG QueueLock;
static LIST_ENTRY Queue; /* under QueueLock */
static BOOLEAN Asleep;   /* likewise: the worker is, or is about to be, in poll() */
static BOOLEAN Stopping; /* likewise */
static int Event = -1;   /* wakes the worker */
static HANDLE Thread;

LIST_ENTRY WorkSockets; /* open sockets, worker only */
ULONG WorkSocketCount;

PVOID PoolAllocate(SIZE_T Bytes) {
    PVOID Memory = ExAllocatePoolWithTag(NonPagedPoolNx, Bytes, NETIO_TAG);

    if (Memory != NULL) {
        RtlZeroMemory(Memory, Bytes);
    }
    return Memory;
}

VOID PoolFree(PVOID Memory) {
    if (Memory != NULL) {
        ExFreePoolWithTag(Memory, NETIO_TAG);
    }
}

/* Wine's spin lock burns the holder's time on one processor; yielding does not. */
static VOID QueueEnter(VOID) {
    while (InterlockedExchange(&QueueLock, 1) != 0) {
        LinuxYield();
    }
}

static VOID QueueLeave(VOID) {
    InterlockedExchange(&QueueLock, 0);
}

/*
 * Takes charge of an IRP: from here on it is completed exactly once. On failure it has been, and the status is the
 * one for the caller to return; a NULL IRP is STATUS_INVALID_PARAMETER. IRQL <= DISPATCH_LEVEL.
 */
NTSTATUS WorkCreate(WORK_KIND Kind, PSOCKET Socket, PIRP Irp, PWORK *Made) {
    PWORK Work;

    if (Irp == NULL) {
        return STATUS_INVALID_PARAMETER;
    }
    Work = PoolAllocate(sizeof(*Work));
    if (Work == NULL) {
        return WorkRefuse(Irp, STATUS_INSUFFICIENT_RESOURCES);
    }
    Work->Kind = Kind;
    Work->Socket = Socket;
    Work->Irp = Irp;
    *Made = Work;
    return STATUS_SUCCESS;
}

/* Completes an IRP at once, in the calling thread, and returns its status. */
NTSTATUS WorkRefuse(PIRP Irp, NTSTATUS Status) {
    if (Irp == NULL) {
        return STATUS_INVALID_PARAMETER;
    }
    IoSetNextIrpStackLocation(Irp);
    Irp->IoStatus.Status = Status;
    Irp->IoStatus.Information = 0;
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
    return Status;
}

/* Waits, at any IRQL, until the worker is done with a WORK, and completes it in this thread. */
static NTSTATUS CompleteInline(PWORK Work) {
    NTSTATUS Status;
    ULONG Tries;

    for (Tries = 0; InterlockedCompareExchange(&Work->Inline, 0, 0) == 0; Tries++) {
        if (Tries < 100) {
            LinuxYield();
        } else {
            LinuxPoll(NULL, 0, 1);
        }
    }
    Status = Work->Status;
    WorkComplete(Work);
    return Status;
}

/* Queues a WORK; its IRP is pending from here on. Returns what the WSK function is to return. */
NTSTATUS WorkSubmit(PWORK Work) {
    NTSTATUS Status = STATUS_PENDING;
    BOOLEAN Inline;
    BOOLEAN Wake;

    ForceMatch(Work);
    Inline = (Work->Effects & WSKPROVIDER_INLINE) != 0;
    if ((Work->Effects & WSKPROVIDER_REFUSE) != 0) {
        Status = Work->ForcedStatus;
    }
    IoSetNextIrpStackLocation(Work->Irp);
    if (!Inline) {
        IoMarkIrpPending(Work->Irp);
    }
    QueueEnter();
    InsertTailList(&Queue, &Work->Link);
    Wake = Asleep;
    Asleep = FALSE;
    QueueLeave();
    if (Wake) {
        LinuxSignal(Event);
    }
    return Inline ? CompleteInline(Work) : Status;
}

/*
 * Completes a WORK's IRP with the status it has and frees the WORK. The client's completion routine may free IRP and
 * buffers. The worker's thread, or the caller's for a WORK that completes inline.
 */
VOID WorkComplete(PWORK Work) {
    PIRP Irp = Work->Irp;
    NTSTATUS Status = Work->Status;
    ULONG_PTR Information = Work->Information;
    BOOLEAN Raised = (Work->Effects & WSKPROVIDER_RAISED) != 0;
    KIRQL OldIrql = PASSIVE_LEVEL;

    PoolFree(Work->Iov);
    PoolFree(Work->Messages);
    PoolFree(Work);
    Irp->IoStatus.Status = Status;
    Irp->IoStatus.Information = Information;
    if (Raised) {
        KeRaiseIrql(DISPATCH_LEVEL, &OldIrql);
    }
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
    if (Raised) {
        KeLowerIrql(OldIrql);
    }
}

/* A WORK is done: completes it, now or as its rule says. The WORK is no longer the caller's. Worker only. */
VOID WorkFinish(PWORK Work, NTSTATUS Status, ULONG_PTR Information) {
    Work->Status = Status;
    Work->Information = Information;
    if ((Work->Effects & WSKPROVIDER_INLINE) != 0) {
        InterlockedExchange(&Work->Inline, 1); /* from here on the calling thread may free it */
    } else if (!ForceHold(Work)) {
        WorkComplete(Work);
    }
}

/* Makes the worker look at its sockets again. */
VOID WorkWake(VOID) {
    LinuxSignal(Event);
}

static VOID Run(PWORK Work) {
    if (ForceBegin(Work)) {
        return;
    }
    switch (Work->Kind) {
    case WorkSend:
        SendRun(Work);
        break;
    case WorkReceive:
        ReceiveBegin(Work);
        break;
    case WorkControl:
        ControlRun(Work);
        break;
    default:
        SocketRun(Work);
        break;
    }
}

/* Waits for work or for a datagram that is wanted; without memory for the list it looks every 10 ms. */
static VOID Sleep(VOID) {
    struct lx_pollfd *Fds = PoolAllocate((1 + (SIZE_T)WorkSocketCount) * sizeof(*Fds));
    struct lx_pollfd One = {Event, LX_POLLIN, 0};
    ULONG Count = 1;
    PLIST_ENTRY Link;
    int Timeout = ForceTick();

    if (Fds == NULL) {
        LinuxPoll(&One, 1, 10);
    } else {
        Fds[0] = One;
        for (Link = WorkSockets.Flink; Link != &WorkSockets; Link = Link->Flink) {
            PSOCKET Socket = CONTAINING_RECORD(Link, SOCKET, Link);

            if (!IsListEmpty(&Socket->Receives)) {
                Fds[Count].fd = Socket->Fd;
                Fds[Count++].events = LX_POLLIN;
            }
        }
        LinuxPoll(Fds, Count, Timeout);
        PoolFree(Fds);
    }
    LinuxDrain(Event);
    for (Link = WorkSockets.Flink; Link != &WorkSockets;) {
        PSOCKET Socket = CONTAINING_RECORD(Link, SOCKET, Link);

        Link = Link->Flink;
        ReceiveTry(Socket);
    }
}

static VOID NTAPI Worker(PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
    for (;;) {
        PLIST_ENTRY Link = NULL;
        BOOLEAN Stop;

        QueueEnter();
        Stop = Stopping;
        if (!IsListEmpty(&Queue)) {
            Link = RemoveHeadList(&Queue);
        } else {
            Asleep = TRUE;
        }
        QueueLeave();
        if (Link != NULL) {
            ForceTick();
            Run(CONTAINING_RECORD(Link, WORK, Link));
        } else if (Stop) {
            ForceFlush(NULL);
            break;
        } else {
            Sleep();
        }
    }
    PsTerminateSystemThread(STATUS_SUCCESS);
}

/* PASSIVE_LEVEL. STATUS_DEVICE_NOT_READY: this is not a Wine whose processes may call their kernel. */
NTSTATUS WorkerStart(VOID) {
    NTSTATUS Status;

    if (!LinuxUsable()) {
        return STATUS_DEVICE_NOT_READY;
    }
    InitializeListHead(&Queue);
    InitializeListHead(&WorkSockets);
    ForceReset();
    WorkSocketCount = 0;
    Asleep = FALSE;
    Stopping = FALSE;
    Event = LinuxEvent();
    if (Event < 0) {
        return StatusFromLinux(Event);
    }
    Status = PsCreateSystemThread(&Thread, THREAD_ALL_ACCESS, NULL, NULL, NULL, Worker, NULL);
    if (!NT_SUCCESS(Status)) {
        LinuxClose(Event);
        Event = -1;
    }
    return Status;
}

/* Lets the worker finish its queue and waits until its thread is gone. PASSIVE_LEVEL. */
VOID WorkerStop(VOID) {
    QueueEnter();
    Stopping = TRUE;
    QueueLeave();
    LinuxSignal(Event);
    ZwWaitForSingleObject(Thread, FALSE, NULL);
    ZwClose(Thread);
    LinuxClose(Event);
    Event = -1;
}
