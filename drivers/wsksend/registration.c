/* registration.c - the driver as a client of WSK: its registration and the provider NPI that it captures. */
#include "registration.h"

#define NPI_WAIT_MS 10000 /* WSK_INFINITE_WAIT would hang the start of a system without WSK */

WSK_PROVIDER_NPI WskProvider;

static const WSK_CLIENT_DISPATCH ClientDispatch = {MAKE_WSK_VERSION(1, 0), 0, NULL};
static WSK_REGISTRATION WskRegistration;
static BOOLEAN Registered;
static BOOLEAN Captured;

_Use_decl_annotations_
NTSTATUS RegistrationBegin(VOID) {
    WSK_CLIENT_NPI Client = {NULL, &ClientDispatch};
    NTSTATUS Status = WskRegister(&Client, &WskRegistration);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Registered = TRUE;
    Status = WskCaptureProviderNPI(&WskRegistration, NPI_WAIT_MS, &WskProvider);
    Captured = NT_SUCCESS(Status);
    return Status;
}

_Use_decl_annotations_
VOID RegistrationEnd(VOID) {
    if (Captured) {
        WskReleaseProviderNPI(&WskRegistration);
        Captured = FALSE;
    }
    if (Registered) {
        WskDeregister(&WskRegistration); /* waits for sockets and for calls that have not returned */
        Registered = FALSE;
    }
}

_Use_decl_annotations_
NTSTATUS RegistrationVersions(PWSK_PROVIDER_CHARACTERISTICS Versions) {
    return WskQueryProviderCharacteristics(&WskRegistration, Versions);
}
