/* options.h - WskControlSocket: socket options by table, and the two fixed addresses. */
#ifndef NETIO_OPTIONS_H
#define NETIO_OPTIONS_H

#include "work.h"
#include "wsk_min.h"

/* The function of WSK_PROVIDER_BASIC_DISPATCH: makes a WORK and submits it. */
_IRQL_requires_max_(DISPATCH_LEVEL)
NTSTATUS WSKAPI ProviderControlSocket(_In_ PWSK_SOCKET Socket, _In_ WSK_CONTROL_SOCKET_TYPE RequestType,
                                      _In_ ULONG ControlCode, _In_ ULONG Level, _In_ SIZE_T InputSize,
                                      _In_opt_ PVOID InputBuffer, _In_ SIZE_T OutputSize,
                                      _Out_opt_ PVOID OutputBuffer, _Out_opt_ SIZE_T *OutputSizeReturned,
                                      _In_opt_ PIRP Irp);

/* Carries a WskControlSocket out, and finishes the WORK. Worker only. */
_IRQL_requires_(PASSIVE_LEVEL)
VOID ControlRun(_In_ PWORK Work);

#endif /* NETIO_OPTIONS_H */
