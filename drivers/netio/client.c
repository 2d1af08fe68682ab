/* client.c - a registered client, and who keeps WskDeregister waiting for it. */
#include "client.h"

_Use_decl_annotations_
VOID ClientHold(PCLIENT Client) {
    InterlockedIncrement(&Client->Holders);
}

_Use_decl_annotations_
VOID ClientRelease(PCLIENT Client) {
    if (InterlockedDecrement(&Client->Holders) == 0) {
        KeSetEvent(&Client->Unheld, IO_NO_INCREMENT, FALSE);
    }
}
