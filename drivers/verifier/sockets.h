/* sockets.h - the sockets that the driver gets instead of the provider's. */
#ifndef VERIFIER_SOCKETS_H
#define VERIFIER_SOCKETS_H

#include "wsk_min.h"

typedef struct _SOCKET_RECORD {
    WSK_SOCKET Wsk; /* first: what the driver sees */
    PWSK_SOCKET Provider;
    const WSK_PROVIDER_DATAGRAM_DISPATCH *Dispatch; /* the provider's */
    volatile LONG Calls; /* WSK functions that have not returned */
    volatile LONG Closing;
    ULONG_PTR OpenedAt;
    struct _SOCKET_RECORD *Next;
} SOCKET_RECORD, *PSOCKET_RECORD;

/* Forgets all sockets. Dispatch is what those of the next driver get. */
_IRQL_requires_max_(DISPATCH_LEVEL)
VOID SocketsReset(_In_ const WSK_PROVIDER_DATAGRAM_DISPATCH *Dispatch);

/* The socket that was opened last and is still open, or NULL; the others follow by Next. */
_IRQL_requires_max_(DISPATCH_LEVEL)
PSOCKET_RECORD SocketsFirst(VOID);

/* Makes the driver's socket for one of the provider's; without memory the driver gets the provider's own. */
_IRQL_requires_max_(DISPATCH_LEVEL)
PWSK_SOCKET SocketAdopt(_In_ PWSK_SOCKET Provider, _In_ ULONG_PTR OpenedAt);

/* The provider has closed it: from here on its memory is shut. */
_IRQL_requires_max_(DISPATCH_LEVEL)
VOID SocketClosed(_In_ PSOCKET_RECORD Socket);

#endif /* VERIFIER_SOCKETS_H */
