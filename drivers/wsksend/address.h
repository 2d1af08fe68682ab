/* address.h - endpoints of the ABI to SOCKADDRs of WSK and back. */
#ifndef WSKSEND_ADDRESS_H
#define WSKSEND_ADDRESS_H

#include "wsk_min.h"
#include "wsksend_abi.h"

typedef union _ADDRESS {
    SOCKADDR Any;
    SOCKADDR_IN V4;
    SOCKADDR_IN6 V6;
} ADDRESS, *PADDRESS;

/*
 * Makes the SOCKADDR of an endpoint. Family 0 gives AF_UNSPEC, which callers read as "no address".
 * STATUS_INVALID_ADDRESS: unknown family, or a value in a field that the family does not use.
 */
_IRQL_requires_max_(DISPATCH_LEVEL)
_Must_inspect_result_
NTSTATUS AddressFromEndpoint(_In_ const struct wsksend_endpoint *Endpoint, _Out_ PADDRESS Address);

/* Makes the endpoint of a SOCKADDR that WSK wrote; family 0 when WSK wrote none. */
_IRQL_requires_max_(DISPATCH_LEVEL)
VOID AddressToEndpoint(_In_ const ADDRESS *Address, _Out_ struct wsksend_endpoint *Endpoint);

/* Returns the size of the address's SOCKADDR, 0 for no address. */
_IRQL_requires_max_(DISPATCH_LEVEL)
ULONG AddressLength(_In_ const ADDRESS *Address);

#endif /* WSKSEND_ADDRESS_H */
