/* request.h - one IOCTL request, as dispatch.c hands it to the function that carries it out. */
#ifndef WSKSEND_REQUEST_H
#define WSKSEND_REQUEST_H

#include "wsk_min.h"

#define WSKSEND_CALL_WAIT_MS 20000u /* for WSK calls whose request has no deadline of its own */

/* Buffer holds the request first and the reply later: METHOD_BUFFERED has one buffer for both. */
typedef struct _REQUEST {
    PVOID Buffer;
    ULONG InputLength;
    ULONG OutputLength;
    ULONG_PTR Information; /* bytes of the reply, set by the handler */
    PFILE_OBJECT Opener;
} REQUEST, *PREQUEST;

/*
 * Carries out one request in the caller's thread. The fixed part of the request has been checked for its length. The
 * handler copies what it still needs from Buffer before it writes the reply there, and keeps no pointer into Buffer.
 */
_IRQL_requires_(PASSIVE_LEVEL)
_IRQL_requires_same_
typedef NTSTATUS REQUEST_HANDLER(_Inout_ PREQUEST Request);

#endif /* WSKSEND_REQUEST_H */
