/* address.h - SOCKADDRs of Windows and of Linux. */
#ifndef NETIO_ADDRESS_H
#define NETIO_ADDRESS_H

#include <stdint.h>

#include "wsk_min.h"

typedef union _ADDRESS { /* SOCKADDR with Windows' family numbers */
    SOCKADDR Any;
    SOCKADDR_IN V4;
    SOCKADDR_IN6 V6;
} ADDRESS, *PADDRESS;

/* Copies a client's SOCKADDR. STATUS_INVALID_PARAMETER when it is not of the given family. */
_IRQL_requires_max_(DISPATCH_LEVEL)
_Must_inspect_result_
NTSTATUS AddressCopy(_Out_ PADDRESS To, _In_ const SOCKADDR *From, _In_ ADDRESS_FAMILY Family);

/* Gives the address Linux' family number. Returns the length of its SOCKADDR. */
_IRQL_requires_max_(DISPATCH_LEVEL)
uint32_t AddressToLinux(_Inout_ PADDRESS Address);

/* Gives the address Windows' family number. */
_IRQL_requires_max_(DISPATCH_LEVEL)
VOID AddressFromLinux(_Inout_ PADDRESS Address);

#endif /* NETIO_ADDRESS_H */
