/* sockets.h - WSK_SOCKETs on Linux UDP sockets: made, bound, asked for their address, closed. */
#ifndef NETIO_SOCKETS_H
#define NETIO_SOCKETS_H

#include "socket.h"
#include "work.h"
#include "wsk_min.h"

extern LIST_ENTRY OpenSockets; /* SOCKET.Link; worker only */
extern ULONG OpenSocketCount;  /* likewise */

/* Empties the list, before the worker starts. */
_IRQL_requires_(PASSIVE_LEVEL)
VOID SocketsReset(VOID);

/* The function for WSK_PROVIDER_DISPATCH.WskSocket. */
_IRQL_requires_max_(DISPATCH_LEVEL)
PFN_WSK_SOCKET ProviderSocketFunction(VOID);

/* Carries out WskSocket, WskCloseSocket, WskBind or WskGetLocalAddress, and finishes the WORK. Worker only. */
_IRQL_requires_(PASSIVE_LEVEL)
VOID SocketRun(_In_ PWORK Work);

/* Frees a socket that was not opened. Worker only. */
_IRQL_requires_(PASSIVE_LEVEL)
VOID OpenAbandon(_In_ PSOCKET Socket);

#endif /* NETIO_SOCKETS_H */
