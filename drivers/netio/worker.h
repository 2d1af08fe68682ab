/* worker.h - the provider's one thread, which carries out the WSK calls. */
#ifndef NETIO_WORKER_H
#define NETIO_WORKER_H

#include "wsk_min.h"

/* Starts the thread. STATUS_DEVICE_NOT_READY: not a Wine whose processes may call the Linux kernel. */
_IRQL_requires_(PASSIVE_LEVEL)
_Must_inspect_result_
NTSTATUS WorkerStart(VOID);

/* Lets the worker finish its queue, and waits until its thread has ended. */
_IRQL_requires_(PASSIVE_LEVEL)
VOID WorkerStop(VOID);

#endif /* NETIO_WORKER_H */
