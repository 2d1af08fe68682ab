/* client.h - a registered client, and who keeps WskDeregister waiting for it. */
#ifndef NETIO_CLIENT_H
#define NETIO_CLIENT_H

#include "wsk_min.h"

typedef struct _CLIENT {
    const WSK_CLIENT_DISPATCH *Dispatch;
    PVOID Context;
    volatile LONG Holders; /* the registration, captured NPIs and sockets */
    KEVENT Unheld;
} CLIENT, *PCLIENT;

/* Adds a holder; WskDeregister waits until the last one is gone. */
_IRQL_requires_max_(DISPATCH_LEVEL)
VOID ClientHold(_Inout_ PCLIENT Client);

/* Takes a holder away. The caller must not touch the client afterwards. */
_IRQL_requires_max_(DISPATCH_LEVEL)
VOID ClientRelease(_Inout_ PCLIENT Client);

#endif /* NETIO_CLIENT_H */
