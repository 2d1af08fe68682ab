/* dispatch.h - the control device's dispatch routines. */
#ifndef WSKSEND_DISPATCH_H
#define WSKSEND_DISPATCH_H

#include "wsk_min.h"

/* IRP_MJ_CREATE, IRP_MJ_CLEANUP and IRP_MJ_CLOSE. An opener's sockets close with its handle. */
_Dispatch_type_(IRP_MJ_CREATE)
_Dispatch_type_(IRP_MJ_CLEANUP)
_Dispatch_type_(IRP_MJ_CLOSE)
_IRQL_requires_(PASSIVE_LEVEL)
DRIVER_DISPATCH DispatchCreateClose;

/* IRP_MJ_DEVICE_CONTROL: the IOCTLs of wsksend_abi.h. */
_Dispatch_type_(IRP_MJ_DEVICE_CONTROL)
_IRQL_requires_(PASSIVE_LEVEL)
DRIVER_DISPATCH DispatchDeviceControl;

#endif /* WSKSEND_DISPATCH_H */
