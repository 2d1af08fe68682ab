/* faults.h - exceptions in the driver. */
#ifndef VERIFIER_FAULTS_H
#define VERIFIER_FAULTS_H

#include "wsk_min.h"

/* Begins to handle exceptions, once for the process. */
_IRQL_requires_(PASSIVE_LEVEL)
VOID FaultsWatch(VOID);

#endif /* VERIFIER_FAULTS_H */
