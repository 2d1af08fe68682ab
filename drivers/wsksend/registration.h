/* registration.h - the driver as a client of WSK: its registration and the provider NPI that it captures. */
#ifndef WSKSEND_REGISTRATION_H
#define WSKSEND_REGISTRATION_H

#include "wsk_min.h"

/* The captured NPI. Valid between a successful RegistrationBegin and RegistrationEnd. */
extern WSK_PROVIDER_NPI WskProvider;

/* Registers with WSK and captures the provider NPI. After a failure the caller must call RegistrationEnd, too. */
_IRQL_requires_(PASSIVE_LEVEL)
_Must_inspect_result_
NTSTATUS RegistrationBegin(VOID);

/* Releases the NPI and deregisters, as far as RegistrationBegin came. Waits until WSK has no call of the driver. */
_IRQL_requires_(PASSIVE_LEVEL)
VOID RegistrationEnd(VOID);

/* Asks WSK for the versions that it offers (WskQueryProviderCharacteristics). */
_IRQL_requires_(PASSIVE_LEVEL)
NTSTATUS RegistrationVersions(_Inout_ PWSK_PROVIDER_CHARACTERISTICS Versions);

#endif /* WSKSEND_REGISTRATION_H */
