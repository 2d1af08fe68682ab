/* work.c - one WSK call: its IRP, its parameters and its outcome; see work.h. */
#include "work.h"

#include "pool.h"
#include "wskprovider_abi.h"

_Use_decl_annotations_
NTSTATUS WorkCreate(WORK_KIND Kind, PSOCKET Socket, PIRP Irp, PWORK *Made) {
    PWORK Work;

    if (Irp == NULL) {
        return STATUS_INVALID_PARAMETER;
    }
    Work = PoolAllocate(sizeof(*Work));
    if (Work == NULL) {
        return WorkRefuse(Irp, STATUS_INSUFFICIENT_RESOURCES);
    }
    Work->Kind = Kind;
    Work->Socket = Socket;
    Work->Irp = Irp;
    *Made = Work;
    return STATUS_SUCCESS;
}

_Use_decl_annotations_
NTSTATUS WorkRefuse(PIRP Irp, NTSTATUS Status) {
    if (Irp == NULL) {
        return STATUS_INVALID_PARAMETER;
    }
    IoSetNextIrpStackLocation(Irp);
    Irp->IoStatus.Status = Status;
    Irp->IoStatus.Information = 0;
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
    return Status;
}

_Use_decl_annotations_
VOID WorkComplete(PWORK Work) {
    PIRP Irp = Work->Irp;
    NTSTATUS Status = Work->Status;
    ULONG_PTR Information = Work->Information;
    BOOLEAN Raised = (Work->Effects & WSKPROVIDER_RAISED) != 0;
    KIRQL OldIrql = PASSIVE_LEVEL;

    PoolFree(Work->Iov);
    PoolFree(Work->Messages);
    PoolFree(Work);
    Irp->IoStatus.Status = Status;
    Irp->IoStatus.Information = Information;
    if (Raised) {
        KeRaiseIrql(DISPATCH_LEVEL, &OldIrql);
    }
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
    if (Raised) {
        KeLowerIrql(OldIrql);
    }
}
