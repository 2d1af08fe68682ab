/* driver.c - udpcast.sys: see cast.h. Everything is synchronous and at PASSIVE_LEVEL, with one IRP at a time. */
#include "wsk_min.h"

#include "cast.h"

static WSK_REGISTRATION Registration;
static WSK_PROVIDER_NPI Npi;
static const WSK_CLIENT_DISPATCH ClientDispatch = {MAKE_WSK_VERSION(1, 0), 0, NULL};
static const UNICODE_STRING DeviceName = RTL_CONSTANT_STRING(L"\\Device\\UdpCast");
static const UNICODE_STRING LinkName = RTL_CONSTANT_STRING(L"\\DosDevices\\UdpCast");

DRIVER_INITIALIZE DriverEntry;

/* The completion routine of every call: arbitrary thread, IRQL <= DISPATCH_LEVEL; the IRP stays the waiter's. */
static NTSTATUS NTAPI Done(PDEVICE_OBJECT DeviceObject, PIRP Irp, PVOID Context) {
    UNREFERENCED_PARAMETER(DeviceObject);
    UNREFERENCED_PARAMETER(Irp);
    KeSetEvent(Context, IO_NO_INCREMENT, FALSE);
    return STATUS_MORE_PROCESSING_REQUIRED;
}

/* Readies the IRP for the next call; every call ends in Await. */
static PIRP Begin(PIRP Irp, PKEVENT Event) {
    IoReuseIrp(Irp, STATUS_UNSUCCESSFUL);
    KeClearEvent(Event);
    IoSetCompletionRoutine(Irp, Done, Event, TRUE, TRUE, TRUE);
    return Irp;
}

static NTSTATUS Await(PIRP Irp, PKEVENT Event) {
    KeWaitForSingleObject(Event, Executive, KernelMode, FALSE, NULL);
    return Irp->IoStatus.Status;
}

static VOID Address(const struct cast *Cast, BOOLEAN Remote, SOCKADDR_IN6 *To) {
    USHORT Port = Remote ? Cast->port : Cast->from;

    RtlZeroMemory(To, sizeof(*To));
    To->sin6_family = Cast->six != 0 ? AF_INET6 : AF_INET;
    To->sin6_port = (USHORT)((Port << 8) | (Port >> 8));
    if (Remote && Cast->six != 0) {
        RtlCopyMemory(&To->sin6_addr, Cast->address, 16);
    } else if (Remote) {
        RtlCopyMemory(&((SOCKADDR_IN *)To)->sin_addr, Cast->address, 4);
    }
}

/* Sends the payload in a socket of its own. */
static NTSTATUS Cast(const struct cast *Asked, PVOID Payload, PIRP Irp, ULONG_PTR *Sent) {
    const WSK_PROVIDER_DATAGRAM_DISPATCH *Dispatch;
    KEVENT Event;
    SOCKADDR_IN6 Place;
    WSK_BUF Buffer = {NULL, 0, Asked->length};
    PWSK_SOCKET Socket;
    NTSTATUS Status;

    KeInitializeEvent(&Event, NotificationEvent, FALSE);
    Npi.Dispatch->WskSocket(Npi.Client, Asked->six != 0 ? AF_INET6 : AF_INET, SOCK_DGRAM, IPPROTO_UDP,
                            WSK_FLAG_DATAGRAM_SOCKET, NULL, NULL, NULL, NULL, NULL, Begin(Irp, &Event));
    Status = Await(Irp, &Event);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Socket = (PWSK_SOCKET)Irp->IoStatus.Information;
    Dispatch = Socket->Dispatch;
    Address(Asked, FALSE, &Place);
    Dispatch->WskBind(Socket, (PSOCKADDR)&Place, 0, Begin(Irp, &Event));
    Status = Await(Irp, &Event);
    if (NT_SUCCESS(Status) && Asked->length != 0) {
        Buffer.Mdl = IoAllocateMdl(Payload, Asked->length, FALSE, FALSE, NULL);
        Status = Buffer.Mdl == NULL ? STATUS_INSUFFICIENT_RESOURCES : STATUS_SUCCESS;
    }
    if (NT_SUCCESS(Status)) {
        if (Buffer.Mdl != NULL) {
            MmBuildMdlForNonPagedPool(Buffer.Mdl);
        }
        Address(Asked, TRUE, &Place);
        Dispatch->WskSendTo(Socket, &Buffer, 0, (PSOCKADDR)&Place, 0, NULL, Begin(Irp, &Event));
        Status = Await(Irp, &Event);
        *Sent = Irp->IoStatus.Information;
    }
    WSK_BASIC(Dispatch)->WskCloseSocket(Socket, Begin(Irp, &Event));
    Await(Irp, &Event);
    if (Buffer.Mdl != NULL) {
        IoFreeMdl(Buffer.Mdl);
    }
    return Status;
}

static NTSTATUS Complete(PIRP Irp, NTSTATUS Status, ULONG_PTR Information) {
    Irp->IoStatus.Status = Status;
    Irp->IoStatus.Information = Information;
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
    return Status;
}

static NTSTATUS NTAPI OnCreateClose(PDEVICE_OBJECT DeviceObject, PIRP Irp) {
    UNREFERENCED_PARAMETER(DeviceObject);
    return Complete(Irp, STATUS_SUCCESS, 0);
}

static NTSTATUS NTAPI OnControl(PDEVICE_OBJECT DeviceObject, PIRP Irp) {
    PIO_STACK_LOCATION Stack = IoGetCurrentIrpStackLocation(Irp);
    struct cast *Asked = Irp->AssociatedIrp.SystemBuffer;
    ULONG Length = Stack->Parameters.DeviceIoControl.InputBufferLength;
    struct cast_reply Reply = {0};
    ULONG_PTR Sent = 0;
    PIRP Own;

    UNREFERENCED_PARAMETER(DeviceObject);
    if (Stack->Parameters.DeviceIoControl.IoControlCode != CAST_IOCTL) {
        return Complete(Irp, STATUS_INVALID_DEVICE_REQUEST, 0);
    }
    if (Asked == NULL || Length < sizeof(*Asked) || Length != sizeof(*Asked) + Asked->length ||
        Stack->Parameters.DeviceIoControl.OutputBufferLength < sizeof(Reply)) {
        return Complete(Irp, STATUS_INVALID_PARAMETER, 0);
    }
    Own = IoAllocateIrp(1, FALSE);
    if (Own == NULL) {
        return Complete(Irp, STATUS_INSUFFICIENT_RESOURCES, 0);
    }
    Reply.status = (uint32_t)Cast(Asked, Asked + 1, Own, &Sent);
    Reply.sent = (uint32_t)Sent;
    IoFreeIrp(Own);
    *(struct cast_reply *)Irp->AssociatedIrp.SystemBuffer = Reply;
    return Complete(Irp, STATUS_SUCCESS, sizeof(Reply));
}

static VOID NTAPI OnUnload(PDRIVER_OBJECT DriverObject) {
    IoDeleteSymbolicLink((PUNICODE_STRING)&LinkName);
    WskReleaseProviderNPI(&Registration);
    WskDeregister(&Registration);
    IoDeleteDevice(DriverObject->DeviceObject);
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    WSK_CLIENT_NPI Client = {NULL, &ClientDispatch};
    PDEVICE_OBJECT Device;
    NTSTATUS Status = WskRegister(&Client, &Registration);

    UNREFERENCED_PARAMETER(RegistryPath);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = WskCaptureProviderNPI(&Registration, 5000, &Npi);
    if (!NT_SUCCESS(Status)) {
        WskDeregister(&Registration);
        return Status;
    }
    DriverObject->MajorFunction[IRP_MJ_CREATE] = OnCreateClose;
    DriverObject->MajorFunction[IRP_MJ_CLEANUP] = OnCreateClose;
    DriverObject->MajorFunction[IRP_MJ_CLOSE] = OnCreateClose;
    DriverObject->MajorFunction[IRP_MJ_DEVICE_CONTROL] = OnControl;
    DriverObject->DriverUnload = OnUnload;
    Status = IoCreateDevice(DriverObject, 0, (PUNICODE_STRING)&DeviceName, 0x22, 0, FALSE, &Device);
    if (NT_SUCCESS(Status)) {
        Status = IoCreateSymbolicLink((PUNICODE_STRING)&LinkName, (PUNICODE_STRING)&DeviceName);
        if (!NT_SUCCESS(Status)) {
            IoDeleteDevice(Device);
        }
    }
    if (!NT_SUCCESS(Status)) {
        WskReleaseProviderNPI(&Registration);
        WskDeregister(&Registration);
        return Status;
    }
    Device->Flags &= ~(ULONG)DO_DEVICE_INITIALIZING;
    return STATUS_SUCCESS;
}
