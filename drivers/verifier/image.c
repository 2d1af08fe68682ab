/* image.c - the image of the driver that is watched. */
#include "image.h"

IMAGE Driver;

_Use_decl_annotations_
BOOLEAN InDriver(ULONG_PTR Address) {
    return Address >= Driver.Base && Address < Driver.End;
}

_Use_decl_annotations_
BOOLEAN InPaged(ULONG_PTR Address) {
    return Address >= Driver.PagedStart && Address < Driver.PagedEnd;
}

_Use_decl_annotations_
ULONG Rva(ULONG_PTR Address) {
    return InDriver(Address) ? (ULONG)(Address - Driver.Base) : 0;
}
