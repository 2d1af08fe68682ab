/* memory.h - the client's own allocations, which rules of force.c can make fail. */
#ifndef NETIO_MEMORY_H
#define NETIO_MEMORY_H

#include "wsk_min.h"

/* Redirects the allocators that the image around Inside imports to this driver, or with Back to what they were. */
_IRQL_requires_(PASSIVE_LEVEL)
VOID MemoryDetour(_In_ const VOID *Inside, _In_ BOOLEAN Back);

#endif /* NETIO_MEMORY_H */
