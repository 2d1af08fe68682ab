/*
 * provider.h - what the files of the Wine guest's netio.sys share.
 *
 * A WSK call becomes a WORK that the provider's one worker thread carries out in the order of the calls, on a Linux
 * UDP socket; the call itself returns STATUS_PENDING. Two places see every IRP: WorkSubmit on its way in and
 * WorkFinish on its way out. Whatever a provider may do to a driver beyond that (complete inline, late, in another
 * order, with an error) is asked for there, in force.c.
 *
 * Files: register.c (clients, NPI, lifetime), sockets.c (WSK_SOCKET, bind, address, close), datagrams.c (send and
 * receive), options.c and controls.c (Windows' numbers to Linux' ones), status.c (errors), work.c (the worker),
 * force.c, memory.c and device.c (behaviour that was asked for), linux.c (system calls).
 *
 * Choices where Microsoft documents nothing, and which a Windows may well make otherwise:
 *  - NULL address with nothing fixed, and a send on an unbound socket: STATUS_INVALID_DEVICE_STATE;
 *  - both fixed addresses set: the fixed remote address wins;
 *  - an ICMP error that an earlier send caused is never reported (Linux keeps it from unconnected sockets);
 *  - a datagram longer than the receive buffer: STATUS_SUCCESS with MSG_TRUNC in the control flags;
 *  - reserved flags that are not zero: STATUS_INVALID_PARAMETER;
 *  - destination port 0 or an unspecified destination address: STATUS_INVALID_ADDRESS_COMPONENT;
 *  - WskSendMessages stops at the first datagram that fails; Information then has the bytes sent before it.
 */
#ifndef NETIO_PROVIDER_H
#define NETIO_PROVIDER_H

#include "wsk_min.h"
#include "linux.h"
#include "wskprovider_abi.h"

#define NETIO_TAG 0x4F49544Eu /* "NTIO" in a pool dump */

typedef union _ADDRESS { /* SOCKADDR with Windows' family numbers */
    SOCKADDR Any;
    SOCKADDR_IN V4;
    SOCKADDR_IN6 V6;
} ADDRESS, *PADDRESS;

typedef struct _CLIENT {
    const WSK_CLIENT_DISPATCH *Dispatch;
    PVOID Context;
    volatile LONG Holders; /* the registration, captured NPIs and sockets */
    KEVENT Unheld;
} CLIENT, *PCLIENT;

typedef struct _SOCKET {
    WSK_SOCKET Wsk; /* first: what the client sees */
    PCLIENT Client;
    LIST_ENTRY Link; /* on the worker's list, worker only */
    LIST_ENTRY Receives; /* WORKs that wait for a datagram, worker only */
    int Fd;
    ADDRESS_FAMILY Family;
    BOOLEAN Bound;
    BOOLEAN Dead; /* forced closed: every call but close fails; worker only */
    USHORT Port;  /* that it is bound to, host order; 0 before */
    BOOLEAN Exclusive; /* SO_EXCLUSIVEADDRUSE as last set; Linux sockets are exclusive by nature */
    ADDRESS Remote;    /* SIO_WSK_SET_REMOTE_ADDRESS; family 0: none */
    ADDRESS SendTo;    /* SIO_WSK_SET_SENDTO_ADDRESS */
} SOCKET, *PSOCKET;

typedef enum _WORK_KIND {
    WorkOpen,
    WorkClose,
    WorkBind,
    WorkGetAddress,
    WorkControl,
    WorkSend,
    WorkReceive
} WORK_KIND;

typedef struct _MESSAGE { /* one datagram of a send, or the buffer of a receive */
    ULONG First;          /* index into WORK.Iov */
    ULONG Count;
} MESSAGE;

typedef struct _WORK {
    LIST_ENTRY Link;
    WORK_KIND Kind;
    PSOCKET Socket;
    PIRP Irp;
    volatile LONG Cancelled;
    ULONG Flags;
    ADDRESS Address; /* copied when the call is made */
    BOOLEAN HasAddress;
    /* what force.c makes of it */
    ULONG Effects;
    NTSTATUS ForcedStatus;
    ULONG DelayMs;
    ULONG Rule;
    int64_t DueMs;
    volatile LONG Inline; /* set when the calling thread may complete it */
    NTSTATUS Status;
    ULONG_PTR Information;
    PSOCKADDR AddressOut;
    PULONG ControlFlagsOut;
    /* sends and receives: the client's buffers, which stay locked until completion */
    struct lx_iovec *Iov;
    MESSAGE *Messages;
    ULONG MessageCount;
    ULONG ControlLength;
    PVOID Control;
    /* WskControlSocket */
    WSK_CONTROL_SOCKET_TYPE RequestType;
    ULONG ControlCode;
    ULONG Level;
    SIZE_T InputSize;
    PVOID Input;
    SIZE_T OutputSize;
    PVOID Output;
    SIZE_T *OutputSizeReturned;
} WORK, *PWORK;

/* work.c */
NTSTATUS WorkerStart(VOID);
VOID WorkerStop(VOID);
NTSTATUS WorkCreate(WORK_KIND Kind, PSOCKET Socket, PIRP Irp, PWORK *Work);
NTSTATUS WorkSubmit(PWORK Work);
NTSTATUS WorkRefuse(PIRP Irp, NTSTATUS Status);
VOID WorkFinish(PWORK Work, NTSTATUS Status, ULONG_PTR Information);
VOID WorkComplete(PWORK Work);
VOID WorkWake(VOID);
PVOID PoolAllocate(SIZE_T Bytes);
VOID PoolFree(PVOID Memory);

/* force.c */
VOID ForceReset(VOID);
NTSTATUS ForceAdd(const struct wskprovider_force *Asked);
VOID ForceRelent(struct wskprovider_relented *Reply);
VOID ForceMatch(PWORK Work);
BOOLEAN ForceMemory(ULONG Call);
BOOLEAN ForceBegin(PWORK Work);
BOOLEAN ForceHold(PWORK Work);
VOID ForceFlush(PSOCKET Socket);
int ForceTick(VOID);

/* memory.c, device.c */
VOID MemoryDetour(const VOID *Inside, BOOLEAN Back);
VOID DeviceStart(VOID);
VOID DeviceStop(VOID);

/* register.c */
VOID ClientHold(PCLIENT Client);
VOID ClientRelease(PCLIENT Client);

/* sockets.c */
PFN_WSK_SOCKET ProviderSocketFunction(VOID);
VOID SocketRun(PWORK Work);
VOID OpenAbandon(PSOCKET Socket);
NTSTATUS AddressCopy(PADDRESS To, const SOCKADDR *From, ADDRESS_FAMILY Family);
uint32_t AddressToLinux(PADDRESS Address);
VOID AddressFromLinux(PADDRESS Address);

/* datagrams.c */
NTSTATUS WSKAPI ProviderSendTo(PWSK_SOCKET Socket, PWSK_BUF Buffer, ULONG Flags, PSOCKADDR RemoteAddress,
                               ULONG ControlInfoLength, PCMSGHDR ControlInfo, PIRP Irp);
NTSTATUS WSKAPI ProviderSendMessages(PWSK_SOCKET Socket, PWSK_BUF_LIST BufferList, ULONG Flags,
                                     PSOCKADDR RemoteAddress, ULONG ControlInfoLength, PCMSGHDR ControlInfo, PIRP Irp);
NTSTATUS WSKAPI ProviderReceiveFrom(PWSK_SOCKET Socket, PWSK_BUF Buffer, ULONG Flags, PSOCKADDR RemoteAddress,
                                    PULONG ControlLength, PCMSGHDR ControlInfo, PULONG ControlFlags, PIRP Irp);
VOID SendRun(PWORK Work);
VOID ReceiveBegin(PWORK Work);
VOID ReceiveTry(PSOCKET Socket);
VOID ReceiveEndAll(PSOCKET Socket, NTSTATUS Status);

/* options.c, controls.c */
NTSTATUS WSKAPI ProviderControlSocket(PWSK_SOCKET Socket, WSK_CONTROL_SOCKET_TYPE RequestType, ULONG ControlCode,
                                      ULONG Level, SIZE_T InputSize, PVOID InputBuffer, SIZE_T OutputSize,
                                      PVOID OutputBuffer, SIZE_T *OutputSizeReturned, PIRP Irp);
VOID ControlRun(PWORK Work);
NTSTATUS ControlsToLinux(int Fd, const VOID *Block, ULONG Length, PUCHAR Out, ULONG Room, ULONG *Used);

/* status.c */
NTSTATUS StatusFromLinux(int64_t Result);

#endif /* NETIO_PROVIDER_H */
