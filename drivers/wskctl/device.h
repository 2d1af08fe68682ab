/* device.h - IOCTLs to the drivers' devices. */
#ifndef WSKCTL_DEVICE_H
#define WSKCTL_DEVICE_H

#include "windows_min.h"

/*
 * Sends one IOCTL and waits for its end; opens the device on first use. Device and Code are those of wskctl_frames.h.
 * *Returned is the number of bytes written to Output. Returns the NTSTATUS of opening or of the IOCTL.
 */
_Must_inspect_result_
NTSTATUS DeviceControl(_In_ ULONG Device, _In_ ULONG Code, _In_reads_bytes_opt_(InputLength) PVOID Input,
                       _In_ ULONG InputLength, _Out_writes_bytes_to_opt_(OutputLength, *Returned) PVOID Output,
                       _In_ ULONG OutputLength, _Out_ PULONG Returned);

#endif /* WSKCTL_DEVICE_H */
