/* irql.c - Wine has no IRQL, so each thread's is kept here, as the driver raises and lowers it. Any IRQL. */
#include "irql.h"

#include "image.h"
#include "report.h"

#define THREADS 64u
#define NR_SCHED_YIELD 24

static THREAD_STATE Threads[THREADS];

_IRQL_requires_max_(DISPATCH_LEVEL)
static VOID Yield(VOID) {
    LONG64 Result;

    __asm__ volatile("syscall" : "=a"(Result) : "a"((LONG64)NR_SCHED_YIELD) : "rcx", "r11", "memory");
}

/* One processor is the rule in a guest: who waits gives it away. */
_Use_decl_annotations_
VOID LockEnter(volatile LONG *Lock) {
    while (InterlockedExchange(Lock, 1) != 0) {
        Yield();
    }
}

_Use_decl_annotations_
VOID LockLeave(volatile LONG *Lock) {
    InterlockedExchange(Lock, 0);
}

/* The calling thread's state, by the thread id in its TEB. With more than THREADS threads the last is shared. */
_Use_decl_annotations_
PTHREAD_STATE ThisThread(VOID) {
    ULONG_PTR Id;
    ULONG Index;

    __asm__("movq %%gs:0x48, %0" : "=r"(Id));
    for (Index = 0; Index < THREADS - 1; Index++) {
        PTHREAD_STATE Thread = &Threads[Index];

        if (Thread->Id == Id) {
            return Thread;
        }
        if (Thread->Id == 0 &&
            InterlockedCompareExchangePointer((PVOID volatile *)&Thread->Id, (PVOID)Id, NULL) == NULL) {
            return Thread;
        }
        if (Thread->Id == Id) {
            return Thread;
        }
    }
    return &Threads[THREADS - 1];
}

_IRQL_requires_max_(DISPATCH_LEVEL)
static const char *LevelName(KIRQL Irql) {
    return Irql == PASSIVE_LEVEL    ? "PASSIVE_LEVEL"
           : Irql == APC_LEVEL      ? "APC_LEVEL"
           : Irql == DISPATCH_LEVEL ? "DISPATCH_LEVEL"
                                    : "a device level";
}

/* Tells of a call above the IRQL that its documentation allows, and of paged code that runs at DISPATCH_LEVEL. */
_Use_decl_annotations_
VOID NeedIrql(KIRQL Highest, const char *Function, ULONG_PTR Caller) {
    KIRQL Irql = ThisThread()->Irql;

    if (Irql > Highest) {
        Report("irql-too-high", Caller, "%s at %s; at most %s", Function, LevelName(Irql), LevelName(Highest));
    }
    if (Irql >= DISPATCH_LEVEL && InPaged(Caller)) {
        Report("paged-code", Caller, "code of a paged section calls %s at %s", Function, LevelName(Irql));
    }
}
