/* status.c - Linux' errors as the NTSTATUS that a WSK client would see for the same cause. */
#include "status.h"

#include "linux.h"

/* What Windows reports for each cause was not seen on Windows. */
_Use_decl_annotations_
NTSTATUS StatusFromLinux(int64_t Result) {
    if (Result >= 0) {
        return STATUS_SUCCESS;
    }
    switch (-Result) {
    case LX_EMSGSIZE:
        return STATUS_INVALID_BUFFER_SIZE;
    case LX_EACCES:
    case LX_EPERM:
        return STATUS_ACCESS_DENIED;
    case LX_ENETUNREACH:
    case LX_ENETDOWN:
        return STATUS_NETWORK_UNREACHABLE;
    case LX_EHOSTUNREACH:
        return STATUS_HOST_UNREACHABLE;
    case LX_ECONNREFUSED:
        return STATUS_PORT_UNREACHABLE;
    case LX_EADDRINUSE:
        return STATUS_ADDRESS_ALREADY_EXISTS;
    case LX_EADDRNOTAVAIL:
        return STATUS_INVALID_ADDRESS_COMPONENT;
    case LX_ENOBUFS:
    case LX_ENOMEM:
        return STATUS_INSUFFICIENT_RESOURCES;
    case LX_EMFILE:
    case LX_ENFILE:
        return STATUS_TOO_MANY_OPENED_FILES;
    case LX_ENOPROTOOPT:
    case LX_EOPNOTSUPP:
    case LX_EAFNOSUPPORT:
        return STATUS_NOT_SUPPORTED;
    case LX_EAGAIN:
        return STATUS_IO_TIMEOUT;
    case LX_ENODEV:
        return STATUS_NO_SUCH_DEVICE;
    case LX_EINVAL:
    case LX_EFAULT:
        return STATUS_INVALID_PARAMETER;
    default:
        return STATUS_UNSUCCESSFUL;
    }
}
