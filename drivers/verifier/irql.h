/* irql.h - threads and their IRQL, which Wine does not keep, and locks. */
#ifndef VERIFIER_IRQL_H
#define VERIFIER_IRQL_H

#include "wsk_min.h"

typedef struct _THREAD_STATE {
    volatile ULONG_PTR Id;
    KIRQL Irql;
    UCHAR Mutexes;
    KIRQL MutexOld[8];
    LONG InCompletion;
} THREAD_STATE, *PTHREAD_STATE;


/* The calling thread's state. */
_IRQL_requires_max_(DISPATCH_LEVEL)
PTHREAD_STATE ThisThread(VOID);

/* Reports a call above the IRQL that its documentation allows, and paged code that runs at DISPATCH_LEVEL. */
_IRQL_requires_max_(DISPATCH_LEVEL)
VOID NeedIrql(_In_ KIRQL Highest, _In_z_ const char *Function, _In_ ULONG_PTR Caller);

/* Takes a lock, which begins as 0. The holder must not wait. */
_IRQL_requires_max_(DISPATCH_LEVEL)
VOID LockEnter(_Inout_ volatile LONG *Lock);

_IRQL_requires_max_(DISPATCH_LEVEL)
VOID LockLeave(_Inout_ volatile LONG *Lock);

#endif /* VERIFIER_IRQL_H */
