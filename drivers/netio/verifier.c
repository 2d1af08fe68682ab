/*
 * verifier.c - shows a driver that registers to the verifier (drivers/verifier), if its file lies in the guest.
 * PASSIVE_LEVEL.
 *
 * No file, no verifier: that is its switch.
 */
#include "verifier.h"

NTSYSAPI NTSTATUS NTAPI LdrLoadDll(PCWSTR, PULONG, PUNICODE_STRING, PVOID *);
NTSYSAPI NTSTATUS NTAPI LdrGetProcedureAddress(PVOID, PANSI_STRING, ULONG, PVOID *);

_Use_decl_annotations_
VOID VerifierShow(PVOID Caller, PWSK_REGISTRATION Registration) {
    UNICODE_STRING File = RTL_CONSTANT_STRING(L"C:\\harness\\verifier.sys");
    ANSI_STRING Name = RTL_CONSTANT_STRING("VerifierAttach");
    VOID(NTAPI * Attach)(PVOID, PWSK_REGISTRATION);
    PVOID Module;

    if (NT_SUCCESS(LdrLoadDll(NULL, NULL, &File, &Module)) &&
        NT_SUCCESS(LdrGetProcedureAddress(Module, &Name, 0, (PVOID *)&Attach))) {
        Attach(Caller, Registration);
    }
}
