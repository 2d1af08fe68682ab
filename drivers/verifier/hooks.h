/* hooks.h - what an import of the driver is bound to instead. */
#ifndef VERIFIER_HOOKS_H
#define VERIFIER_HOOKS_H

#include "wsk_min.h"

#define CALLER() ((ULONG_PTR)__builtin_return_address(0))

typedef struct _HOOK {
    const char *Name;
    PVOID Function;
    PVOID *Original; /* takes what the import was bound to; NULL where the verifier imports the same function */
} HOOK;

#endif /* VERIFIER_HOOKS_H */
