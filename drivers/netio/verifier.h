/* verifier.h - shows a driver that registers to the verifier of drivers/verifier. */
#ifndef NETIO_VERIFIER_H
#define NETIO_VERIFIER_H

#include "wsk_min.h"

/* Loads the verifier, if its file is in the guest, and names the driver to it. Caller: WskRegister's return address. */
_IRQL_requires_(PASSIVE_LEVEL)
VOID VerifierShow(_In_ PVOID Caller, _In_ PWSK_REGISTRATION Registration);

/* Has the verifier write into its log, with the number, that it watches; STATUS_NOT_FOUND when none was loaded. */
_IRQL_requires_(PASSIVE_LEVEL)
NTSTATUS VerifierAsk(_In_ ULONG64 Number);

#endif /* NETIO_VERIFIER_H */
