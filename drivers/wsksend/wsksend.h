/*
 * wsksend.h - what the files of wsksend.sys share: accounts, buffers, calls, sockets, requests.
 *
 * Read the files in this order: entry.c (load and unload), security.c (who may open the device), dispatch.c (IOCTLs), socket.c (lifetime of sockets),
 * call.c (lifetime of one WSK call), send.c, burst.c, receive.c, options.c (what is called), batch.c (many of them), buffer.c and address.c
 * (what is handed over), accounts.c (what is held).
 */
#ifndef WSKSEND_H
#define WSKSEND_H

#include "wsk_min.h"
#include "wsksend_abi.h"

#define WSKSEND_TAG 0x536B7357u /* "WskS" in a pool dump */
#define WSKSEND_CALL_WAIT_MS 20000u /* for calls whose request brings no deadline of its own */

/* accounts.c: what the driver holds. Counted where things are made and freed, nowhere else. */

typedef enum _ACCOUNT {
    AccountIrps,
    AccountMdls,
    AccountBuffers,
    AccountSockets,
    AccountInFlight,
    AccountSends,
    AccountCompleted,
    AccountCalls,
    AccountCanaries,
    AccountCount
} ACCOUNT;

VOID AccountAdd(ACCOUNT Account, LONG Delta);
VOID AccountsRead(struct wsksend_accounts *Accounts);
PVOID PoolAllocate(SIZE_T Bytes);
VOID PoolFree(PVOID Memory);
PIRP IrpAllocate(VOID);
VOID IrpFree(PIRP Irp);

/* buffer.c: MDL chains, each MDL over a nonpaged block of its own with a canary behind its last byte. */

typedef struct _BLOCK {
    PVOID Pool;
    PUCHAR Data;
    ULONG ByteCount;
    PMDL Mdl;
} BLOCK, *PBLOCK;

typedef struct _CHAIN {
    ULONG BlockCount;
    PBLOCK Blocks;
} CHAIN, *PCHAIN;

NTSTATUS ChainCreate(PCHAIN Chain, ULONG BlockCount);
NTSTATUS ChainAddBlock(PCHAIN Chain, ULONG Index, ULONG ByteCount, ULONG ByteOffset);
VOID ChainLink(PCHAIN Chain, ULONG First, ULONG Count);
VOID ChainFree(PCHAIN Chain);

/* address.c: endpoints of the ABI and SOCKADDRs of WSK. */

typedef union _ADDRESS {
    SOCKADDR Any;
    SOCKADDR_IN V4;
    SOCKADDR_IN6 V6;
} ADDRESS, *PADDRESS;

NTSTATUS AddressFromEndpoint(const struct wsksend_endpoint *Endpoint, PADDRESS Address);
VOID AddressToEndpoint(const ADDRESS *Address, struct wsksend_endpoint *Endpoint);
ULONG AddressLength(const ADDRESS *Address);

/* socket.c: the table of sockets. */

typedef struct _CALL CALL, *PCALL;

typedef enum _SOCKET_STATE { SocketFree, SocketOpening, SocketOpen, SocketClosing, SocketStalled } SOCKET_STATE;

typedef struct _SOCKET {
    SOCKET_STATE State; /* this and the next five: under the table's mutex */
    ULONG Generation;
    PFILE_OBJECT Opener;
    LIST_ENTRY Calls;
    ULONG CallCount;
    PWSK_SOCKET Wsk;
    const WSK_PROVIDER_DATAGRAM_DISPATCH *Dispatch;
    volatile LONG Users; /* requests that may call WSK on the socket, plus one until it closes */
    KEVENT Unused;
    volatile LONG InFlight; /* IRPs with WSK, plus one until it closes */
    KEVENT Drained;
    PIRP KeptIrp; /* for WSKSEND_MODE_REUSE_IRP; freed with the socket */
    volatile LONG KeptIrpBusy;
    PCALL OpenCall; /* the WskSocket call that did not complete in time; the socket's closer finishes it */
    PCALL CloseCall; /* this and the next two: the closer's */
    BOOLEAN UsersDropped;
    BOOLEAN InFlightDropped;
} SOCKET, *PSOCKET;

VOID SocketTableInitialize(VOID);
VOID SocketTableLock(VOID);
VOID SocketTableUnlock(VOID);
NTSTATUS SocketAcquire(UINT64 Handle, PFILE_OBJECT Opener, PSOCKET *Socket);
VOID SocketRelease(PSOCKET Socket);
VOID SocketCloseAll(PFILE_OBJECT Opener);

/* call.c: one call of a WSK function with its IRP. */

struct _CALL {
    LIST_ENTRY Link;     /* on Socket->Calls, under the table's mutex */
    BOOLEAN Linked;      /* likewise; the list holds a reference */
    volatile LONG References;
    PSOCKET Socket; /* valid while in flight or linked */
    PIRP Irp;
    BOOLEAN KeptIrp;    /* the IRP is the socket's */
    BOOLEAN LateIrp;    /* the IRP may be cancelled, so it lives as long as the call */
    BOOLEAN Send;       /* counts as a send, and its chain goes in the completion routine */
    BOOLEAN Collectable; /* COLLECT may ask for it by its ticket */
    volatile LONG Finished; /* set just before Done */
    UINT64 Ticket;
    KEVENT Done;
    NTSTATUS Returned;
    NTSTATUS Status; /* this and the next four: written by the completion routine before Done */
    ULONG_PTR Information;
    volatile LONG Completions;
    KIRQL Irql;
    BOOLEAN PendingReturned;
    CHAIN Chain;
    PWSK_BUF_LIST Buffers;
    ADDRESS Address;
    PVOID Data; /* what WSK reads or writes until completion: option, control information */
    ULONG DataLength;
    SIZE_T OutputSize;
    ULONG ControlFlags;
};

NTSTATUS CallCreate(PSOCKET Socket, UINT64 Ticket, ULONG DataLength, BOOLEAN ReuseIrp, PCALL *Call);
VOID CallBegin(PCALL Call);
VOID CallReturned(PCALL Call, NTSTATUS Status);
BOOLEAN CallWait(PCALL Call, ULONG Milliseconds);
BOOLEAN CallIsDone(PCALL Call);
VOID CallReport(PCALL Call, struct wsksend_completion *Completion);
PCALL CallFind(PSOCKET Socket, UINT64 Ticket);
VOID CallForget(PCALL Call);
VOID CallAbandon(PCALL Call);
VOID CallRelease(PCALL Call);
VOID CallFinish(PCALL Call, ULONG Milliseconds, struct wsksend_completion *Completion);

/* dispatch.c: a request under way. Buffer holds the request and, once that is read, the reply. */

typedef struct _REQUEST {
    PVOID Buffer;
    ULONG InputLength;
    ULONG OutputLength;
    ULONG_PTR Information; /* bytes of the reply */
    PFILE_OBJECT Opener;
} REQUEST, *PREQUEST;

typedef NTSTATUS REQUEST_HANDLER(PREQUEST Request);

DRIVER_DISPATCH DispatchCreateClose;
DRIVER_DISPATCH DispatchDeviceControl;
NTSTATUS DispatchRequest(ULONG Code, PREQUEST Request);
REQUEST_HANDLER RequestBatch;          /* batch.c */
REQUEST_HANDLER RequestOpen;           /* socket.c */
REQUEST_HANDLER RequestClose;          /* socket.c */
REQUEST_HANDLER RequestBind;           /* options.c */
REQUEST_HANDLER RequestGetLocalAddress;
REQUEST_HANDLER RequestSetOption;
REQUEST_HANDLER RequestGetOption;
REQUEST_HANDLER RequestSetRemoteAddress;
REQUEST_HANDLER RequestSetSendToAddress;
REQUEST_HANDLER RequestSend;           /* send.c */
REQUEST_HANDLER RequestSendMessages;
REQUEST_HANDLER RequestBurst;          /* burst.c */
REQUEST_HANDLER RequestCollect;        /* receive.c */
REQUEST_HANDLER RequestReceive;

/* security.c */
NTSTATUS SecureDevice(PDEVICE_OBJECT DeviceObject);

/* entry.c */
extern WSK_PROVIDER_NPI WskProvider;
extern WSK_REGISTRATION WskRegistration;

#endif /* WSKSEND_H */
