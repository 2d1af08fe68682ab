/* device.h - \\.\WskProvider, which takes the rules of force.c. */
#ifndef NETIO_DEVICE_H
#define NETIO_DEVICE_H

#include "wsk_min.h"

/* Creates the device. Without it the provider works, but takes no rules. */
_IRQL_requires_(PASSIVE_LEVEL)
VOID DeviceStart(VOID);

/* Deletes the device, as far as DeviceStart came. */
_IRQL_requires_(PASSIVE_LEVEL)
VOID DeviceStop(VOID);

#endif /* NETIO_DEVICE_H */
