/* queue.c - the queue between the WSK functions and the worker; see queue.h. */
#include "queue.h"

#include "force.h"
#include "linux.h"
#include "status.h"
#include "wskprovider_abi.h"

static volatile LONG QueueLock;
static LIST_ENTRY Queue; /* under QueueLock */
static BOOLEAN Asleep;   /* likewise: the worker is, or is about to be, in poll() */
static BOOLEAN Stopping; /* likewise */
static int Event = -1;   /* wakes the worker */

/* Wine's spin lock burns the holder's time on one processor; yielding does not. */
_IRQL_requires_max_(DISPATCH_LEVEL)
static VOID QueueEnter(VOID) {
    while (InterlockedExchange(&QueueLock, 1) != 0) {
        LinuxYield();
    }
}

_IRQL_requires_max_(DISPATCH_LEVEL)
static VOID QueueLeave(VOID) {
    InterlockedExchange(&QueueLock, 0);
}

_Use_decl_annotations_
NTSTATUS QueueOpen(VOID) {
    InitializeListHead(&Queue);
    Asleep = FALSE;
    Stopping = FALSE;
    Event = LinuxEvent();
    return Event < 0 ? StatusFromLinux(Event) : STATUS_SUCCESS;
}

_Use_decl_annotations_
VOID QueueClose(VOID) {
    LinuxClose(Event);
    Event = -1;
}

_Use_decl_annotations_
VOID QueueStop(VOID) {
    QueueEnter();
    Stopping = TRUE;
    QueueLeave();
    LinuxSignal(Event);
}

_Use_decl_annotations_
int QueueEvent(VOID) {
    return Event;
}

_Use_decl_annotations_
PWORK QueueTake(PBOOLEAN Stop) {
    PLIST_ENTRY Link = NULL;

    QueueEnter();
    *Stop = Stopping;
    if (!IsListEmpty(&Queue)) {
        Link = RemoveHeadList(&Queue);
    } else {
        Asleep = TRUE;
    }
    QueueLeave();
    return Link != NULL ? CONTAINING_RECORD(Link, WORK, Link) : NULL;
}

/* Waits, without the scheduler's help, until the worker is done with a WORK, and completes it in this thread. */
_IRQL_requires_max_(DISPATCH_LEVEL)
static NTSTATUS CompleteInline(_In_ PWORK Work) {
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

_Use_decl_annotations_
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

_Use_decl_annotations_
VOID WorkFinish(PWORK Work, NTSTATUS Status, ULONG_PTR Information) {
    Work->Status = Status;
    Work->Information = Information;
    if ((Work->Effects & WSKPROVIDER_INLINE) != 0) {
        InterlockedExchange(&Work->Inline, 1); /* from here on the calling thread may free it */
    } else if (!ForceHold(Work)) {
        WorkComplete(Work);
    }
}

_Use_decl_annotations_
VOID WorkWake(VOID) {
    LinuxSignal(Event);
}
