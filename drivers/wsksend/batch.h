/* batch.h - many requests in one IOCTL. */
#ifndef WSKSEND_BATCH_H
#define WSKSEND_BATCH_H

#include "request.h"
#include "wsk_min.h"

/* Checks a request and lets its handler carry it out; Code is an IOCTL code of wsksend_abi.h. */
_IRQL_requires_(PASSIVE_LEVEL)
_IRQL_requires_same_
typedef NTSTATUS REQUEST_DISPATCHER(_In_ ULONG Code, _Inout_ PREQUEST Request);

/* BATCH: carries out the requests in order. Dispatch is the caller's, so that this module does not need to know it. */
_IRQL_requires_(PASSIVE_LEVEL)
_Must_inspect_result_
NTSTATUS BatchRun(_Inout_ PREQUEST Request, _In_ REQUEST_DISPATCHER *Dispatch);

#endif /* WSKSEND_BATCH_H */
