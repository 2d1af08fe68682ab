/*
 * device.c - \\.\WskProvider: takes the rules of force.c, and the question whether the verifier watches.
 *
 * It exists while a client is registered.
 *
 * Wine loads this image as a library, without a DRIVER_OBJECT, so it makes one for itself. PASSIVE_LEVEL throughout.
 */
#include "device.h"

#include "force.h"
#include "queue.h"
#include "verifier.h"
#include "wskprovider_abi.h"

NTKERNELAPI NTSTATUS NTAPI IoCreateDriver(PUNICODE_STRING DriverName, PDRIVER_INITIALIZE InitializationFunction);
NTKERNELAPI VOID NTAPI IoDeleteDriver(PDRIVER_OBJECT DriverObject);

static const UNICODE_STRING DriverName = RTL_CONSTANT_STRING(L"\\Driver\\WskProvider");
static const UNICODE_STRING DeviceName = RTL_CONSTANT_STRING(L"\\Device\\WskProvider");
static const UNICODE_STRING LinkName = RTL_CONSTANT_STRING(L"\\DosDevices\\WskProvider");
static PDRIVER_OBJECT Driver;
static PDEVICE_OBJECT Device;

_IRQL_requires_max_(DISPATCH_LEVEL)
static NTSTATUS Complete(_Inout_ PIRP Irp, _In_ NTSTATUS Status, _In_ ULONG_PTR Information) {
    Irp->IoStatus.Status = Status;
    Irp->IoStatus.Information = Information;
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
    return Status;
}

_Function_class_(DRIVER_DISPATCH)
_IRQL_requires_(PASSIVE_LEVEL)
static NTSTATUS NTAPI OnCreateClose(_In_ PDEVICE_OBJECT DeviceObject, _Inout_ PIRP Irp) {
    UNREFERENCED_PARAMETER(DeviceObject);
    return Complete(Irp, STATUS_SUCCESS, 0);
}

/* Every request begins with version and size, as those of wsksend.sys do. */
_IRQL_requires_(PASSIVE_LEVEL)
_Must_inspect_result_
static NTSTATUS Check(_In_reads_bytes_opt_(Length) const VOID *Buffer, _In_ ULONG Length, _In_ ULONG Wanted) {
    const struct wskprovider_relent *Head = Buffer;

    if (Buffer == NULL || Length < sizeof(*Head)) {
        return STATUS_BUFFER_TOO_SMALL;
    }
    if (Head->version != WSKPROVIDER_ABI_VERSION) {
        return STATUS_REVISION_MISMATCH;
    }
    if (Length < Wanted) {
        return STATUS_BUFFER_TOO_SMALL;
    }
    return Head->size == Length && Length == Wanted ? STATUS_SUCCESS : STATUS_INFO_LENGTH_MISMATCH;
}

_Function_class_(DRIVER_DISPATCH)
_IRQL_requires_(PASSIVE_LEVEL)
static NTSTATUS NTAPI OnControl(_In_ PDEVICE_OBJECT DeviceObject, _Inout_ PIRP Irp) {
    PIO_STACK_LOCATION Stack = IoGetCurrentIrpStackLocation(Irp);
    PVOID Buffer = Irp->AssociatedIrp.SystemBuffer;
    ULONG Input = Stack->Parameters.DeviceIoControl.InputBufferLength;
    ULONG Output = Stack->Parameters.DeviceIoControl.OutputBufferLength;
    NTSTATUS Status = STATUS_INVALID_DEVICE_REQUEST;
    ULONG_PTR Information = 0;

    UNREFERENCED_PARAMETER(DeviceObject);
    switch (Stack->Parameters.DeviceIoControl.IoControlCode) {
    case WSKPROVIDER_IOCTL_FORCE:
        Status = Check(Buffer, Input, sizeof(struct wskprovider_force));
        if (NT_SUCCESS(Status)) {
            Status = ForceAdd(Buffer);
        }
        break;
    case WSKPROVIDER_IOCTL_RELENT:
        Status = Check(Buffer, Input, sizeof(struct wskprovider_relent));
        if (NT_SUCCESS(Status) && Output < sizeof(struct wskprovider_relented)) {
            Status = STATUS_BUFFER_TOO_SMALL;
        }
        if (NT_SUCCESS(Status)) {
            ForceRelent(Buffer);
            WorkWake();
            Information = sizeof(struct wskprovider_relented);
        }
        break;
    case WSKPROVIDER_IOCTL_WATCH:
        Status = Check(Buffer, Input, sizeof(struct wskprovider_watch));
        if (NT_SUCCESS(Status)) {
            Status = VerifierAsk(((const struct wskprovider_watch *)Buffer)->number);
        }
        break;
    default:
        break;
    }
    return Complete(Irp, Status, Information);
}

_Function_class_(DRIVER_INITIALIZE)
_IRQL_requires_(PASSIVE_LEVEL)
static NTSTATUS NTAPI Initialize(_In_ PDRIVER_OBJECT DriverObject, _In_ PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(RegistryPath);
    Driver = DriverObject;
    DriverObject->MajorFunction[IRP_MJ_CREATE] = OnCreateClose;
    DriverObject->MajorFunction[IRP_MJ_CLEANUP] = OnCreateClose;
    DriverObject->MajorFunction[IRP_MJ_CLOSE] = OnCreateClose;
    DriverObject->MajorFunction[IRP_MJ_DEVICE_CONTROL] = OnControl;
    return STATUS_SUCCESS;
}

_Use_decl_annotations_
VOID DeviceStart(VOID) {
    if (!NT_SUCCESS(IoCreateDriver((PUNICODE_STRING)&DriverName, Initialize))) {
        Driver = NULL;
        return;
    }
    if (!NT_SUCCESS(IoCreateDevice(Driver, 0, (PUNICODE_STRING)&DeviceName, WSKPROVIDER_DEVICE_TYPE,
                                   FILE_DEVICE_SECURE_OPEN, FALSE, &Device))) {
        Device = NULL;
        DeviceStop();
        return;
    }
    if (!NT_SUCCESS(IoCreateSymbolicLink((PUNICODE_STRING)&LinkName, (PUNICODE_STRING)&DeviceName))) {
        DeviceStop();
        return;
    }
    Device->Flags &= ~(ULONG)DO_DEVICE_INITIALIZING;
}

_Use_decl_annotations_
VOID DeviceStop(VOID) {
    if (Device != NULL) {
        IoDeleteSymbolicLink((PUNICODE_STRING)&LinkName);
        IoDeleteDevice(Device);
        Device = NULL;
    }
    if (Driver != NULL) {
        IoDeleteDriver(Driver);
        Driver = NULL;
    }
}
