/*
 * faults.c - exceptions in the driver: reads and writes of CR8 (the IRQL) are carried out, touches of freed or fenced
 * memory are told and allowed, anything else is told with its stack before the process goes the way it would have
 * gone.
 */
#include "faults.h"

#include "blocks.h"
#include "image.h"
#include "irql.h"
#include "report.h"

NTSYSAPI PVOID NTAPI RtlAddVectoredExceptionHandler(ULONG First, LONG(NTAPI *Handler)(PEXCEPTION_POINTERS));

#define GO_ON (-1)
#define SEARCH 0
#define REGISTERS 0x78 /* of CONTEXT: rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8 to r15, rip */
#define RIP 16
#define RSP 4
#define STACK_SCAN 512u
#define STACK_DEPTH 12u

/* "mov reg, cr8" and "mov cr8, reg": 44 or 45, 0F, 20 or 22, C0 + register. */
_IRQL_requires_max_(DISPATCH_LEVEL)
static BOOLEAN MoveCr8(ULONG64 *Register) {
    const UCHAR *Code = (const UCHAR *)Register[RIP];
    PTHREAD_STATE Thread;
    ULONG Number;

    if ((Code[0] != 0x44 && Code[0] != 0x45) || Code[1] != 0x0F || (Code[2] != 0x20 && Code[2] != 0x22) ||
        (Code[3] & 0xF8) != 0xC0) {
        return FALSE;
    }
    Thread = ThisThread();
    Number = (Code[3] & 7) | (Code[0] == 0x45 ? 8 : 0);
    if (Code[2] == 0x20) {
        Register[Number] = Thread->Irql;
    } else {
        Thread->Irql = (KIRQL)(Register[Number] & 15);
    }
    Register[RIP] += 4;
    return TRUE;
}

/* Return addresses into the driver that lie on the stack, nearest first. */
_IRQL_requires_max_(DISPATCH_LEVEL)
static ULONG ScanStack(const ULONG64 *Register, ULONG_PTR *Stack) {
    const ULONG_PTR *At = (const ULONG_PTR *)Register[RSP];
    ULONG_PTR Limit;
    ULONG Found = 0;
    ULONG Index;

    __asm__("movq %%gs:8, %0" : "=r"(Limit)); /* StackBase */
    for (Index = 0; Index < STACK_SCAN && (ULONG_PTR)(At + Index + 1) <= Limit && Found < STACK_DEPTH; Index++) {
        if (InDriver(At[Index])) {
            Stack[Found++] = At[Index];
        }
    }
    Stack[Found] = 0;
    return Found;
}

_IRQL_requires_max_(DISPATCH_LEVEL)
static LONG NTAPI Handle(PEXCEPTION_POINTERS Pointers) {
    const EXCEPTION_RECORD *Record = Pointers->ExceptionRecord;
    ULONG64 *Register = (ULONG64 *)((PUCHAR)Pointers->ContextRecord + REGISTERS);
    ULONG_PTR Stack[STACK_DEPTH + 1];
    BOOLEAN Own = InDriver(Register[RIP]);
    ULONG_PTR Place, Touched;
    PBLOCK Block;

    if (Own && Record->ExceptionCode == STATUS_PRIVILEGED_INSTRUCTION && MoveCr8(Register)) {
        return GO_ON;
    }
    if (Own && Record->ExceptionCode == STATUS_ACCESS_VIOLATION && MoveCr8(Register)) {
        return GO_ON; /* how Wine tells of it depends on the processor */
    }
    if (Record->ExceptionCode == STATUS_ACCESS_VIOLATION && Record->NumberParameters >= 2) {
        const char *What = Record->ExceptionInformation[0] == 1 ? "written" : "read";

        Touched = Record->ExceptionInformation[1];
        Block = BlockOf(Touched);
        if (Block != NULL && Block->State != BlockUnused) {
            ScanStack(Register, Stack);
            Place = Own ? (ULONG_PTR)Register[RIP] : Stack[0] != 0 ? Stack[0] : Block->FreedAt;
            if (Block->State == BlockFreed) {
                ReportStack("use-after-free", Place, Stack, "%s of %p %s at byte %d, freed at %p", NameOf(Block->Kind),
                            (ULONG64)Block->AllocatedAt, What, (ULONG64)(Touched - Block->Object),
                            (ULONG64)Block->FreedAt);
            } else {
                ReportStack("pool-overrun", Place, Stack, "byte %d of a block of %d bytes (%p) %s",
                            (ULONG64)(Touched - Block->Object), (ULONG64)Block->Size, (ULONG64)Block->AllocatedAt,
                            What);
            }
            return BlockExpose(Touched) ? GO_ON : SEARCH;
        }
    }
    if ((LONG)Record->ExceptionCode >= 0 || !Driver.Attached) {
        return SEARCH; /* a message, or no driver of ours */
    }
    if (((ULONG)Record->ExceptionCode >> 28) != 0xC || Record->ExceptionCode == STATUS_PRIVILEGED_INSTRUCTION) {
        return SEARCH; /* Wine carries out what it knows; a breakpoint is for a debugger */
    }
    Stack[0] = 0;
    if (Record->ExceptionCode != STATUS_STACK_OVERFLOW) {
        ScanStack(Register, Stack);
    }
    if (Own || Stack[0] != 0) {
        ReportStack("fault", Own ? (ULONG_PTR)Register[RIP] : Stack[0], Stack, "exception %x, address %x",
                    (ULONG64)(ULONG)Record->ExceptionCode,
                    Record->NumberParameters >= 2 ? (ULONG64)Record->ExceptionInformation[1] : 0);
    }
    return SEARCH;
}

/* Once for the process. */
_Use_decl_annotations_
VOID FaultsWatch(VOID) {
    static BOOLEAN Watching;

    if (!Watching) {
        Watching = TRUE;
        RtlAddVectoredExceptionHandler(1, Handle);
    }
}
