/* report.h - findings: lines of C:\harness\verifier.log. Codes and rules: harness/driver_verifier/rules.py. */
#ifndef VERIFIER_REPORT_H
#define VERIFIER_REPORT_H

#include "wsk_min.h"

#define VERIFIER_VERSION 2 /* of the lines; harness/driver_verifier/watching.py knows it */

/* Opens the log for appending. Without it findings go to DbgPrint only. */
_IRQL_requires_(PASSIVE_LEVEL)
VOID ReportOpen(VOID);

/* Lets lines be written again after the most that may be: somebody has read those. */
_IRQL_requires_(PASSIVE_LEVEL)
VOID ReportResume(VOID);

/*
 * Writes a finding. Address is the call in the driver's code, 0 for none. Format knows %s, %d and %x (ULONG64), and
 * %p (an address in the driver, as ULONG64).
 */
_IRQL_requires_max_(DISPATCH_LEVEL)
VOID Report(_In_z_ const char *Code, _In_ ULONG_PTR Address, _In_z_ const char *Format, ...);

/* Writes a finding with a stack: addresses in the driver, nearest first, ended by 0. */
_IRQL_requires_max_(DISPATCH_LEVEL)
VOID ReportStack(_In_z_ const char *Code, _In_ ULONG_PTR Address, _In_ const ULONG_PTR *Stack,
                 _In_z_ const char *Format, ...);

#endif /* VERIFIER_REPORT_H */
