/* datagram.h - one WskSendTo or WskSendMessages, from its IRP to its completion routine. */
#ifndef WSKSEND_DATAGRAM_H
#define WSKSEND_DATAGRAM_H

#include "call.h"
#include "wsk_min.h"

#define DATAGRAM_MESSAGES 1u  /* WskSendMessages with all of Call->Buffers, instead of WskSendTo with the first */
#define DATAGRAM_RAISED 2u    /* call the WSK function at DISPATCH_LEVEL */
#define DATAGRAM_REUSE_IRP 4u /* the socket's kept IRP after IoReuseIrp, instead of a fresh one */

/*
 * Sends what the call describes: Buffers over the MDLs of Chain, Address (family 0: RemoteAddress is NULL), and Data as
 * the control information. Flags go to WSK as they are.
 *
 * On success the WSK function was called, whatever it returned (Call->Returned): the IRP and Chain then belong to the
 * completion routine, and the caller keeps only its reference to the call. On failure (STATUS_INSUFFICIENT_RESOURCES;
 * STATUS_DEVICE_BUSY while the kept IRP is in flight) nothing was called, and the caller still owns everything.
 */
_IRQL_requires_(PASSIVE_LEVEL)
_Must_inspect_result_
NTSTATUS DatagramSend(_Inout_ PCALL Call, _In_ ULONG Flags, _In_ ULONG Mode);

#endif /* WSKSEND_DATAGRAM_H */
