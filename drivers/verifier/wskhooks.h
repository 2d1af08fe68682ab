/* wskhooks.h - WSK as the driver sees it. */
#ifndef VERIFIER_WSKHOOKS_H
#define VERIFIER_WSKHOOKS_H

#include "hooks.h"
#include "wsk_min.h"

extern const HOOK WskHooks[]; /* ended by one without a name */

/* Begins with a new driver, of which nothing is known but the registration that it is making. */
_IRQL_requires_(PASSIVE_LEVEL)
VOID WskReset(_In_ PWSK_REGISTRATION Registration, _In_ ULONG_PTR Caller);

/* Reports and ends what the driver has left when its DriverUnload has returned. */
_IRQL_requires_(PASSIVE_LEVEL)
VOID WskUnloaded(VOID);

#endif /* VERIFIER_WSKHOOKS_H */
