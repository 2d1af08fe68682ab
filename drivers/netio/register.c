/*
 * register.c - the exports of netio.sys: registration, the provider NPI, and who must wait for whom. PASSIVE_LEVEL.
 *
 * Nothing runs before the first client registers or after the last one has gone: Wine loads this image for the sake
 * of a driver's imports and calls no entry point of it.
 *
 * Choices where Microsoft documents nothing, and which a Windows may well make otherwise:
 *  - NULL address with nothing fixed, and a send on an unbound socket: STATUS_INVALID_DEVICE_STATE;
 *  - both fixed addresses set: the fixed remote address wins;
 *  - an ICMP error that an earlier send caused is never reported (Linux keeps it from unconnected sockets);
 *  - a datagram longer than the receive buffer: STATUS_SUCCESS with MSG_TRUNC in the control flags;
 *  - reserved flags that are not zero: STATUS_INVALID_PARAMETER;
 *  - destination port 0 or an unspecified destination address: STATUS_INVALID_ADDRESS_COMPONENT;
 *  - WskSendMessages stops at the first datagram that fails; Information then has the bytes sent before it.
 */
#include "client.h"
#include "device.h"
#include "linux.h"
#include "memory.h"
#include "pool.h"
#include "sockets.h"
#include "verifier.h"
#include "work.h"
#include "worker.h"

static volatile LONG Clients;
static volatile LONG Gate; /* guards Clients against two first or last registrations at once */

DRIVER_INITIALIZE DriverEntry;

_IRQL_requires_(PASSIVE_LEVEL)
static VOID GateEnter(VOID) {
    while (InterlockedExchange(&Gate, 1) != 0) {
        LinuxYield();
    }
}

_IRQL_requires_(PASSIVE_LEVEL)
static VOID GateLeave(VOID) {
    InterlockedExchange(&Gate, 0);
}

_IRQL_requires_(PASSIVE_LEVEL)
static NTSTATUS WSKAPI ProviderSocketConnect(PWSK_CLIENT Client, USHORT SocketType, ULONG Protocol,
                                             PSOCKADDR LocalAddress, PSOCKADDR RemoteAddress, ULONG Flags,
                                             PVOID SocketContext, const VOID *Dispatch, PEPROCESS OwningProcess,
                                             PETHREAD OwningThread, PSECURITY_DESCRIPTOR SecurityDescriptor,
                                             PIRP Irp) {
    UNREFERENCED_PARAMETER(Client);
    UNREFERENCED_PARAMETER(SocketType);
    UNREFERENCED_PARAMETER(Protocol);
    UNREFERENCED_PARAMETER(LocalAddress);
    UNREFERENCED_PARAMETER(RemoteAddress);
    UNREFERENCED_PARAMETER(Flags);
    UNREFERENCED_PARAMETER(SocketContext);
    UNREFERENCED_PARAMETER(Dispatch);
    UNREFERENCED_PARAMETER(OwningProcess);
    UNREFERENCED_PARAMETER(OwningThread);
    UNREFERENCED_PARAMETER(SecurityDescriptor);
    return WorkRefuse(Irp, STATUS_NOT_IMPLEMENTED);
}

/* Client controls: none does anything here. WSK_TDI_BEHAVIOR asks for what is the case anyway, so it succeeds. */
_IRQL_requires_(PASSIVE_LEVEL)
static NTSTATUS WSKAPI ProviderControlClient(PWSK_CLIENT Client, ULONG ControlCode, SIZE_T InputSize,
                                             PVOID InputBuffer, SIZE_T OutputSize, PVOID OutputBuffer,
                                             SIZE_T *OutputSizeReturned, PIRP Irp) {
    const ULONG TdiBehavior = 8;
    NTSTATUS Status = ControlCode == TdiBehavior ? STATUS_SUCCESS : STATUS_NOT_SUPPORTED;

    UNREFERENCED_PARAMETER(Client);
    UNREFERENCED_PARAMETER(InputSize);
    UNREFERENCED_PARAMETER(InputBuffer);
    UNREFERENCED_PARAMETER(OutputSize);
    UNREFERENCED_PARAMETER(OutputBuffer);
    if (OutputSizeReturned != NULL) {
        *OutputSizeReturned = 0;
    }
    return Irp == NULL ? Status : WorkRefuse(Irp, Status);
}

_IRQL_requires_(PASSIVE_LEVEL)
static NTSTATUS WSKAPI ProviderGetAddressInfo(PWSK_CLIENT Client, PUNICODE_STRING NodeName,
                                              PUNICODE_STRING ServiceName, ULONG NameSpace, GUID *Provider,
                                              struct addrinfoexW *Hints, struct addrinfoexW **Result,
                                              PEPROCESS OwningProcess, PETHREAD OwningThread, PIRP Irp) {
    UNREFERENCED_PARAMETER(Client);
    UNREFERENCED_PARAMETER(NodeName);
    UNREFERENCED_PARAMETER(ServiceName);
    UNREFERENCED_PARAMETER(NameSpace);
    UNREFERENCED_PARAMETER(Provider);
    UNREFERENCED_PARAMETER(Hints);
    UNREFERENCED_PARAMETER(Result);
    UNREFERENCED_PARAMETER(OwningProcess);
    UNREFERENCED_PARAMETER(OwningThread);
    return WorkRefuse(Irp, STATUS_NOT_IMPLEMENTED);
}

_IRQL_requires_(PASSIVE_LEVEL)
static VOID WSKAPI ProviderFreeAddressInfo(PWSK_CLIENT Client, struct addrinfoexW *AddrInfo) {
    UNREFERENCED_PARAMETER(Client);
    UNREFERENCED_PARAMETER(AddrInfo);
}

_IRQL_requires_(PASSIVE_LEVEL)
static NTSTATUS WSKAPI ProviderGetNameInfo(PWSK_CLIENT Client, PSOCKADDR SockAddr, ULONG SockAddrLength,
                                           PUNICODE_STRING NodeName, PUNICODE_STRING ServiceName, ULONG Flags,
                                           PEPROCESS OwningProcess, PETHREAD OwningThread, PIRP Irp) {
    UNREFERENCED_PARAMETER(Client);
    UNREFERENCED_PARAMETER(SockAddr);
    UNREFERENCED_PARAMETER(SockAddrLength);
    UNREFERENCED_PARAMETER(NodeName);
    UNREFERENCED_PARAMETER(ServiceName);
    UNREFERENCED_PARAMETER(Flags);
    UNREFERENCED_PARAMETER(OwningProcess);
    UNREFERENCED_PARAMETER(OwningThread);
    return WorkRefuse(Irp, STATUS_NOT_IMPLEMENTED);
}

static WSK_PROVIDER_DISPATCH ProviderDispatch = {
    .Version = MAKE_WSK_VERSION(1, 0),
    .WskSocketConnect = ProviderSocketConnect,
    .WskControlClient = ProviderControlClient,
    .WskGetAddressInfo = ProviderGetAddressInfo,
    .WskFreeAddressInfo = ProviderFreeAddressInfo,
    .WskGetNameInfo = ProviderGetNameInfo,
};

_IRQL_requires_(PASSIVE_LEVEL)
__declspec(dllexport) NTSTATUS WSKAPI WskRegister(PWSK_CLIENT_NPI WskClientNpi, PWSK_REGISTRATION WskRegistration) {
    PCLIENT Client;
    NTSTATUS Status = STATUS_SUCCESS;

    if (WskClientNpi == NULL || WskClientNpi->Dispatch == NULL || WskRegistration == NULL) {
        return STATUS_INVALID_PARAMETER;
    }
    VerifierShow(__builtin_return_address(0), WskRegistration);
    Client = PoolAllocate(sizeof(*Client));
    if (Client == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    GateEnter();
    if (Clients == 0) {
        Status = WorkerStart();
    }
    if (NT_SUCCESS(Status)) {
        if (Clients++ == 0) {
            DeviceStart();
        }
    }
    GateLeave();
    if (!NT_SUCCESS(Status)) {
        PoolFree(Client);
        return Status;
    }
    Client->Dispatch = WskClientNpi->Dispatch;
    Client->Context = WskClientNpi->ClientContext;
    Client->Holders = 1;
    MemoryDetour(Client->Dispatch, FALSE);
    KeInitializeEvent(&Client->Unheld, NotificationEvent, FALSE);
    WskRegistration->ReservedRegistrationState = 1;
    WskRegistration->ReservedRegistrationContext = Client;
    return STATUS_SUCCESS;
}

/* Returns when every NPI is released and every socket closed; that is where a driver that leaks one hangs. */
_IRQL_requires_(PASSIVE_LEVEL)
__declspec(dllexport) VOID WSKAPI WskDeregister(PWSK_REGISTRATION WskRegistration) {
    PCLIENT Client = WskRegistration->ReservedRegistrationContext;

    ClientRelease(Client);
    KeWaitForSingleObject(&Client->Unheld, Executive, KernelMode, FALSE, NULL);
    WskRegistration->ReservedRegistrationState = 0;
    WskRegistration->ReservedRegistrationContext = NULL;
    MemoryDetour(Client->Dispatch, TRUE);
    PoolFree(Client);
    GateEnter();
    if (--Clients == 0) {
        DeviceStop();
        WorkerStop();
    }
    GateLeave();
}

_IRQL_requires_(PASSIVE_LEVEL)
__declspec(dllexport) NTSTATUS WSKAPI WskCaptureProviderNPI(PWSK_REGISTRATION WskRegistration, ULONG WaitTimeout,
                                                            PWSK_PROVIDER_NPI WskProviderNpi) {
    PCLIENT Client = WskRegistration->ReservedRegistrationContext;

    UNREFERENCED_PARAMETER(WaitTimeout);
    if (Client->Dispatch->Version != MAKE_WSK_VERSION(1, 0)) {
        return STATUS_NOINTERFACE;
    }
    ClientHold(Client);
    ProviderDispatch.WskSocket = ProviderSocketFunction();
    WskProviderNpi->Client = (PWSK_CLIENT)Client;
    WskProviderNpi->Dispatch = &ProviderDispatch;
    return STATUS_SUCCESS;
}

_IRQL_requires_(PASSIVE_LEVEL)
__declspec(dllexport) VOID WSKAPI WskReleaseProviderNPI(PWSK_REGISTRATION WskRegistration) {
    ClientRelease(WskRegistration->ReservedRegistrationContext);
}

_IRQL_requires_(PASSIVE_LEVEL)
__declspec(dllexport) NTSTATUS WSKAPI WskQueryProviderCharacteristics(
    PWSK_REGISTRATION WskRegistration, PWSK_PROVIDER_CHARACTERISTICS WskProviderCharacteristics) {
    UNREFERENCED_PARAMETER(WskRegistration);
    WskProviderCharacteristics->HighestVersion = MAKE_WSK_VERSION(1, 0);
    WskProviderCharacteristics->LowestVersion = MAKE_WSK_VERSION(1, 0);
    return STATUS_SUCCESS;
}

_Function_class_(DRIVER_INITIALIZE)
_IRQL_requires_(PASSIVE_LEVEL)
NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    return 1; /* a success; and TRUE, for Wine takes an image that imports ntdll.dll for a library */
}
