/*
 * worker.c - the provider's one thread: carries out WORKs in the order of the calls and waits, in poll(), for more of
 * them and for datagrams that somebody wants to receive. It completes every IRP, unless the call is refused outright or
 * a rule of force.c lets the calling thread complete it.
 */
#include <ntifs.h>

#include "worker.h"

#include "datagrams.h"
#include "force.h"
#include "linux.h"
#include "options.h"
#include "pool.h"
#include "queue.h"
#include "sockets.h"
#include "work.h"

static HANDLE Thread;

/* TRUE: a rule of force.c stands in for the call, which must not be carried out. */
_IRQL_requires_(PASSIVE_LEVEL)
static BOOLEAN Forced(_In_ PWORK Work) {
    switch (ForceBegin(Work)) {
    case ForceKept:
        return TRUE;
    case ForceDead:
        if (!Work->Socket->Dead) {
            Work->Socket->Dead = TRUE;
            ReceiveEndAll(Work->Socket, STATUS_FILE_FORCED_CLOSED);
        }
        WorkFinish(Work, STATUS_FILE_FORCED_CLOSED, 0);
        return TRUE;
    case ForceFail:
        if (Work->Kind == WorkOpen) {
            OpenAbandon(Work->Socket);
            Work->Socket = NULL;
        }
        WorkFinish(Work, Work->ForcedStatus, 0);
        return TRUE;
    default:
        return FALSE;
    }
}

_IRQL_requires_(PASSIVE_LEVEL)
static VOID Run(_In_ PWORK Work) {
    if (Forced(Work)) {
        return;
    }
    switch (Work->Kind) {
    case WorkSend:
        SendRun(Work);
        break;
    case WorkReceive:
        ReceiveBegin(Work);
        break;
    case WorkControl:
        ControlRun(Work);
        break;
    default:
        SocketRun(Work);
        break;
    }
}

/* Waits for work or for a datagram that is wanted; without memory for the list it looks every 10 ms. */
_IRQL_requires_(PASSIVE_LEVEL)
static VOID Sleep(VOID) {
    struct lx_pollfd *Fds = PoolAllocate((1 + (SIZE_T)OpenSocketCount) * sizeof(*Fds));
    struct lx_pollfd One = {QueueEvent(), LX_POLLIN, 0};
    ULONG Count = 1;
    PLIST_ENTRY Link;
    int Timeout = ForceTick();

    if (Fds == NULL) {
        LinuxPoll(&One, 1, 10);
    } else {
        Fds[0] = One;
        for (Link = OpenSockets.Flink; Link != &OpenSockets; Link = Link->Flink) {
            PSOCKET Socket = CONTAINING_RECORD(Link, SOCKET, Link);

            if (!IsListEmpty(&Socket->Receives)) {
                Fds[Count].fd = Socket->Fd;
                Fds[Count++].events = LX_POLLIN;
            }
        }
        LinuxPoll(Fds, Count, Timeout);
        PoolFree(Fds);
    }
    LinuxDrain(One.fd);
    for (Link = OpenSockets.Flink; Link != &OpenSockets;) {
        PSOCKET Socket = CONTAINING_RECORD(Link, SOCKET, Link);

        Link = Link->Flink;
        ReceiveTry(Socket);
    }
}

_IRQL_requires_(PASSIVE_LEVEL)
static VOID NTAPI Worker(_In_opt_ PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
    for (;;) {
        BOOLEAN Stop;
        PWORK Work = QueueTake(&Stop);

        if (Work != NULL) {
            ForceTick();
            Run(Work);
        } else if (Stop) {
            ForceFlush(NULL);
            break;
        } else {
            Sleep();
        }
    }
    PsTerminateSystemThread(STATUS_SUCCESS);
}

_Use_decl_annotations_
NTSTATUS WorkerStart(VOID) {
    NTSTATUS Status;

    if (!LinuxUsable()) {
        return STATUS_DEVICE_NOT_READY;
    }
    ForceReset();
    SocketsReset();
    Status = QueueOpen();
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = PsCreateSystemThread(&Thread, THREAD_ALL_ACCESS, NULL, NULL, NULL, Worker, NULL);
    if (!NT_SUCCESS(Status)) {
        QueueClose();
    }
    return Status;
}

_Use_decl_annotations_
VOID WorkerStop(VOID) {
    QueueStop();
    ZwWaitForSingleObject(Thread, FALSE, NULL);
    ZwClose(Thread);
    QueueClose();
}
