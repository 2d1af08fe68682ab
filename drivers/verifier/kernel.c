/*
 * kernel.c - what the driver calls in place of ntoskrnl's functions: each checks, and then does what the function
 * does. IRQLs are those of the functions' WDK pages.
 */
#include "kernel.h"

#include "blocks.h"
#include "calls.h"
#include "image.h"
#include "irql.h"
#include "report.h"
#include "wskhooks.h"

static PDRIVER_OBJECT Object;
static DRIVER_DISPATCH *Dispatch[IRP_MJ_MAXIMUM_FUNCTION + 1];
static PDRIVER_UNLOAD Unload;
static LONG Devices, Links;
static ULONG_PTR DeviceAt, LinkAt;

/* Pool. */

_IRQL_requires_max_(DISPATCH_LEVEL)
static PVOID PoolAllocateFor(POOL_TYPE Type, SIZE_T Bytes, ULONG Tag, ULONG_PTR Caller, const char *Function) {
    BOOLEAN Paged = (Type & 1) == PagedPool;
    PBLOCK Block;
    PVOID Memory;

    NeedIrql(Paged ? APC_LEVEL : DISPATCH_LEVEL, Function, Caller);
    Memory = BlockAllocate(BlockPool, Bytes, Tag, Caller, &Block);
    if (Memory != NULL) {
        Block->Paged = Paged;
        return Memory;
    }
    return ExAllocatePoolWithTag(Type, Bytes, Tag);
}

_IRQL_requires_max_(DISPATCH_LEVEL)
static PVOID NTAPI HookAllocatePoolWithTag(POOL_TYPE Type, SIZE_T Bytes, ULONG Tag) {
    return PoolAllocateFor(Type, Bytes, Tag, CALLER(), "ExAllocatePoolWithTag");
}

_IRQL_requires_max_(DISPATCH_LEVEL)
static PVOID NTAPI HookAllocatePool(POOL_TYPE Type, SIZE_T Bytes) {
    return PoolAllocateFor(Type, Bytes, 0, CALLER(), "ExAllocatePool");
}

_IRQL_requires_max_(DISPATCH_LEVEL)
static VOID PoolFreeFor(PVOID Memory, ULONG Tag, BOOLEAN HasTag, ULONG_PTR Caller) {
    PBLOCK Block = BlockOf((ULONG_PTR)Memory);

    NeedIrql(DISPATCH_LEVEL, "ExFreePool", Caller);
    if (Block == NULL) {
        ExFreePoolWithTag(Memory, Tag); /* from before the verifier came, or too large for it */
        return;
    }
    if (HasTag && Tag != 0 && Block->State == BlockLive && Block->Tag != 0 && Block->Tag != Tag) {
        Report("wrong-tag", Caller, "freed with tag %x, allocated with %x at %p", (ULONG64)Tag, (ULONG64)Block->Tag,
               (ULONG64)Block->AllocatedAt);
    }
    BlockFree(Block, Memory, BlockPool, Caller);
}

_IRQL_requires_max_(DISPATCH_LEVEL)
static VOID NTAPI HookFreePoolWithTag(PVOID Memory, ULONG Tag) {
    PoolFreeFor(Memory, Tag, TRUE, CALLER());
}

_IRQL_requires_max_(DISPATCH_LEVEL)
static VOID NTAPI HookFreePool(PVOID Memory) {
    PoolFreeFor(Memory, 0, FALSE, CALLER());
}

/* IRPs and MDLs. */

_IRQL_requires_max_(DISPATCH_LEVEL)
static PIRP NTAPI HookAllocateIrp(CCHAR StackSize, BOOLEAN ChargeQuota) {
    ULONG_PTR Caller = CALLER();
    CCHAR Size = StackSize < 1 ? 1 : StackSize;
    PIRP Irp;

    NeedIrql(DISPATCH_LEVEL, "IoAllocateIrp", Caller);
    if (StackSize < 1) {
        Report("irp-no-stack-location", Caller, "IoAllocateIrp(%d): WSK needs one stack location", (ULONG64)StackSize);
    }
    Irp = BlockAllocate(BlockIrp, IoSizeOfIrp(Size), 0, Caller, NULL);
    if (Irp == NULL) {
        return IoAllocateIrp(Size, ChargeQuota);
    }
    IoInitializeIrp(Irp, IoSizeOfIrp(Size), Size);
    return Irp;
}

_IRQL_requires_max_(DISPATCH_LEVEL)
static VOID NTAPI HookFreeIrp(PIRP Irp) {
    ULONG_PTR Caller = CALLER();
    PBLOCK Block = BlockOf((ULONG_PTR)Irp);

    NeedIrql(DISPATCH_LEVEL, "IoFreeIrp", Caller);
    if (Block == NULL) {
        IoFreeIrp(Irp);
        return;
    }
    if (Block->State == BlockLive && Block->IrpState == IrpSubmitted) {
        Report("irp-freed-in-flight", Caller, "IRP of %p is with WSK", (ULONG64)Block->AllocatedAt);
        return; /* WSK still completes it; the leak is told at unload */
    }
    BlockFree(Block, Irp, BlockIrp, Caller);
}

_IRQL_requires_max_(DISPATCH_LEVEL)
static VOID NTAPI HookReuseIrp(PIRP Irp, NTSTATUS Status) {
    ULONG_PTR Caller = CALLER();
    PBLOCK Block = BlockOf((ULONG_PTR)Irp);

    NeedIrql(DISPATCH_LEVEL, "IoReuseIrp", Caller);
    if (Block != NULL && Block->State == BlockFreed) {
        Report("use-after-free", Caller, "IoReuseIrp of an IRP freed at %p", (ULONG64)Block->FreedAt);
        return;
    }
    if (Block != NULL && Block->IrpState == IrpSubmitted) {
        Report("irp-reused-in-flight", Caller, "IoReuseIrp of an IRP that is with WSK");
        return;
    }
    IoReuseIrp(Irp, Status);
    if (Block != NULL) {
        Block->IrpState = IrpFresh;
    }
}

_IRQL_requires_max_(DISPATCH_LEVEL)
static BOOLEAN NTAPI HookCancelIrp(PIRP Irp) {
    ULONG_PTR Caller = CALLER();
    PBLOCK Block = BlockOf((ULONG_PTR)Irp);

    NeedIrql(DISPATCH_LEVEL, "IoCancelIrp", Caller);
    if (Block != NULL && Block->State == BlockFreed) {
        Report("use-after-free", Caller, "IoCancelIrp of an IRP freed at %p", (ULONG64)Block->FreedAt);
        return FALSE;
    }
    return IoCancelIrp(Irp);
}

_IRQL_requires_max_(DISPATCH_LEVEL)
static PMDL NTAPI HookAllocateMdl(PVOID Address, ULONG Length, BOOLEAN Secondary, BOOLEAN ChargeQuota, PIRP Irp) {
    ULONG_PTR Caller = CALLER();
    SIZE_T Bytes = sizeof(MDL) + (((ULONG_PTR)Address & 0xFFF) + Length + 0xFFF) / PAGE_SIZE * sizeof(PFN_NUMBER);
    PMDL Mdl = NULL;

    NeedIrql(DISPATCH_LEVEL, "IoAllocateMdl", Caller);
    if (Irp == NULL) {
        Mdl = BlockAllocate(BlockMdl, Bytes, 0, Caller, NULL);
    }
    if (Mdl == NULL) {
        return IoAllocateMdl(Address, Length, Secondary, ChargeQuota, Irp);
    }
    RtlZeroMemory(Mdl, Bytes);
    Mdl->Size = (CSHORT)Bytes;
    Mdl->StartVa = (PVOID)((ULONG_PTR)Address & ~(ULONG_PTR)0xFFF);
    Mdl->ByteOffset = (ULONG)((ULONG_PTR)Address & 0xFFF);
    Mdl->ByteCount = Length;
    return Mdl;
}

_IRQL_requires_max_(DISPATCH_LEVEL)
static VOID NTAPI HookFreeMdl(PMDL Mdl) {
    ULONG_PTR Caller = CALLER();
    PBLOCK Block = BlockOf((ULONG_PTR)Mdl);

    NeedIrql(DISPATCH_LEVEL, "IoFreeMdl", Caller);
    if (Block == NULL) {
        IoFreeMdl(Mdl);
        return;
    }
    if (Block->State == BlockLive && Block->Kind == BlockMdl && (Mdl->MdlFlags & MDL_PAGES_LOCKED) != 0) {
        Report("mdl-freed-locked", Caller, "IoFreeMdl of an MDL whose pages are locked");
    }
    BlockFree(Block, Mdl, BlockMdl, Caller);
}

_IRQL_requires_max_(DISPATCH_LEVEL)
static VOID NTAPI HookBuildMdl(PMDL Mdl) {
    ULONG_PTR Caller = CALLER();

    NeedIrql(DISPATCH_LEVEL, "MmBuildMdlForNonPagedPool", Caller);
    MmBuildMdlForNonPagedPool(Mdl); /* does nothing in Wine */
    Mdl->MdlFlags |= MDL_SOURCE_IS_NONPAGED_POOL;
}

_IRQL_requires_max_(DISPATCH_LEVEL)
static VOID NTAPI HookLockPages(PMDL Mdl, KPROCESSOR_MODE Mode, LOCK_OPERATION Operation) {
    ULONG_PTR Caller = CALLER();

    NeedIrql(APC_LEVEL, "MmProbeAndLockPages", Caller);
    UNREFERENCED_PARAMETER(Mode);
    UNREFERENCED_PARAMETER(Operation);
    if ((Mdl->MdlFlags & (MDL_SOURCE_IS_NONPAGED_POOL | MDL_PAGES_LOCKED)) != 0) {
        Report("mdl-locked-twice", Caller, "MmProbeAndLockPages of an MDL that is locked or over nonpaged pool");
    }
    Mdl->MdlFlags |= MDL_PAGES_LOCKED;
}

_IRQL_requires_max_(DISPATCH_LEVEL)
static VOID NTAPI HookUnlockPages(PMDL Mdl) {
    ULONG_PTR Caller = CALLER();

    NeedIrql(DISPATCH_LEVEL, "MmUnlockPages", Caller);
    if ((Mdl->MdlFlags & MDL_PAGES_LOCKED) == 0) {
        Report("mdl-not-locked", Caller, "MmUnlockPages of an MDL whose pages were not locked");
    }
    Mdl->MdlFlags &= (CSHORT)~MDL_PAGES_LOCKED;
}

/* Events and waiting. */

_IRQL_requires_max_(DISPATCH_LEVEL)
static VOID NTAPI HookInitializeEvent(PRKEVENT Event, EVENT_TYPE Type, BOOLEAN State) {
    PBLOCK Block = BlockOf((ULONG_PTR)Event);

    if (Block != NULL) {
        Block->HasEvent = TRUE;
    }
    KeInitializeEvent(Event, Type, State);
}

_IRQL_requires_max_(DISPATCH_LEVEL)
static VOID CheckEvent(PVOID Event, const char *Function, ULONG_PTR Caller) {
    PBLOCK Block = BlockOf((ULONG_PTR)Event);

    if (Block != NULL && Block->State == BlockLive && !Block->HasEvent) {
        Report("event-not-initialized", Caller, "%s on memory of %p", Function, (ULONG64)Block->AllocatedAt);
    }
}

_IRQL_requires_max_(DISPATCH_LEVEL)
static LONG NTAPI HookSetEvent(PRKEVENT Event, KPRIORITY Increment, BOOLEAN Wait) {
    ULONG_PTR Caller = CALLER();

    NeedIrql(Wait ? APC_LEVEL : DISPATCH_LEVEL, "KeSetEvent", Caller);
    CheckEvent(Event, "KeSetEvent", Caller);
    return KeSetEvent(Event, Increment, Wait);
}

_IRQL_requires_max_(DISPATCH_LEVEL)
static VOID CheckWait(const char *Function, const LARGE_INTEGER *Timeout, ULONG_PTR Caller) {
    PTHREAD_STATE Thread = ThisThread();
    BOOLEAN Waits = Timeout == NULL || Timeout->QuadPart != 0;

    if (Waits && Thread->InCompletion != 0) {
        Report("wait-in-completion-routine", Caller, "%s within a completion routine", Function);
    } else if (Waits && Thread->Irql > APC_LEVEL) {
        Report("wait-at-dispatch", Caller, "%s waits at DISPATCH_LEVEL or above", Function);
    } else {
        NeedIrql(DISPATCH_LEVEL, Function, Caller);
    }
}

_IRQL_requires_max_(DISPATCH_LEVEL)
static NTSTATUS NTAPI HookWaitForSingleObject(PVOID Waited, KWAIT_REASON Reason, KPROCESSOR_MODE Mode,
                                              BOOLEAN Alertable, PLARGE_INTEGER Timeout) {
    ULONG_PTR Caller = CALLER();

    CheckWait("KeWaitForSingleObject", Timeout, Caller);
    CheckEvent(Waited, "KeWaitForSingleObject", Caller);
    return KeWaitForSingleObject(Waited, Reason, Mode, Alertable, Timeout);
}

_IRQL_requires_max_(DISPATCH_LEVEL)
static NTSTATUS NTAPI HookDelayExecutionThread(KPROCESSOR_MODE Mode, BOOLEAN Alertable, PLARGE_INTEGER Interval) {
    PTHREAD_STATE Thread = ThisThread();
    ULONG_PTR Caller = CALLER();

    if (Thread->InCompletion != 0) {
        Report("wait-in-completion-routine", Caller, "KeDelayExecutionThread within a completion routine");
    } else if (Thread->Irql > APC_LEVEL) {
        Report("wait-at-dispatch", Caller, "KeDelayExecutionThread at DISPATCH_LEVEL or above");
    }
    return KeDelayExecutionThread(Mode, Alertable, Interval);
}

_IRQL_requires_max_(DISPATCH_LEVEL)
static VOID FASTCALL HookAcquireFastMutex(PFAST_MUTEX Mutex) {
    PTHREAD_STATE Thread = ThisThread();
    ULONG_PTR Caller = CALLER();

    NeedIrql(APC_LEVEL, "ExAcquireFastMutex", Caller);
    ExAcquireFastMutex(Mutex);
    Thread->MutexOld[Thread->Mutexes++ & 7] = Thread->Irql;
    if (Thread->Irql < APC_LEVEL) {
        Thread->Irql = APC_LEVEL;
    }
}

_IRQL_requires_max_(DISPATCH_LEVEL)
static VOID FASTCALL HookReleaseFastMutex(PFAST_MUTEX Mutex) {
    PTHREAD_STATE Thread = ThisThread();
    ULONG_PTR Caller = CALLER();

    if (Thread->Mutexes == 0) {
        Report("mutex-not-held", Caller, "ExReleaseFastMutex by a thread that holds none");
    } else {
        Thread->Irql = Thread->MutexOld[--Thread->Mutexes & 7];
    }
    ExReleaseFastMutex(Mutex);
}

/* IRQL and spin locks. */

_IRQL_requires_max_(DISPATCH_LEVEL)
static KIRQL NTAPI HookRaiseIrql(KIRQL Irql) {
    PTHREAD_STATE Thread = ThisThread();
    KIRQL Old = Thread->Irql;

    if (Irql < Old) {
        Report("irql-wrong-way", CALLER(), "KeRaiseIrql to %d from %d", (ULONG64)Irql, (ULONG64)Old);
    }
    Thread->Irql = Irql;
    return Old;
}

_IRQL_requires_max_(DISPATCH_LEVEL)
static VOID NTAPI HookLowerIrql(KIRQL Irql) {
    PTHREAD_STATE Thread = ThisThread();

    if (Irql > Thread->Irql) {
        Report("irql-wrong-way", CALLER(), "KeLowerIrql to %d from %d", (ULONG64)Irql, (ULONG64)Thread->Irql);
    }
    Thread->Irql = Irql;
}

_IRQL_requires_max_(DISPATCH_LEVEL)
static KIRQL NTAPI HookGetCurrentIrql(VOID) {
    return ThisThread()->Irql;
}

_IRQL_requires_max_(DISPATCH_LEVEL)
static KIRQL NTAPI HookAcquireSpinLock(PKSPIN_LOCK Lock) {
    PTHREAD_STATE Thread = ThisThread();
    KIRQL Old = Thread->Irql;

    NeedIrql(DISPATCH_LEVEL, "KeAcquireSpinLock", CALLER());
    KeAcquireSpinLockAtDpcLevel(Lock);
    Thread->Irql = DISPATCH_LEVEL;
    return Old;
}

_IRQL_requires_max_(DISPATCH_LEVEL)
static VOID NTAPI HookReleaseSpinLock(PKSPIN_LOCK Lock, KIRQL Irql) {
    KeReleaseSpinLockFromDpcLevel(Lock);
    ThisThread()->Irql = Irql;
}

/* The driver object: what the system calls in the driver. */

_IRQL_requires_max_(DISPATCH_LEVEL)
static VOID CheckReturn(PTHREAD_STATE Thread, KIRQL Before, const char *Routine, ULONG_PTR Address) {
    if (Thread->Irql != Before || Thread->Mutexes != 0) {
        Report("irql-leaked", Address, "%s returned at IRQL %d, entered at %d", Routine, (ULONG64)Thread->Irql,
               (ULONG64)Before);
        Thread->Irql = Before;
        Thread->Mutexes = 0;
    }
}

_IRQL_requires_max_(DISPATCH_LEVEL)
static VOID NTAPI VerifierUnload(PDRIVER_OBJECT DriverObject) {
    PTHREAD_STATE Thread = ThisThread();
    ULONG_PTR Place = (ULONG_PTR)Unload;

    Thread->Irql = PASSIVE_LEVEL;
    Unload(DriverObject);
    CheckReturn(Thread, PASSIVE_LEVEL, "DriverUnload", Place);
    if (CallsInFlight != 0) {
        Report("unload-in-flight", Place, "%d IRPs with WSK at the end of DriverUnload", (ULONG64)CallsInFlight);
        CallsOrphan();
    }
    WskUnloaded();
    if (Devices > 0) {
        Report("device-leak", DeviceAt, "%d devices not deleted at unload", (ULONG64)Devices);
    }
    if (Links > 0) {
        Report("link-leak", LinkAt, "%d symbolic links not deleted at unload", (ULONG64)Links);
    }
    BlocksLeaked(TRUE);
    Devices = Links = 0;
    Object = NULL;
    Report("detached", 0, "the driver unloaded");
    Driver.Attached = FALSE;
}

_IRQL_requires_max_(DISPATCH_LEVEL)
static NTSTATUS NTAPI VerifierDispatch(PDEVICE_OBJECT DeviceObject, PIRP Irp) {
    UCHAR Major = IoGetCurrentIrpStackLocation(Irp)->MajorFunction;
    PTHREAD_STATE Thread = ThisThread();
    KIRQL Before = Thread->Irql;
    NTSTATUS Status;

    BlocksRequest();
    Status = Dispatch[Major](DeviceObject, Irp);

    CheckReturn(Thread, Before, "a dispatch routine", (ULONG_PTR)Dispatch[Major]);
    return Status;
}

_IRQL_requires_max_(DISPATCH_LEVEL)
static VOID WrapObject(PDRIVER_OBJECT DriverObject) {
    ULONG Major;

    Object = DriverObject;
    for (Major = 0; Major <= IRP_MJ_MAXIMUM_FUNCTION; Major++) {
        if (InDriver((ULONG_PTR)DriverObject->MajorFunction[Major])) {
            Dispatch[Major] = DriverObject->MajorFunction[Major];
            DriverObject->MajorFunction[Major] = VerifierDispatch;
        }
    }
    if (InDriver((ULONG_PTR)DriverObject->DriverUnload)) {
        Unload = DriverObject->DriverUnload;
        DriverObject->DriverUnload = VerifierUnload;
    }
}

_IRQL_requires_max_(DISPATCH_LEVEL)
static NTSTATUS NTAPI HookCreateDevice(PDRIVER_OBJECT DriverObject, ULONG Extension, PUNICODE_STRING Name,
                                       DEVICE_TYPE Type, ULONG Characteristics, BOOLEAN Exclusive,
                                       PDEVICE_OBJECT *Made) {
    ULONG_PTR Caller = CALLER();
    NTSTATUS Status;

    NeedIrql(APC_LEVEL, "IoCreateDevice", Caller);
    Status = IoCreateDevice(DriverObject, Extension, Name, Type, Characteristics, Exclusive, Made);
    if (NT_SUCCESS(Status)) {
        InterlockedIncrement(&Devices);
        DeviceAt = Caller;
        WrapObject(DriverObject);
    }
    return Status;
}

_IRQL_requires_max_(DISPATCH_LEVEL)
static VOID NTAPI HookDeleteDevice(PDEVICE_OBJECT DeviceObject) {
    NeedIrql(APC_LEVEL, "IoDeleteDevice", CALLER());
    if (InterlockedDecrement(&Devices) < 0) {
        Report("double-free", CALLER(), "IoDeleteDevice more often than IoCreateDevice");
        return;
    }
    IoDeleteDevice(DeviceObject);
}

_IRQL_requires_max_(DISPATCH_LEVEL)
static NTSTATUS NTAPI HookCreateLink(PUNICODE_STRING Name, PUNICODE_STRING DeviceName) {
    ULONG_PTR Caller = CALLER();
    NTSTATUS Status;

    NeedIrql(PASSIVE_LEVEL, "IoCreateSymbolicLink", Caller);
    Status = IoCreateSymbolicLink(Name, DeviceName);
    if (NT_SUCCESS(Status)) {
        InterlockedIncrement(&Links);
        LinkAt = Caller;
    }
    return Status;
}

_IRQL_requires_max_(DISPATCH_LEVEL)
static NTSTATUS NTAPI HookDeleteLink(PUNICODE_STRING Name) {
    NTSTATUS Status;

    NeedIrql(PASSIVE_LEVEL, "IoDeleteSymbolicLink", CALLER());
    Status = IoDeleteSymbolicLink(Name);
    if (NT_SUCCESS(Status)) {
        InterlockedDecrement(&Links);
    }
    return Status;
}

const HOOK KernelHooks[] = {
    {"ExAllocatePoolWithTag", HookAllocatePoolWithTag, NULL},
    {"ExAllocatePool", HookAllocatePool, NULL},
    {"ExFreePoolWithTag", HookFreePoolWithTag, NULL},
    {"ExFreePool", HookFreePool, NULL},
    {"IoAllocateIrp", HookAllocateIrp, NULL},
    {"IoFreeIrp", HookFreeIrp, NULL},
    {"IoReuseIrp", HookReuseIrp, NULL},
    {"IoCancelIrp", HookCancelIrp, NULL},
    {"IoAllocateMdl", HookAllocateMdl, NULL},
    {"IoFreeMdl", HookFreeMdl, NULL},
    {"MmBuildMdlForNonPagedPool", HookBuildMdl, NULL},
    {"MmProbeAndLockPages", HookLockPages, NULL},
    {"MmUnlockPages", HookUnlockPages, NULL},
    {"KeInitializeEvent", HookInitializeEvent, NULL},
    {"KeSetEvent", HookSetEvent, NULL},
    {"KeWaitForSingleObject", HookWaitForSingleObject, NULL},
    {"KeDelayExecutionThread", HookDelayExecutionThread, NULL},
    {"ExAcquireFastMutex", HookAcquireFastMutex, NULL},
    {"ExReleaseFastMutex", HookReleaseFastMutex, NULL},
    {"KfRaiseIrql", HookRaiseIrql, NULL},
    {"KeLowerIrql", HookLowerIrql, NULL},
    {"KfLowerIrql", HookLowerIrql, NULL},
    {"KeGetCurrentIrql", HookGetCurrentIrql, NULL},
    {"KeAcquireSpinLockRaiseToDpc", HookAcquireSpinLock, NULL},
    {"KeReleaseSpinLock", HookReleaseSpinLock, NULL},
    {"IoCreateDevice", HookCreateDevice, NULL},
    {"IoDeleteDevice", HookDeleteDevice, NULL},
    {"IoCreateSymbolicLink", HookCreateLink, NULL},
    {"IoDeleteSymbolicLink", HookDeleteLink, NULL},
    {NULL, NULL, NULL},
};
