/*
 * calls.c - one WSK call with an IRP: what is checked before WSK sees it, and, in a completion routine of the
 * verifier's own that runs before the driver's, what became of all that was handed over. Any IRQL up to
 * DISPATCH_LEVEL.
 *
 * The driver's routine is called at DISPATCH_LEVEL, which WSK may do at any time: what it must not do there shows at
 * once.
 */
#include "calls.h"

#include "blocks.h"
#include "image.h"
#include "irql.h"
#include "report.h"

#define VERIFIER_TAG 0x66697256u
#define MOST_HELD 640u /* 256 MDLs with their bytes, and a few more */

typedef struct _HELD {
    PBLOCK Block;
    ULONG Generation;
} HELD;

typedef struct _SUBMISSION {
    HANDED Handed;
    PIO_COMPLETION_ROUTINE Routine;
    PVOID Context;
    UCHAR Control;
    ULONG_PTR Caller;
    LONG Epoch;
    ULONG64 Buffer; /* hashes */
    ULONG64 Data;
    ULONG64 Address;
    ULONG64 ControlInfo;
    ULONG HeldCount;
    HELD Held[1];
} SUBMISSION, *PSUBMISSION;

volatile LONG CallsInFlight;
static volatile LONG Epoch; /* grows when a driver goes and leaves calls behind */

/* A quick hash: it must see a change, not withstand an attack. */
_IRQL_requires_max_(DISPATCH_LEVEL)
static ULONG64 Mix(ULONG64 Hash, const VOID *Data, SIZE_T Bytes) {
    const UCHAR *At = Data;
    ULONG64 Word;

    for (; Bytes >= sizeof(Word); At += sizeof(Word), Bytes -= sizeof(Word)) {
        RtlCopyMemory(&Word, At, sizeof(Word));
        Hash = ((Hash << 5) | (Hash >> 59)) ^ Word;
        Hash *= 0x9E3779B97F4A7C15ull;
    }
    for (; Bytes != 0; At++, Bytes--) {
        Hash = (Hash ^ *At) * 0x100000001B3ull;
    }
    return Hash;
}

_IRQL_requires_max_(DISPATCH_LEVEL)
static VOID Hold(PSUBMISSION Call, const VOID *Address) {
    PBLOCK Block = BlockOf((ULONG_PTR)Address);
    ULONG Index;

    if (Block == NULL || Call->HeldCount == MOST_HELD) {
        return;
    }
    for (Index = 0; Index < Call->HeldCount; Index++) {
        if (Call->Held[Index].Block == Block) {
            return;
        }
    }
    Call->Held[Call->HeldCount].Block = Block;
    Call->Held[Call->HeldCount++].Generation = Block->Generation;
    InterlockedIncrement(&Block->Busy);
}

_IRQL_requires_max_(DISPATCH_LEVEL)
static ULONG CountMdls(const HANDED *Handed) {
    const WSK_BUF_LIST *Entry;
    ULONG Count = 0;
    PMDL Mdl;

    for (Mdl = Handed->Buffer != NULL ? Handed->Buffer->Mdl : NULL; Mdl != NULL; Mdl = Mdl->Next) {
        Count++;
    }
    for (Entry = Handed->List; Entry != NULL; Entry = Entry->Next) {
        Count++;
        for (Mdl = Entry->Buffer.Mdl; Mdl != NULL; Mdl = Mdl->Next) {
            Count++;
        }
    }
    return Count;
}

/* Hashes a WSK_BUF with its MDLs, and the bytes under them; holds all of it when Held is set. */
_IRQL_requires_max_(DISPATCH_LEVEL)
static VOID Walk(PSUBMISSION Call, const WSK_BUF *Buffer, BOOLEAN Take, ULONG64 *Form, ULONG64 *Data) {
    PMDL Mdl;

    *Form = Mix(*Form, &Buffer->Mdl, sizeof(Buffer->Mdl));
    *Form = Mix(*Form, &Buffer->Offset, sizeof(Buffer->Offset));
    *Form = Mix(*Form, &Buffer->Length, sizeof(Buffer->Length));
    for (Mdl = Buffer->Mdl; Mdl != NULL; Mdl = Mdl->Next) {
        PVOID Bytes = (PUCHAR)Mdl->StartVa + Mdl->ByteOffset;

        *Form = Mix(*Form, &Mdl->Next, sizeof(Mdl->Next));
        *Form = Mix(*Form, &Bytes, sizeof(Bytes));
        *Form = Mix(*Form, &Mdl->ByteCount, sizeof(Mdl->ByteCount));
        *Data = Mix(*Data, Bytes, Mdl->ByteCount);
        if (Take) {
            Hold(Call, Mdl);
            if (Mdl->ByteCount != 0) {
                Hold(Call, Bytes);
            }
        }
    }
}

_IRQL_requires_max_(DISPATCH_LEVEL)
static VOID Hash(PSUBMISSION Call, BOOLEAN Take, ULONG64 *Form, ULONG64 *Data, ULONG64 *Address, ULONG64 *Control) {
    const HANDED *Handed = &Call->Handed;
    const WSK_BUF_LIST *Entry;

    *Form = *Data = 1;
    if (Handed->Buffer != NULL) {
        Walk(Call, Handed->Buffer, Take, Form, Data);
    }
    for (Entry = Handed->List; Entry != NULL; Entry = Entry->Next) {
        *Form = Mix(*Form, &Entry->Next, sizeof(Entry->Next));
        Walk(Call, &Entry->Buffer, Take, Form, Data);
    }
    *Address = Mix(1, Handed->Address, Handed->Address != NULL ? Handed->AddressLength : 0);
    *Control = Mix(1, Handed->Control, Handed->Control != NULL ? Handed->ControlLength : 0);
    if (Take) {
        Hold(Call, Handed->Buffer);
        Hold(Call, Handed->Address);
        Hold(Call, Handed->Control);
        for (Entry = Handed->List; Entry != NULL; Entry = Entry->Next) {
            Hold(Call, Entry);
        }
    }
}

/* Gives back what was held. FALSE: some of it was freed, which was told then; it must not be read any more. */
_IRQL_requires_max_(DISPATCH_LEVEL)
static BOOLEAN Release(PSUBMISSION Call) {
    BOOLEAN Whole = TRUE;
    ULONG Index;

    for (Index = 0; Index < Call->HeldCount; Index++) {
        PBLOCK Block = Call->Held[Index].Block;

        if (Block->Generation == Call->Held[Index].Generation) {
            InterlockedDecrement(&Block->Busy);
            Whole &= Block->State == BlockLive;
        } else {
            Whole = FALSE;
        }
    }
    return Whole;
}

_IRQL_requires_max_(DISPATCH_LEVEL)
static VOID Compare(PSUBMISSION Call) {
    ULONG64 Form, Data, Address, Control;

    Hash(Call, FALSE, &Form, &Data, &Address, &Control);
    if (Form != Call->Buffer) {
        Report("wskbuf-changed", Call->Caller, "WSK_BUF or an MDL of it changed before the IRP completed");
    }
    if (Form == Call->Buffer && Data != Call->Data) {
        Report("buffer-changed", Call->Caller, "bytes of the buffer changed before the IRP completed");
    }
    if (Address != Call->Address) {
        Report("address-changed", Call->Caller, "the address changed before the IRP completed");
    }
    if (Control != Call->ControlInfo) {
        Report("control-changed", Call->Caller, "control information or input changed before the IRP completed");
    }
}

/* A routine that the IRP's end must reach, whatever it is (IoCompleteRequest's own rule). */
_IRQL_requires_max_(DISPATCH_LEVEL)
static BOOLEAN Reached(PIRP Irp, UCHAR Control) {
    if (Irp->Cancel && (Control & SL_INVOKE_ON_CANCEL) != 0) {
        return TRUE;
    }
    return (Control & (NT_SUCCESS(Irp->IoStatus.Status) ? SL_INVOKE_ON_SUCCESS : SL_INVOKE_ON_ERROR)) != 0;
}

_IRQL_requires_max_(DISPATCH_LEVEL)
static NTSTATUS NTAPI Completed(PDEVICE_OBJECT DeviceObject, PIRP Irp, PVOID Context) {
    PSUBMISSION Call = Context;
    PBLOCK Block = BlockOf((ULONG_PTR)Irp);
    PTHREAD_STATE Thread = ThisThread();
    KIRQL Before = Thread->Irql;
    BOOLEAN Send = Call->Handed.Kind == CallSend;
    NTSTATUS Status = STATUS_MORE_PROCESSING_REQUIRED;

    if (Block != NULL) {
        Block->IrpState = IrpCompleted;
    }
    if (Call->Epoch != Epoch) {
        ExFreePoolWithTag(Call, VERIFIER_TAG); /* the driver's code is gone */
        return STATUS_MORE_PROCESSING_REQUIRED;
    }
    if (Release(Call) && Send) {
        Compare(Call);
    }
    if (Call->Handed.Kind == CallOpen && NT_SUCCESS(Irp->IoStatus.Status)) {
        Irp->IoStatus.Information =
            (ULONG_PTR)SocketAdopt((PWSK_SOCKET)Irp->IoStatus.Information, Call->Caller);
    }
    if (Call->Handed.Kind == CallClose) {
        SocketClosed(Call->Handed.Socket);
    }
    if (Call->Routine != NULL && Reached(Irp, Call->Control)) {
        Thread->InCompletion++;
        Thread->Irql = DISPATCH_LEVEL;
        if (InPaged((ULONG_PTR)Call->Routine)) {
            Report("paged-code", (ULONG_PTR)Call->Routine, "a completion routine in a paged section");
        }
        Status = Call->Routine(DeviceObject, Irp, Call->Context);
        Thread->InCompletion--;
        if (Thread->Irql != DISPATCH_LEVEL || Thread->Mutexes != 0) {
            Report("irql-leaked", (ULONG_PTR)Call->Routine, "a completion routine returned at IRQL %d, entered at 2",
                   (ULONG64)Thread->Irql);
            Thread->Mutexes = 0;
        }
        Thread->Irql = Before;
    }
    InterlockedDecrement(&CallsInFlight);
    if (Status != STATUS_MORE_PROCESSING_REQUIRED) {
        Report("completion-routine-status", (ULONG_PTR)Call->Routine,
               "returned %x for an IRP of the driver's own, not STATUS_MORE_PROCESSING_REQUIRED",
                    (ULONG64)(ULONG)Status);
    }
    ExFreePoolWithTag(Call, VERIFIER_TAG);
    return STATUS_MORE_PROCESSING_REQUIRED;
}

/* Completes an IRP that WSK must not see, without calling anybody but its routine. */
_Use_decl_annotations_
NTSTATUS CallRefuse(PIRP Irp, NTSTATUS Status) {
    if (Irp != NULL) {
        IoSetNextIrpStackLocation(Irp);
        Irp->IoStatus.Status = Status;
        Irp->IoStatus.Information = 0;
        IoCompleteRequest(Irp, IO_NO_INCREMENT);
    }
    return Status;
}

/* Whether a WSK_BUF lies within its MDLs; Windows stops the system over one that does not. */
_IRQL_requires_max_(DISPATCH_LEVEL)
static BOOLEAN Within(const WSK_BUF *Buffer) {
    ULONG64 Bytes = 0;
    PMDL Mdl;

    for (Mdl = Buffer->Mdl; Mdl != NULL; Mdl = Mdl->Next) {
        Bytes += Mdl->ByteCount;
    }
    return Buffer->Offset + (ULONG64)Buffer->Length <= Bytes &&
           (Buffer->Offset == 0 || (Buffer->Mdl != NULL && Buffer->Offset <= Buffer->Mdl->ByteCount));
}

_IRQL_requires_max_(DISPATCH_LEVEL)
static BOOLEAN CheckBuffers(const HANDED *Handed, const char *Function, ULONG_PTR Caller) {
    const WSK_BUF_LIST *Entry;
    BOOLEAN All = Handed->Buffer == NULL || Within(Handed->Buffer);

    for (Entry = Handed->List; Entry != NULL; Entry = Entry->Next) {
        All &= Within(&Entry->Buffer);
    }
    if (!All) {
        Report("wskbuf-bounds", Caller, "%s with a WSK_BUF that reaches beyond its MDLs", Function);
    }
    return All;
}

/* FALSE: the IRP cannot be given to WSK, or to anybody. */
_IRQL_requires_max_(DISPATCH_LEVEL)
static BOOLEAN CheckIrp(PIRP Irp, PBLOCK Block, const char *Function, ULONG_PTR Caller) {
    if (Block != NULL && Block->State == BlockFreed) {
        Report("use-after-free", Caller, "%s with an IRP freed at %p", Function, (ULONG64)Block->FreedAt);
        return FALSE;
    }
    if (Block != NULL && Block->IrpState == IrpSubmitted) {
        Report("irp-in-use", Caller, "%s with an IRP that is with WSK already", Function);
        return FALSE;
    }
    if (Block != NULL && Block->IrpState == IrpCompleted) {
        Report("irp-not-reused", Caller, "%s with a completed IRP, without IoReuseIrp", Function);
    }
    if (Irp->CurrentLocation <= 1) {
        Report("irp-no-stack-location", Caller, "%s with an IRP that has no stack location left", Function);
        return FALSE;
    }
    return TRUE;
}

/*
 * Checks a call and puts the verifier's completion routine before the driver's. FALSE: WSK must not be called; the
 * finding has been told. A NULL IRP is WSK's to refuse.
 */
_Use_decl_annotations_
BOOLEAN CallSubmit(PIRP Irp, const HANDED *Handed, const char *Function, ULONG_PTR Caller) {
    const UCHAR All = SL_INVOKE_ON_SUCCESS | SL_INVOKE_ON_ERROR | SL_INVOKE_ON_CANCEL;
    PBLOCK Block = BlockOf((ULONG_PTR)Irp);
    ULONG Room = 2 * CountMdls(Handed) + 4;
    PIO_STACK_LOCATION Stack;
    PSUBMISSION Call;

    NeedIrql(DISPATCH_LEVEL, Function, Caller);
    if (ThisThread()->InCompletion != 0 && Handed->Kind != CallClose) {
        Report("wsk-call-in-completion-routine", Caller, "%s within a completion routine", Function);
    }
    if (Irp == NULL) {
        return TRUE;
    }
    if (!CheckIrp(Irp, Block, Function, Caller)) {
        return FALSE;
    }
    if (!CheckBuffers(Handed, Function, Caller)) {
        CallRefuse(Irp, STATUS_INVALID_PARAMETER);
        return FALSE;
    }
    Stack = IoGetNextIrpStackLocation(Irp);
    if (Stack->CompletionRoutine == NULL || Stack->CompletionRoutine == Completed) {
        Report("completion-routine-missing", Caller, "%s with an IRP without a completion routine", Function);
    } else if ((Stack->Control & All) != All) {
        Report("completion-not-always", Caller, "%s: the routine is not invoked on %s", Function,
               (Stack->Control & SL_INVOKE_ON_SUCCESS) == 0 ? "success"
               : (Stack->Control & SL_INVOKE_ON_ERROR) == 0 ? "error"
                                                            : "cancel");
    }
    Call = ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(*Call) + Room * sizeof(HELD), VERIFIER_TAG);
    if (Call == NULL) {
        return TRUE; /* unwatched */
    }
    RtlZeroMemory(Call, sizeof(*Call));
    Call->Handed = *Handed;
    Call->Caller = Caller;
    Call->Epoch = Epoch;
    Call->Routine = Stack->CompletionRoutine == Completed ? NULL : Stack->CompletionRoutine;
    Call->Context = Stack->Context;
    Call->Control = Stack->Control;
    if (Room <= MOST_HELD) {
        Hash(Call, TRUE, &Call->Buffer, &Call->Data, &Call->Address, &Call->ControlInfo);
    }
    if (Block != NULL) {
        Block->IrpState = IrpSubmitted;
    }
    InterlockedIncrement(&CallsInFlight);
    IoSetCompletionRoutine(Irp, Completed, Call, TRUE, TRUE, TRUE);
    return TRUE;
}

/* The driver is going: what completes later must not call it. */
_Use_decl_annotations_
VOID CallsOrphan(VOID) {
    InterlockedIncrement(&Epoch);
    CallsInFlight = 0;
}
