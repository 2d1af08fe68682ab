/*
 * defects.h - faults that can be built into the driver on purpose, to prove that the harness catches them.
 *
 * Each is 0 unless the compiler is told -DDEFECT_NAME. A driver built with one says so in struct wsksend_info. The
 * good driver has none, and the compiler drops every branch that asks.
 */
#ifndef WSKSEND_DEFECTS_H
#define WSKSEND_DEFECTS_H

#ifndef DEFECT_PORT_NOT_SWAPPED /* sin_port keeps the host's byte order */
#define DEFECT_PORT_NOT_SWAPPED 0
#endif
#ifndef DEFECT_LAST_BYTE_CUT /* WSK_BUF.Length is one short */
#define DEFECT_LAST_BYTE_CUT 0
#endif
#ifndef DEFECT_IRP_NEVER_FREED /* the completion routine forgets IoFreeIrp */
#define DEFECT_IRP_NEVER_FREED 0
#endif
#ifndef DEFECT_VERBATIM /* buffer freed in the routine on success only, and by the caller when the call returns an error */
#define DEFECT_VERBATIM 0
#endif
#ifndef DEFECT_OFFSET_IGNORED /* WSK_BUF.Offset is always 0 */
#define DEFECT_OFFSET_IGNORED 0
#endif
#ifndef DEFECT_FIRST_MDL_ONLY /* WSK_BUF.Length covers the first MDL only */
#define DEFECT_FIRST_MDL_ONLY 0
#endif
#ifndef DEFECT_OVERRIDE_IGNORED /* RemoteAddress is always NULL once an address was fixed */
#define DEFECT_OVERRIDE_IGNORED 0
#endif
#ifndef DEFECT_CLEAR_SKIPPED /* clearing a fixed address only pretends */
#define DEFECT_CLEAR_SKIPPED 0
#endif
#ifndef DEFECT_EMPTY_NOT_SENT /* a send of no bytes is "done" without a call */
#define DEFECT_EMPTY_NOT_SENT 0
#endif
#ifndef DEFECT_STATUS_SWALLOWED /* every completion is reported as success */
#define DEFECT_STATUS_SWALLOWED 0
#endif
#ifndef DEFECT_SOCKET_NEVER_CLOSED /* WskCloseSocket is not called */
#define DEFECT_SOCKET_NEVER_CLOSED 0
#endif
#ifndef DEFECT_NO_UNLOAD /* no DriverUnload: the system cannot stop the driver */
#define DEFECT_NO_UNLOAD 0
#endif

#define WSKSEND_DEFECTS                                                                                               \
    (((ULONGLONG)DEFECT_PORT_NOT_SWAPPED << 0) | ((ULONGLONG)DEFECT_LAST_BYTE_CUT << 1) |                             \
     ((ULONGLONG)DEFECT_IRP_NEVER_FREED << 2) | ((ULONGLONG)DEFECT_VERBATIM << 3) |                                   \
     ((ULONGLONG)DEFECT_OFFSET_IGNORED << 4) | ((ULONGLONG)DEFECT_FIRST_MDL_ONLY << 5) |                              \
     ((ULONGLONG)DEFECT_OVERRIDE_IGNORED << 6) | ((ULONGLONG)DEFECT_CLEAR_SKIPPED << 7) |                             \
     ((ULONGLONG)DEFECT_EMPTY_NOT_SENT << 8) | ((ULONGLONG)DEFECT_STATUS_SWALLOWED << 9) |                            \
     ((ULONGLONG)DEFECT_SOCKET_NEVER_CLOSED << 10) | ((ULONGLONG)DEFECT_NO_UNLOAD << 11))

#endif /* WSKSEND_DEFECTS_H */
