/*
 * wsk_min.h - the part of Winsock Kernel that a datagram client or provider needs, for x64.
 *
 * mingw-w64 has no wsk.h. Where a real one is found (the WDK's) it is used and this file only checks it;
 * elsewhere the declarations below stand in, written from Microsoft's documentation of each structure. The
 * static asserts at the end hold either way: a wrong offset does not compile.
 */
#ifndef WSK_MIN_H
#define WSK_MIN_H

#include <ntddk.h>
#include <stddef.h>

#include "annotations.h"

#if defined(__has_include)
#if __has_include(<wsk.h>)
#define WSK_MIN_HAS_REAL_HEADER 1
#endif
#endif

#ifdef WSK_MIN_HAS_REAL_HEADER
#include <wsk.h>
#include <ws2ipdef.h>
#else

#define WSKAPI NTAPI

/* Addresses (ws2def.h, ws2ipdef.h). Ports and IPv4 addresses are in network byte order. */

typedef USHORT ADDRESS_FAMILY;

#define AF_UNSPEC 0
#define AF_INET 2
#define AF_INET6 23
#define SOCK_DGRAM 2
#define IPPROTO_IP 0
#define IPPROTO_UDP 17
#define IPPROTO_IPV6 41
#define SOL_SOCKET 0xFFFF

typedef struct in_addr {
    union {
        struct {
            UCHAR s_b1, s_b2, s_b3, s_b4;
        } S_un_b;
        ULONG S_addr;
    } S_un;
} IN_ADDR;

typedef struct in6_addr {
    union {
        UCHAR Byte[16];
        USHORT Word[8];
    } u;
} IN6_ADDR;

typedef struct sockaddr {
    ADDRESS_FAMILY sa_family;
    CHAR sa_data[14];
} SOCKADDR, *PSOCKADDR;

typedef struct sockaddr_in {
    ADDRESS_FAMILY sin_family;
    USHORT sin_port;
    IN_ADDR sin_addr;
    CHAR sin_zero[8];
} SOCKADDR_IN, *PSOCKADDR_IN;

typedef struct sockaddr_in6 {
    ADDRESS_FAMILY sin6_family;
    USHORT sin6_port;
    ULONG sin6_flowinfo;
    IN6_ADDR sin6_addr;
    ULONG sin6_scope_id;
} SOCKADDR_IN6, *PSOCKADDR_IN6;

/* Control information. cmsg_len leaves out the padding behind the data, the length of the whole block has it. */

typedef struct _WSACMSGHDR {
    SIZE_T cmsg_len;
    INT cmsg_level;
    INT cmsg_type;
} CMSGHDR, *PCMSGHDR;

typedef struct in_pktinfo {
    IN_ADDR ipi_addr;
    ULONG ipi_ifindex;
} IN_PKTINFO;

typedef struct in6_pktinfo {
    IN6_ADDR ipi6_addr;
    ULONG ipi6_ifindex;
} IN6_PKTINFO;

struct addrinfoexW;

/* Versions, flags, requests, codes. */

#define MAKE_WSK_VERSION(Mj, Mn) ((USHORT)((Mj) << 8) | (USHORT)((Mn) & 0xFF))
#define WSK_NO_WAIT 0
#define WSK_INFINITE_WAIT 0xFFFFFFFF

#define WSK_FLAG_BASIC_SOCKET 0x00000000
#define WSK_FLAG_LISTEN_SOCKET 0x00000001
#define WSK_FLAG_CONNECTION_SOCKET 0x00000002
#define WSK_FLAG_DATAGRAM_SOCKET 0x00000004
#define WSK_FLAG_STREAM_SOCKET 0x00000008

#define WSK_SO_BASE 0x4000
#define SO_WSK_SECURITY (WSK_SO_BASE + 1)
#define SO_WSK_EVENT_CALLBACK (WSK_SO_BASE + 2)

#define SIO_WSK_SET_REMOTE_ADDRESS 0x8F000001
#define SIO_WSK_SET_SENDTO_ADDRESS 0x8F000006

typedef enum { WskSetOption, WskGetOption, WskIoctl, WskControlMax } WSK_CONTROL_SOCKET_TYPE;

typedef PVOID PWSK_CLIENT;

typedef struct _WSK_SOCKET {
    const VOID *Dispatch;
} WSK_SOCKET, *PWSK_SOCKET;

typedef struct _WSK_BUF {
    PMDL Mdl;
    ULONG Offset; /* into the first MDL */
    SIZE_T Length; /* across the chain */
} WSK_BUF, *PWSK_BUF;

typedef struct _WSK_BUF_LIST {
    struct _WSK_BUF_LIST *Next;
    WSK_BUF Buffer;
} WSK_BUF_LIST, *PWSK_BUF_LIST;

typedef struct _WSK_DATAGRAM_INDICATION {
    struct _WSK_DATAGRAM_INDICATION *Next;
    WSK_BUF Buffer;
    PCMSGHDR ControlInfo;
    ULONG ControlInfoLength;
    PSOCKADDR RemoteAddress;
} WSK_DATAGRAM_INDICATION, *PWSK_DATAGRAM_INDICATION;

/* The client's side. */

typedef NTSTATUS(WSKAPI *PFN_WSK_CLIENT_EVENT)(PVOID ClientContext, ULONG EventType, PVOID Information,
                                               SIZE_T InformationLength);

typedef struct _WSK_CLIENT_DISPATCH {
    USHORT Version;
    USHORT Reserved;
    PFN_WSK_CLIENT_EVENT WskClientEvent;
} WSK_CLIENT_DISPATCH, *PWSK_CLIENT_DISPATCH;

typedef struct _WSK_CLIENT_NPI {
    PVOID ClientContext;
    const WSK_CLIENT_DISPATCH *Dispatch;
} WSK_CLIENT_NPI, *PWSK_CLIENT_NPI;

typedef struct _WSK_REGISTRATION {
    ULONGLONG ReservedRegistrationState;
    PVOID ReservedRegistrationContext;
    KSPIN_LOCK ReservedRegistrationLock;
} WSK_REGISTRATION, *PWSK_REGISTRATION;

typedef NTSTATUS(WSKAPI *PFN_WSK_RECEIVE_FROM_EVENT)(PVOID SocketContext, ULONG Flags,
                                                     PWSK_DATAGRAM_INDICATION DataIndication);

typedef struct _WSK_CLIENT_DATAGRAM_DISPATCH {
    PFN_WSK_RECEIVE_FROM_EVENT WskReceiveFromEvent;
} WSK_CLIENT_DATAGRAM_DISPATCH;

/* The provider's side. */

typedef NTSTATUS(WSKAPI *PFN_WSK_SOCKET)(PWSK_CLIENT Client, ADDRESS_FAMILY AddressFamily, USHORT SocketType,
                                         ULONG Protocol, ULONG Flags, PVOID SocketContext, const VOID *Dispatch,
                                         PEPROCESS OwningProcess, PETHREAD OwningThread,
                                         PSECURITY_DESCRIPTOR SecurityDescriptor, PIRP Irp);
typedef NTSTATUS(WSKAPI *PFN_WSK_SOCKET_CONNECT)(PWSK_CLIENT Client, USHORT SocketType, ULONG Protocol,
                                                 PSOCKADDR LocalAddress, PSOCKADDR RemoteAddress, ULONG Flags,
                                                 PVOID SocketContext, const VOID *Dispatch, PEPROCESS OwningProcess,
                                                 PETHREAD OwningThread, PSECURITY_DESCRIPTOR SecurityDescriptor,
                                                 PIRP Irp);
typedef NTSTATUS(WSKAPI *PFN_WSK_CONTROL_CLIENT)(PWSK_CLIENT Client, ULONG ControlCode, SIZE_T InputSize,
                                                 PVOID InputBuffer, SIZE_T OutputSize, PVOID OutputBuffer,
                                                 SIZE_T *OutputSizeReturned, PIRP Irp);
typedef NTSTATUS(WSKAPI *PFN_WSK_GET_ADDRESS_INFO)(PWSK_CLIENT Client, PUNICODE_STRING NodeName,
                                                   PUNICODE_STRING ServiceName, ULONG NameSpace, GUID *Provider,
                                                   struct addrinfoexW *Hints, struct addrinfoexW **Result,
                                                   PEPROCESS OwningProcess, PETHREAD OwningThread, PIRP Irp);
typedef VOID(WSKAPI *PFN_WSK_FREE_ADDRESS_INFO)(PWSK_CLIENT Client, struct addrinfoexW *AddrInfo);
typedef NTSTATUS(WSKAPI *PFN_WSK_GET_NAME_INFO)(PWSK_CLIENT Client, PSOCKADDR SockAddr, ULONG SockAddrLength,
                                                PUNICODE_STRING NodeName, PUNICODE_STRING ServiceName, ULONG Flags,
                                                PEPROCESS OwningProcess, PETHREAD OwningThread, PIRP Irp);

typedef struct _WSK_PROVIDER_DISPATCH {
    USHORT Version;
    USHORT Reserved;
    PFN_WSK_SOCKET WskSocket;
    PFN_WSK_SOCKET_CONNECT WskSocketConnect;
    PFN_WSK_CONTROL_CLIENT WskControlClient;
    PFN_WSK_GET_ADDRESS_INFO WskGetAddressInfo;
    PFN_WSK_FREE_ADDRESS_INFO WskFreeAddressInfo;
    PFN_WSK_GET_NAME_INFO WskGetNameInfo;
} WSK_PROVIDER_DISPATCH, *PWSK_PROVIDER_DISPATCH;

typedef struct _WSK_PROVIDER_NPI {
    PWSK_CLIENT Client;
    const WSK_PROVIDER_DISPATCH *Dispatch;
} WSK_PROVIDER_NPI, *PWSK_PROVIDER_NPI;

typedef struct _WSK_PROVIDER_CHARACTERISTICS {
    USHORT HighestVersion;
    USHORT LowestVersion;
} WSK_PROVIDER_CHARACTERISTICS, *PWSK_PROVIDER_CHARACTERISTICS;

/* OutputSizeReturned is a SIZE_T*, whatever the page of WskControlSocket says of a ULONG: 8 bytes are written. */
typedef NTSTATUS(WSKAPI *PFN_WSK_CONTROL_SOCKET)(PWSK_SOCKET Socket, WSK_CONTROL_SOCKET_TYPE RequestType,
                                                 ULONG ControlCode, ULONG Level, SIZE_T InputSize, PVOID InputBuffer,
                                                 SIZE_T OutputSize, PVOID OutputBuffer, SIZE_T *OutputSizeReturned,
                                                 PIRP Irp);
typedef NTSTATUS(WSKAPI *PFN_WSK_CLOSE_SOCKET)(PWSK_SOCKET Socket, PIRP Irp);
typedef NTSTATUS(WSKAPI *PFN_WSK_BIND)(PWSK_SOCKET Socket, PSOCKADDR LocalAddress, ULONG Flags, PIRP Irp);
typedef NTSTATUS(WSKAPI *PFN_WSK_SEND_TO)(PWSK_SOCKET Socket, PWSK_BUF Buffer, ULONG Flags, PSOCKADDR RemoteAddress,
                                          ULONG ControlInfoLength, PCMSGHDR ControlInfo, PIRP Irp);
typedef NTSTATUS(WSKAPI *PFN_WSK_RECEIVE_FROM)(PWSK_SOCKET Socket, PWSK_BUF Buffer, ULONG Flags,
                                               PSOCKADDR RemoteAddress, PULONG ControlLength, PCMSGHDR ControlInfo,
                                               PULONG ControlFlags, PIRP Irp);
typedef NTSTATUS(WSKAPI *PFN_WSK_RELEASE_DATAGRAM_INDICATION_LIST)(PWSK_SOCKET Socket,
                                                                   PWSK_DATAGRAM_INDICATION DatagramIndication);
typedef NTSTATUS(WSKAPI *PFN_WSK_GET_LOCAL_ADDRESS)(PWSK_SOCKET Socket, PSOCKADDR LocalAddress, PIRP Irp);
typedef NTSTATUS(WSKAPI *PFN_WSK_SEND_MESSAGES)(PWSK_SOCKET Socket, PWSK_BUF_LIST BufferList, ULONG Flags,
                                                PSOCKADDR RemoteAddress, ULONG ControlInfoLength,
                                                PCMSGHDR ControlInfo, PIRP Irp);

typedef struct _WSK_PROVIDER_BASIC_DISPATCH {
    PFN_WSK_CONTROL_SOCKET WskControlSocket;
    PFN_WSK_CLOSE_SOCKET WskCloseSocket;
} WSK_PROVIDER_BASIC_DISPATCH, *PWSK_PROVIDER_BASIC_DISPATCH;

typedef struct _WSK_PROVIDER_DATAGRAM_DISPATCH {
    WSK_PROVIDER_BASIC_DISPATCH Basic;
    PFN_WSK_BIND WskBind;
    PFN_WSK_SEND_TO WskSendTo;
    PFN_WSK_RECEIVE_FROM WskReceiveFrom;
    PFN_WSK_RELEASE_DATAGRAM_INDICATION_LIST WskRelease;
    PFN_WSK_GET_LOCAL_ADDRESS WskGetLocalAddress;
    PFN_WSK_SEND_MESSAGES WskSendMessages; /* from Windows 8 on */
} WSK_PROVIDER_DATAGRAM_DISPATCH, *PWSK_PROVIDER_DATAGRAM_DISPATCH;

NTSTATUS WSKAPI WskRegister(PWSK_CLIENT_NPI WskClientNpi, PWSK_REGISTRATION WskRegistration);
VOID WSKAPI WskDeregister(PWSK_REGISTRATION WskRegistration);
NTSTATUS WSKAPI WskCaptureProviderNPI(PWSK_REGISTRATION WskRegistration, ULONG WaitTimeout,
                                      PWSK_PROVIDER_NPI WskProviderNpi);
VOID WSKAPI WskReleaseProviderNPI(PWSK_REGISTRATION WskRegistration);
NTSTATUS WSKAPI WskQueryProviderCharacteristics(PWSK_REGISTRATION WskRegistration,
                                                PWSK_PROVIDER_CHARACTERISTICS WskProviderCharacteristics);

#endif /* WSK_MIN_HAS_REAL_HEADER */

/* How the basic part is reached: C sees a named member here, the WDK's C++-friendly header may inherit it. */
#define WSK_BASIC(dispatch) ((const WSK_PROVIDER_BASIC_DISPATCH *)(dispatch))

#define WSK_ASSERT_SIZE(type, size) _Static_assert(sizeof(type) == (size), "size of " #type)
#define WSK_ASSERT_AT(type, member, at) _Static_assert(offsetof(type, member) == (at), "offset of " #type "." #member)

WSK_ASSERT_SIZE(WSK_SOCKET, 8);
WSK_ASSERT_AT(WSK_SOCKET, Dispatch, 0);
WSK_ASSERT_SIZE(WSK_CLIENT_DISPATCH, 16);
WSK_ASSERT_AT(WSK_CLIENT_DISPATCH, Version, 0);
WSK_ASSERT_AT(WSK_CLIENT_DISPATCH, Reserved, 2);
WSK_ASSERT_AT(WSK_CLIENT_DISPATCH, WskClientEvent, 8);
WSK_ASSERT_SIZE(WSK_CLIENT_NPI, 16);
WSK_ASSERT_AT(WSK_CLIENT_NPI, ClientContext, 0);
WSK_ASSERT_AT(WSK_CLIENT_NPI, Dispatch, 8);
WSK_ASSERT_SIZE(WSK_PROVIDER_NPI, 16);
WSK_ASSERT_AT(WSK_PROVIDER_NPI, Client, 0);
WSK_ASSERT_AT(WSK_PROVIDER_NPI, Dispatch, 8);
WSK_ASSERT_SIZE(WSK_REGISTRATION, 24);
WSK_ASSERT_AT(WSK_REGISTRATION, ReservedRegistrationState, 0);
WSK_ASSERT_AT(WSK_REGISTRATION, ReservedRegistrationContext, 8);
WSK_ASSERT_AT(WSK_REGISTRATION, ReservedRegistrationLock, 16);
WSK_ASSERT_SIZE(WSK_PROVIDER_DISPATCH, 56);
WSK_ASSERT_AT(WSK_PROVIDER_DISPATCH, Version, 0);
WSK_ASSERT_AT(WSK_PROVIDER_DISPATCH, Reserved, 2);
WSK_ASSERT_AT(WSK_PROVIDER_DISPATCH, WskSocket, 8);
WSK_ASSERT_AT(WSK_PROVIDER_DISPATCH, WskSocketConnect, 16);
WSK_ASSERT_AT(WSK_PROVIDER_DISPATCH, WskControlClient, 24);
WSK_ASSERT_AT(WSK_PROVIDER_DISPATCH, WskGetAddressInfo, 32);
WSK_ASSERT_AT(WSK_PROVIDER_DISPATCH, WskFreeAddressInfo, 40);
WSK_ASSERT_AT(WSK_PROVIDER_DISPATCH, WskGetNameInfo, 48);
WSK_ASSERT_SIZE(WSK_PROVIDER_BASIC_DISPATCH, 16);
WSK_ASSERT_AT(WSK_PROVIDER_BASIC_DISPATCH, WskControlSocket, 0);
WSK_ASSERT_AT(WSK_PROVIDER_BASIC_DISPATCH, WskCloseSocket, 8);
WSK_ASSERT_SIZE(WSK_PROVIDER_DATAGRAM_DISPATCH, 64);
WSK_ASSERT_AT(WSK_PROVIDER_DATAGRAM_DISPATCH, WskBind, 16);
WSK_ASSERT_AT(WSK_PROVIDER_DATAGRAM_DISPATCH, WskSendTo, 24);
WSK_ASSERT_AT(WSK_PROVIDER_DATAGRAM_DISPATCH, WskReceiveFrom, 32);
WSK_ASSERT_AT(WSK_PROVIDER_DATAGRAM_DISPATCH, WskRelease, 40);
WSK_ASSERT_AT(WSK_PROVIDER_DATAGRAM_DISPATCH, WskGetLocalAddress, 48);
WSK_ASSERT_AT(WSK_PROVIDER_DATAGRAM_DISPATCH, WskSendMessages, 56);
WSK_ASSERT_SIZE(WSK_CLIENT_DATAGRAM_DISPATCH, 8);
WSK_ASSERT_SIZE(WSK_BUF, 24);
WSK_ASSERT_AT(WSK_BUF, Mdl, 0);
WSK_ASSERT_AT(WSK_BUF, Offset, 8);
WSK_ASSERT_AT(WSK_BUF, Length, 16);
WSK_ASSERT_SIZE(WSK_BUF_LIST, 32);
WSK_ASSERT_AT(WSK_BUF_LIST, Next, 0);
WSK_ASSERT_AT(WSK_BUF_LIST, Buffer, 8);
WSK_ASSERT_SIZE(WSK_DATAGRAM_INDICATION, 56);
WSK_ASSERT_AT(WSK_DATAGRAM_INDICATION, Next, 0);
WSK_ASSERT_AT(WSK_DATAGRAM_INDICATION, Buffer, 8);
WSK_ASSERT_AT(WSK_DATAGRAM_INDICATION, ControlInfo, 32);
WSK_ASSERT_AT(WSK_DATAGRAM_INDICATION, ControlInfoLength, 40);
WSK_ASSERT_AT(WSK_DATAGRAM_INDICATION, RemoteAddress, 48);
WSK_ASSERT_SIZE(CMSGHDR, 16);
WSK_ASSERT_AT(CMSGHDR, cmsg_len, 0);
WSK_ASSERT_AT(CMSGHDR, cmsg_level, 8);
WSK_ASSERT_AT(CMSGHDR, cmsg_type, 12);
WSK_ASSERT_SIZE(IN_PKTINFO, 8);
WSK_ASSERT_SIZE(IN6_PKTINFO, 20);
WSK_ASSERT_SIZE(SOCKADDR_IN, 16);
WSK_ASSERT_AT(SOCKADDR_IN, sin_family, 0);
WSK_ASSERT_AT(SOCKADDR_IN, sin_port, 2);
WSK_ASSERT_AT(SOCKADDR_IN, sin_addr, 4);
WSK_ASSERT_SIZE(SOCKADDR_IN6, 28);
WSK_ASSERT_AT(SOCKADDR_IN6, sin6_port, 2);
WSK_ASSERT_AT(SOCKADDR_IN6, sin6_flowinfo, 4);
WSK_ASSERT_AT(SOCKADDR_IN6, sin6_addr, 8);
WSK_ASSERT_AT(SOCKADDR_IN6, sin6_scope_id, 24);

#endif /* WSK_MIN_H */
