/*
 * entry.c - load and unload: WSK registration, provider NPI, the control device. PASSIVE_LEVEL.
 */
#include "wsksend.h"

#define NPI_WAIT_MS 10000 /* WSK_INFINITE_WAIT would hang the start of a system without WSK */

WSK_REGISTRATION WskRegistration;
WSK_PROVIDER_NPI WskProvider;

static const WSK_CLIENT_DISPATCH ClientDispatch = {MAKE_WSK_VERSION(1, 0), 0, NULL};
static const UNICODE_STRING DeviceName = RTL_CONSTANT_STRING(L"\\Device\\WskSend");
static const UNICODE_STRING LinkName = RTL_CONSTANT_STRING(L"\\DosDevices\\WskSend");
static BOOLEAN Registered;
static BOOLEAN Captured;
static BOOLEAN Linked;
static PDEVICE_OBJECT Device;

DRIVER_INITIALIZE DriverEntry;
DRIVER_UNLOAD DriverUnload;

/* Undoes whatever Start did, in reverse; also after a Start that failed half way. */
static VOID Stop(VOID) {
    if (Linked) {
        IoDeleteSymbolicLink((PUNICODE_STRING)&LinkName);
        Linked = FALSE;
    }
    SocketCloseAll(NULL);
    if (Captured) {
        WskReleaseProviderNPI(&WskRegistration);
        Captured = FALSE;
    }
    if (Registered) {
        WskDeregister(&WskRegistration); /* waits for sockets and for calls that have not returned */
        Registered = FALSE;
    }
    if (Device != NULL) {
        IoDeleteDevice(Device);
        Device = NULL;
    }
}

static NTSTATUS Start(PDRIVER_OBJECT DriverObject) {
    WSK_CLIENT_NPI Client = {NULL, &ClientDispatch};
    NTSTATUS Status;

    Status = WskRegister(&Client, &WskRegistration);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Registered = TRUE;
    Status = WskCaptureProviderNPI(&WskRegistration, NPI_WAIT_MS, &WskProvider);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Captured = TRUE;
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

/* Windows calls it when no handle to the device is open. Returns when WSK holds nothing of this image any more. */
VOID NTAPI DriverUnload(PDRIVER_OBJECT DriverObject) {
    UNREFERENCED_PARAMETER(DriverObject);
    Stop();
}

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
        Stop(); /* DriverUnload is not called for a driver that did not start */
    }
    return Status;
}
