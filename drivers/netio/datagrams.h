/* datagrams.h - WskSendTo, WskSendMessages and WskReceiveFrom. */
#ifndef NETIO_DATAGRAMS_H
#define NETIO_DATAGRAMS_H

#include "socket.h"
#include "work.h"
#include "wsk_min.h"

/* The functions of WSK_PROVIDER_DATAGRAM_DISPATCH: each makes a WORK and submits it. */
_IRQL_requires_max_(DISPATCH_LEVEL)
NTSTATUS WSKAPI ProviderSendTo(_In_ PWSK_SOCKET Socket, _In_ PWSK_BUF Buffer, _In_ ULONG Flags,
                               _In_opt_ PSOCKADDR RemoteAddress, _In_ ULONG ControlInfoLength,
                               _In_opt_ PCMSGHDR ControlInfo, _In_ PIRP Irp);

_IRQL_requires_max_(DISPATCH_LEVEL)
NTSTATUS WSKAPI ProviderSendMessages(_In_ PWSK_SOCKET Socket, _In_ PWSK_BUF_LIST BufferList, _In_ ULONG Flags,
                                     _In_opt_ PSOCKADDR RemoteAddress, _In_ ULONG ControlInfoLength,
                                     _In_opt_ PCMSGHDR ControlInfo, _In_ PIRP Irp);

_IRQL_requires_max_(DISPATCH_LEVEL)
NTSTATUS WSKAPI ProviderReceiveFrom(_In_ PWSK_SOCKET Socket, _In_ PWSK_BUF Buffer, _In_ ULONG Flags,
                                    _Out_opt_ PSOCKADDR RemoteAddress, _Inout_opt_ PULONG ControlLength,
                                    _Out_opt_ PCMSGHDR ControlInfo, _Out_opt_ PULONG ControlFlags, _In_ PIRP Irp);

/* Carries a send out, and finishes the WORK. Worker only. */
_IRQL_requires_(PASSIVE_LEVEL)
VOID SendRun(_In_ PWORK Work);

/* Begins a receive, which waits behind earlier ones of its socket. Worker only. */
_IRQL_requires_(PASSIVE_LEVEL)
VOID ReceiveBegin(_In_ PWORK Work);

/* Finishes cancelled receives, then the oldest ones for which there is a datagram. Worker only. */
_IRQL_requires_(PASSIVE_LEVEL)
VOID ReceiveTry(_Inout_ PSOCKET Socket);

/* Finishes all receives of a socket that closes, or is closed by force, with Status. Worker only. */
_IRQL_requires_(PASSIVE_LEVEL)
VOID ReceiveEndAll(_Inout_ PSOCKET Socket, _In_ NTSTATUS Status);

#endif /* NETIO_DATAGRAMS_H */
