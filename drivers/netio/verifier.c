/*
 * verifier.c - shows a driver that registers to the verifier (drivers/verifier), if its file lies in the guest.
 * PASSIVE_LEVEL.
 *
 * No file, no verifier: that is its switch.
 */
#include "verifier.h"

NTSYSAPI NTSTATUS NTAPI LdrLoadDll(PCWSTR, PULONG, PUNICODE_STRING, PVOID *);
NTSYSAPI NTSTATUS NTAPI LdrGetProcedureAddress(PVOID, PANSI_STRING, ULONG, PVOID *);

static PVOID Verifier; /* its image, once it was loaded */

_Use_decl_annotations_
VOID VerifierShow(PVOID Caller, PWSK_REGISTRATION Registration) {
    UNICODE_STRING File = RTL_CONSTANT_STRING(L"C:\\harness\\verifier.sys");
    ANSI_STRING Name = RTL_CONSTANT_STRING("VerifierAttach");
    VOID(NTAPI * Attach)(PVOID, PWSK_REGISTRATION);

    if (NT_SUCCESS(LdrLoadDll(NULL, NULL, &File, &Verifier)) &&
        NT_SUCCESS(LdrGetProcedureAddress(Verifier, &Name, 0, (PVOID *)&Attach))) {
        Attach(Caller, Registration);
    }
}

_Use_decl_annotations_
NTSTATUS VerifierAsk(ULONG64 Number) {
    ANSI_STRING Name = RTL_CONSTANT_STRING("VerifierAnnounce");
    VOID(NTAPI * Announce)(ULONG64);

    if (Verifier == NULL || !NT_SUCCESS(LdrGetProcedureAddress(Verifier, &Name, 0, (PVOID *)&Announce))) {
        return STATUS_NOT_FOUND;
    }
    Announce(Number);
    return STATUS_SUCCESS;
}
