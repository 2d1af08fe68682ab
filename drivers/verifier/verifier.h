/*
 * verifier.h - what the files of verifier.sys share: a driver verifier for the Wine guest.
 *
 * netio.sys loads this image, when it is there, at a driver's WskRegister and names the caller; the verifier then
 * rebinds the imports of the caller's image to its own functions. It needs no change in the driver. What it finds
 * goes, line by line, to C:\harness\verifier.log, which can be read while the driver hangs and after it has died, and
 * to DbgPrint. After a finding it goes on in the way that does least harm, so that one fault does not hide the next.
 *
 * Files: attach.c (image and imports), blocks.c (guarded memory), kernel.c (ntoskrnl's functions), wsk.c (WSK's),
 * calls.c (one WSK call and its IRP), irql.c (threads and their IRQL), faults.c (exceptions), report.c (findings).
 *
 * Codes and rules: harness/verifier/rules.py. An "address" below is always that of a call in the driver's code.
 */
#ifndef VERIFIER_H
#define VERIFIER_H

#include "wsk_min.h"

#define CALLER() ((ULONG_PTR)__builtin_return_address(0))
#define VERIFIER_TAG 0x66697256u

/* report.c */
VOID ReportOpen(VOID);
VOID Report(const char *Code, ULONG_PTR Address, const char *Format, ...);
VOID ReportStack(const char *Code, ULONG_PTR Address, const ULONG_PTR *Stack, const char *Format, ...);

/* attach.c */
typedef struct _IMAGE {
    ULONG_PTR Base;
    ULONG_PTR End;
    ULONG_PTR PagedStart; /* the section named PAGE..., if any */
    ULONG_PTR PagedEnd;
    BOOLEAN Attached;
} IMAGE;

extern IMAGE Driver;
BOOLEAN InDriver(ULONG_PTR Address);
BOOLEAN InPaged(ULONG_PTR Address);
ULONG Rva(ULONG_PTR Address);
const char *NameOf(ULONG Kind);

/* blocks.c: memory that faults when it is touched beyond its ends or after its end. */
typedef enum _BLOCK_KIND { BlockPool, BlockIrp, BlockMdl, BlockSocket } BLOCK_KIND;
typedef enum _BLOCK_STATE { BlockUnused, BlockLive, BlockFreed } BLOCK_STATE;
typedef enum _IRP_STATE { IrpFresh, IrpSubmitted, IrpCompleted } IRP_STATE;

typedef struct _BLOCK {
    volatile LONG State;
    ULONG Kind;
    ULONG Size;
    ULONG Tag;
    ULONG Generation;
    volatile LONG Busy; /* WSK may still read it */
    ULONG IrpState;
    ULONG Next; /* in the queue of freed blocks */
    ULONG_PTR Object;
    ULONG_PTR OpenFrom; /* first page of the slot that may be touched; 0: none */
    ULONG_PTR AllocatedAt;
    ULONG_PTR FreedAt;
    BOOLEAN HasEvent; /* KeInitializeEvent was called on something in it */
    BOOLEAN Paged;
    BOOLEAN Dead; /* freed and poisoned, not shut */
} BLOCK, *PBLOCK;

BOOLEAN BlocksInitialize(VOID);
VOID BlocksRequest(VOID);
PVOID BlockAllocate(BLOCK_KIND Kind, SIZE_T Size, ULONG Tag, ULONG_PTR Caller, PBLOCK *Made);
PBLOCK BlockOf(ULONG_PTR Address);
BOOLEAN BlockFree(PBLOCK Block, PVOID Object, BLOCK_KIND Kind, ULONG_PTR Caller);
BOOLEAN BlockExpose(ULONG_PTR Address);
VOID BlocksLeaked(BOOLEAN Tell);

/* irql.c */
typedef struct _THREAD_STATE {
    volatile ULONG_PTR Id;
    KIRQL Irql;
    UCHAR Mutexes;
    KIRQL MutexOld[8];
    LONG InCompletion;
} THREAD_STATE, *PTHREAD_STATE;

PTHREAD_STATE ThisThread(VOID);
VOID NeedIrql(KIRQL Highest, const char *Function, ULONG_PTR Caller);
VOID LockEnter(volatile LONG *Lock);
VOID LockLeave(volatile LONG *Lock);

/* faults.c */
VOID FaultsWatch(VOID);

/* kernel.c, wsk.c: what an import is bound to instead */
typedef struct _HOOK {
    const char *Name;
    PVOID Function;
    PVOID *Original; /* takes what the import was bound to; NULL where the verifier imports the same function */
} HOOK;

extern const HOOK KernelHooks[];
extern const HOOK WskHooks[];

/* wsk.c */
typedef struct _SOCKET_RECORD {
    WSK_SOCKET Wsk; /* first: what the driver sees */
    PWSK_SOCKET Provider;
    const WSK_PROVIDER_DATAGRAM_DISPATCH *Dispatch; /* the provider's */
    volatile LONG Calls; /* WSK functions that have not returned */
    volatile LONG Closing;
    ULONG_PTR OpenedAt;
    struct _SOCKET_RECORD *Next;
} SOCKET_RECORD, *PSOCKET_RECORD;

VOID WskReset(PWSK_REGISTRATION Registration, ULONG_PTR Caller);
VOID WskUnloaded(VOID);
PWSK_SOCKET SocketAdopt(PWSK_SOCKET Provider, ULONG_PTR OpenedAt);
VOID SocketClosed(PSOCKET_RECORD Socket);

/* calls.c */
typedef enum _CALL_KIND { CallOther, CallOpen, CallClose, CallSend } CALL_KIND;

typedef struct _SUBMISSION SUBMISSION, *PSUBMISSION;

/* What a call hands over and must leave alone until its IRP has completed. */
typedef struct _HANDED {
    CALL_KIND Kind;
    PSOCKET_RECORD Socket;
    const WSK_BUF *Buffer;
    const WSK_BUF_LIST *List;
    const VOID *Address;
    SIZE_T AddressLength;
    const VOID *Control;
    SIZE_T ControlLength;
} HANDED;

BOOLEAN CallSubmit(PIRP Irp, const HANDED *Handed, const char *Function, ULONG_PTR Caller);
NTSTATUS CallRefuse(PIRP Irp, NTSTATUS Status);
extern volatile LONG CallsInFlight;
VOID CallsOrphan(VOID);

#endif /* VERIFIER_H */
