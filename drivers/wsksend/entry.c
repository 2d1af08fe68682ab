/* entry.c - load and unload: the WSK registration and the control device. */
#include "dispatch.h"
#include "lifetime.h"
#include "registration.h"
#include "security.h"
#include "socket.h"
#include "wsk_min.h"
#include "wsksend_abi.h"

static const UNICODE_STRING DeviceName = RTL_CONSTANT_STRING(L"\\Device\\WskSend");
static const UNICODE_STRING LinkName = RTL_CONSTANT_STRING(L"\\DosDevices\\WskSend");
static BOOLEAN Linked;
static PDEVICE_OBJECT Device;

DRIVER_INITIALIZE DriverEntry;
DRIVER_UNLOAD DriverUnload;

/* Undoes in reverse what Start did, also after a Start that failed half way. */
_IRQL_requires_(PASSIVE_LEVEL)
static VOID Stop(VOID) {
    if (Linked) {
        IoDeleteSymbolicLink((PUNICODE_STRING)&LinkName);
        Linked = FALSE;
    }
    SocketCloseAll(NULL);
    RegistrationEnd();
    if (Device != NULL) {
        IoDeleteDevice(Device);
        Device = NULL;
    }
}

_IRQL_requires_(PASSIVE_LEVEL)
_Must_inspect_result_
static NTSTATUS Start(_In_ PDRIVER_OBJECT DriverObject) {
    NTSTATUS Status = RegistrationBegin();

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = IoCreateDevice(DriverObject, 0, (PUNICODE_STRING)&DeviceName, WSKSEND_DEVICE_TYPE,
                            FILE_DEVICE_SECURE_OPEN, FALSE, &Device);
    if (!NT_SUCCESS(Status)) {
        Device = NULL;
        return Status;
    }
    Status = SecureDevice(Device);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = IoCreateSymbolicLink((PUNICODE_STRING)&LinkName, (PUNICODE_STRING)&DeviceName);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Linked = TRUE;
    Device->Flags &= ~(ULONG)DO_DEVICE_INITIALIZING;
    return STATUS_SUCCESS;
}

/* Windows calls it when no handle to the device is open. It returns when WSK has nothing of this image any more. */
_Function_class_(DRIVER_UNLOAD)
_IRQL_requires_(PASSIVE_LEVEL)
_Use_decl_annotations_
VOID NTAPI DriverUnload(PDRIVER_OBJECT DriverObject) {
    UNREFERENCED_PARAMETER(DriverObject);
    Stop();
}

/* Windows does not call DriverUnload for a driver whose DriverEntry fails, so a failed start is undone here. */
_Function_class_(DRIVER_INITIALIZE)
_IRQL_requires_(PASSIVE_LEVEL)
_Use_decl_annotations_
NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    NTSTATUS Status;

    UNREFERENCED_PARAMETER(RegistryPath);
    SocketTableInitialize();
    DriverObject->MajorFunction[IRP_MJ_CREATE] = DispatchCreateClose;
    DriverObject->MajorFunction[IRP_MJ_CLEANUP] = DispatchCreateClose;
    DriverObject->MajorFunction[IRP_MJ_CLOSE] = DispatchCreateClose;
    DriverObject->MajorFunction[IRP_MJ_DEVICE_CONTROL] = DispatchDeviceControl;
    DriverObject->DriverUnload = DriverUnload;
    Status = Start(DriverObject);
    if (!NT_SUCCESS(Status)) {
        Stop();
    }
    return Status;
}
