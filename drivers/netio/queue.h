/*
 * queue.h - the queue between the WSK functions and the worker. Two functions see every IRP: WorkSubmit on its way in
 * and WorkFinish on its way out; there force.c is asked what shall be done differently.
 */
#ifndef NETIO_QUEUE_H
#define NETIO_QUEUE_H

#include "work.h"
#include "wsk_min.h"

_IRQL_requires_(PASSIVE_LEVEL)
_Must_inspect_result_
NTSTATUS QueueOpen(VOID);

/* After the worker's end. */
_IRQL_requires_(PASSIVE_LEVEL)
VOID QueueClose(VOID);

/* Lets the worker end once the queue is empty. */
_IRQL_requires_(PASSIVE_LEVEL)
VOID QueueStop(VOID);

/* The event (a file descriptor of Linux) that wakes the worker. */
_IRQL_requires_max_(DISPATCH_LEVEL)
int QueueEvent(VOID);

/*
 * Takes the oldest WORK, or NULL when there is none; the next WorkSubmit then sets the event. Stop says whether
 * QueueStop was called. Worker only.
 */
_IRQL_requires_(PASSIVE_LEVEL)
_Must_inspect_result_ _Ret_maybenull_
PWORK QueueTake(_Out_ PBOOLEAN Stop);

/* Queues a WORK, which then belongs to the worker; its IRP is pending. Returns what the WSK function must return. */
_IRQL_requires_max_(DISPATCH_LEVEL)
NTSTATUS WorkSubmit(_In_ PWORK Work);

/* Ends a WORK that is done: completes it now, or later as its rule says. The caller loses the WORK. Worker only. */
_IRQL_requires_(PASSIVE_LEVEL)
VOID WorkFinish(_In_ PWORK Work, _In_ NTSTATUS Status, _In_ ULONG_PTR Information);

/* Makes the worker look at its sockets and at what is held. */
_IRQL_requires_max_(DISPATCH_LEVEL)
VOID WorkWake(VOID);

#endif /* NETIO_QUEUE_H */
