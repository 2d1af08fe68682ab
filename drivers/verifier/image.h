/* image.h - the image of the driver that is watched. An address of a call is always one in the driver's code. */
#ifndef VERIFIER_IMAGE_H
#define VERIFIER_IMAGE_H

#include "wsk_min.h"

typedef struct _IMAGE {
    ULONG_PTR Base;
    ULONG_PTR End;
    ULONG_PTR PagedStart; /* the section named PAGE..., if any */
    ULONG_PTR PagedEnd;
    BOOLEAN Attached;
} IMAGE;

extern IMAGE Driver; /* written by attach.c, and Attached by the driver's unload as well */

_IRQL_requires_max_(DISPATCH_LEVEL)
BOOLEAN InDriver(_In_ ULONG_PTR Address);

/* TRUE for an address in the driver's paged section. */
_IRQL_requires_max_(DISPATCH_LEVEL)
BOOLEAN InPaged(_In_ ULONG_PTR Address);

/* Where an address lies in the driver's image; 0 when it does not. */
_IRQL_requires_max_(DISPATCH_LEVEL)
ULONG Rva(_In_ ULONG_PTR Address);

#endif /* VERIFIER_IMAGE_H */
