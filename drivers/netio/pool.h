/* pool.h - the provider's nonpaged memory. */
#ifndef NETIO_POOL_H
#define NETIO_POOL_H

#include "wsk_min.h"

/* Allocates zeroed nonpaged memory, or returns NULL. The caller owns it and frees it with PoolFree. */
_IRQL_requires_max_(DISPATCH_LEVEL)
_Must_inspect_result_ _Ret_maybenull_
PVOID PoolAllocate(_In_ SIZE_T Bytes);

/* Frees memory of PoolAllocate. NULL is allowed. */
_IRQL_requires_max_(DISPATCH_LEVEL)
VOID PoolFree(_In_opt_ PVOID Memory);

#endif /* NETIO_POOL_H */
