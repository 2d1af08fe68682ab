/* device.c - IOCTLs to the drivers' devices, each of which stays open until WSKCTL_CODE_DETACH. */
#include "device.h"

#include "wskctl_frames.h"

static const WCHAR *const DeviceNames[WSKCTL_DEVICES] = {L"\\??\\WskSend", L"\\??\\WskProvider"};
static HANDLE Devices[WSKCTL_DEVICES];

/* Native calls, because only they return the NTSTATUS that the driver set. */
_Must_inspect_result_
static NTSTATUS OpenDevice(_In_ ULONG Device) {
    UNICODE_STRING Name;
    OBJECT_ATTRIBUTES Attributes;
    IO_STATUS_BLOCK Io;

    RtlInitUnicodeString(&Name, DeviceNames[Device]);
    InitializeObjectAttributes(&Attributes, &Name, OBJ_CASE_INSENSITIVE, NULL, NULL);
    return NtOpenFile(&Devices[Device], FILE_READ_DATA | FILE_WRITE_DATA | SYNCHRONIZE, &Attributes, &Io,
                      FILE_SHARE_READ | FILE_SHARE_WRITE, FILE_SYNCHRONOUS_IO_NONALERT);
}

_Use_decl_annotations_
NTSTATUS DeviceControl(ULONG Device, ULONG Code, PVOID Input, ULONG InputLength, PVOID Output, ULONG OutputLength,
                       PULONG Returned) {
    IO_STATUS_BLOCK Io = {0};
    NTSTATUS Status;

    *Returned = 0;
    if (Code == WSKCTL_CODE_DETACH) {
        if (Devices[Device] != NULL) {
            NtClose(Devices[Device]);
            Devices[Device] = NULL;
        }
        return 0;
    }
    if (Devices[Device] == NULL) {
        Status = OpenDevice(Device);
        if (!NT_SUCCESS(Status)) {
            Devices[Device] = NULL;
            return Status;
        }
    }
    Status = NtDeviceIoControlFile(Devices[Device], NULL, NULL, NULL, &Io, Code, Input, InputLength, Output,
                                   OutputLength);
    if (NT_SUCCESS(Status)) {
        *Returned = Io.Information > OutputLength ? OutputLength : (ULONG)Io.Information;
    }
    return Status;
}
