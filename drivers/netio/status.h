/* status.h - Linux' errors as the NTSTATUS that a WSK client would see for the same cause. */
#ifndef NETIO_STATUS_H
#define NETIO_STATUS_H

#include <stdint.h>

#include "wsk_min.h"

/* Result is a system call's: a negated LX_E number, or not negative for success. */
_IRQL_requires_max_(DISPATCH_LEVEL)
NTSTATUS StatusFromLinux(_In_ int64_t Result);

#endif /* NETIO_STATUS_H */
