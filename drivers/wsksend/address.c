/* address.c - endpoints of the ABI (host byte order, not trusted) to SOCKADDRs (network byte order) and back. */
#include "address.h"

_Use_decl_annotations_
NTSTATUS AddressFromEndpoint(const struct wsksend_endpoint *Endpoint, PADDRESS Address) {
    USHORT Port = (USHORT)((Endpoint->port << 8) | (Endpoint->port >> 8));
    ULONG Used = Endpoint->family == AF_INET ? 4 : Endpoint->family == AF_INET6 ? 16 : 0;
    ULONG Byte;

    RtlZeroMemory(Address, sizeof(*Address));
    for (Byte = Used; Byte < sizeof(Endpoint->address); Byte++) {
        if (Endpoint->address[Byte] != 0) {
            return STATUS_INVALID_ADDRESS;
        }
    }
    if (Endpoint->family != AF_INET6 && Endpoint->scope_id != 0) {
        return STATUS_INVALID_ADDRESS;
    }
    switch (Endpoint->family) {
    case AF_UNSPEC:
        return Endpoint->port == 0 ? STATUS_SUCCESS : STATUS_INVALID_ADDRESS;
    case AF_INET:
        Address->V4.sin_family = AF_INET;
        Address->V4.sin_port = Port;
        RtlCopyMemory(&Address->V4.sin_addr, Endpoint->address, 4);
        return STATUS_SUCCESS;
    case AF_INET6:
        Address->V6.sin6_family = AF_INET6;
        Address->V6.sin6_port = Port;
        RtlCopyMemory(&Address->V6.sin6_addr, Endpoint->address, 16);
        Address->V6.sin6_scope_id = Endpoint->scope_id;
        return STATUS_SUCCESS;
    default:
        return STATUS_INVALID_ADDRESS;
    }
}

_Use_decl_annotations_
VOID AddressToEndpoint(const ADDRESS *Address, struct wsksend_endpoint *Endpoint) {
    USHORT Port = 0;

    RtlZeroMemory(Endpoint, sizeof(*Endpoint));
    if (Address->Any.sa_family == AF_INET) {
        Port = Address->V4.sin_port;
        RtlCopyMemory(Endpoint->address, &Address->V4.sin_addr, 4);
    } else if (Address->Any.sa_family == AF_INET6) {
        Port = Address->V6.sin6_port;
        RtlCopyMemory(Endpoint->address, &Address->V6.sin6_addr, 16);
        Endpoint->scope_id = Address->V6.sin6_scope_id;
    } else {
        return;
    }
    Endpoint->family = Address->Any.sa_family;
    Endpoint->port = (uint16_t)((Port << 8) | (Port >> 8));
}

_Use_decl_annotations_
ULONG AddressLength(const ADDRESS *Address) {
    return Address->Any.sa_family == AF_INET    ? sizeof(SOCKADDR_IN)
           : Address->Any.sa_family == AF_INET6 ? sizeof(SOCKADDR_IN6)
                                                : 0;
}
