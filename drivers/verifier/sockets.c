/* sockets.c - the sockets that the driver gets instead of the provider's; see sockets.h. */
#include "sockets.h"

#include "blocks.h"
#include "irql.h"

static const WSK_PROVIDER_DATAGRAM_DISPATCH *SocketDispatch;
static PSOCKET_RECORD Sockets;
static volatile LONG Lock;

_Use_decl_annotations_
VOID SocketsReset(const WSK_PROVIDER_DATAGRAM_DISPATCH *Dispatch) {
    SocketDispatch = Dispatch;
    Sockets = NULL;
}

_Use_decl_annotations_
PSOCKET_RECORD SocketsFirst(VOID) {
    return Sockets;
}

_IRQL_requires_max_(DISPATCH_LEVEL)
static VOID SocketUnlink(PSOCKET_RECORD Socket) {
    PSOCKET_RECORD *At;

    LockEnter(&Lock);
    for (At = &Sockets; *At != NULL && *At != Socket; At = &(*At)->Next) {
    }
    if (*At == Socket) {
        *At = Socket->Next;
    }
    LockLeave(&Lock);
}

_Use_decl_annotations_
VOID SocketClosed(PSOCKET_RECORD Socket) {
    PBLOCK Block = BlockOf((ULONG_PTR)Socket);

    SocketUnlink(Socket);
    if (Block != NULL && Block->State == BlockLive) {
        BlockFree(Block, Socket, BlockSocket, Socket->OpenedAt);
    }
}

_Use_decl_annotations_
PWSK_SOCKET SocketAdopt(PWSK_SOCKET ProviderSocket, ULONG_PTR OpenedAt) {
    PSOCKET_RECORD Socket = BlockAllocate(BlockSocket, sizeof(*Socket), 0, OpenedAt, NULL);

    if (Socket == NULL) {
        return ProviderSocket;
    }
    RtlZeroMemory(Socket, sizeof(*Socket));
    Socket->Wsk.Dispatch = SocketDispatch;
    Socket->Provider = ProviderSocket;
    Socket->Dispatch = ProviderSocket->Dispatch;
    Socket->OpenedAt = OpenedAt;
    LockEnter(&Lock);
    Socket->Next = Sockets;
    Sockets = Socket;
    LockLeave(&Lock);
    return &Socket->Wsk;
}
