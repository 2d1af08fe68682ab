/* kernel.h - what the driver calls in place of ntoskrnl's functions. */
#ifndef VERIFIER_KERNEL_H
#define VERIFIER_KERNEL_H

#include "hooks.h"

extern const HOOK KernelHooks[]; /* ended by one without a name */

#endif /* VERIFIER_KERNEL_H */
