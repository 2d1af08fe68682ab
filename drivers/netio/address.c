/* address.c - SOCKADDRs of Windows and of Linux: one layout, but another number for AF_INET6. */
#include "address.h"

#include "linux.h"

_Use_decl_annotations_
NTSTATUS AddressCopy(PADDRESS To, const SOCKADDR *From, ADDRESS_FAMILY Family) {
    if (From->sa_family != Family) {
        return STATUS_INVALID_PARAMETER;
    }
    RtlZeroMemory(To, sizeof(*To));
    RtlCopyMemory(To, From, Family == AF_INET ? sizeof(SOCKADDR_IN) : sizeof(SOCKADDR_IN6));
    return STATUS_SUCCESS;
}

_Use_decl_annotations_
uint32_t AddressToLinux(PADDRESS Address) {
    if (Address->Any.sa_family == AF_INET6) {
        Address->Any.sa_family = LX_AF_INET6;
        return sizeof(SOCKADDR_IN6);
    }
    return sizeof(SOCKADDR_IN);
}

_Use_decl_annotations_
VOID AddressFromLinux(PADDRESS Address) {
    if (Address->Any.sa_family == LX_AF_INET6) {
        Address->Any.sa_family = AF_INET6;
    }
}
