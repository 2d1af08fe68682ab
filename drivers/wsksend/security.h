/* security.h - who may open the control device. */
#ifndef WSKSEND_SECURITY_H
#define WSKSEND_SECURITY_H

#include "wsk_min.h"

/* Lets only LocalSystem and administrators open the device, which must still be DO_DEVICE_INITIALIZING. */
_IRQL_requires_(PASSIVE_LEVEL)
_Must_inspect_result_
NTSTATUS SecureDevice(_In_ PDEVICE_OBJECT DeviceObject);

#endif /* WSKSEND_SECURITY_H */
