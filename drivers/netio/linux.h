/*
 * linux.h - the guest kernel's system calls, as far as a UDP provider needs them (x86-64 Linux ABI).
 *
 * Wine runs driver code as user code of an ordinary Linux process, and Wine 8 leaves the `syscall` instruction alone.
 * Calling the kernel directly gives the provider what Wine's own Winsock does not: control messages on sends, exact
 * errors and no trip to the wineserver. LinuxUsable() proves it before the provider offers anything.
 */
#ifndef NETIO_LINUX_H
#define NETIO_LINUX_H

#include <stdint.h>

#include "annotations.h"

#define LX_AF_INET 2
#define LX_AF_INET6 10
#define LX_SOCK_DGRAM 2
#define LX_SOCK_NONBLOCK 0x800
#define LX_SOCK_CLOEXEC 0x80000
#define LX_EFD_NONBLOCK 0x800
#define LX_EFD_CLOEXEC 0x80000
#define LX_MSG_DONTWAIT 0x40
#define LX_MSG_TRUNC 0x20
#define LX_MSG_NOSIGNAL 0x4000
#define LX_POLLIN 1
#define LX_POLLOUT 4

#define LX_SOL_IP 0
#define LX_SOL_SOCKET 1
#define LX_SOL_UDP 17
#define LX_SOL_IPV6 41

#define LX_EPERM 1
#define LX_EINTR 4
#define LX_EAGAIN 11
#define LX_ENOMEM 12
#define LX_EACCES 13
#define LX_EFAULT 14
#define LX_ENODEV 19
#define LX_EINVAL 22
#define LX_ENFILE 23
#define LX_EMFILE 24
#define LX_EMSGSIZE 90
#define LX_ENOPROTOOPT 92
#define LX_EOPNOTSUPP 95
#define LX_EAFNOSUPPORT 97
#define LX_EADDRINUSE 98
#define LX_EADDRNOTAVAIL 99
#define LX_ENETDOWN 100
#define LX_ENETUNREACH 101
#define LX_ENOBUFS 105
#define LX_ECONNREFUSED 111
#define LX_EHOSTUNREACH 113

struct lx_iovec {
    void *base;
    uint64_t length;
};

struct lx_msghdr {
    void *name;
    uint32_t name_length;
    struct lx_iovec *iov;
    uint64_t iov_count;
    void *control;
    uint64_t control_length;
    int32_t flags;
};

struct lx_cmsghdr {
    uint64_t length;
    int32_t level;
    int32_t type;
};

struct lx_pollfd {
    int32_t fd;
    int16_t events;
    int16_t revents;
};

/*
 * Each function that returns a number returns the kernel's result: >= 0, or a negated LX_E number. A Wine driver has no
 * real IRQL, so all of them may be called anywhere; only LinuxPoll waits.
 */

/* TRUE (not 0) when system calls reach the Linux kernel. */
_IRQL_requires_max_(DISPATCH_LEVEL)
int LinuxUsable(void);

/* Returns a file descriptor, which the caller closes with LinuxClose. */
_IRQL_requires_max_(DISPATCH_LEVEL)
int LinuxSocket(_In_ int family, _In_ int type, _In_ int protocol);

_IRQL_requires_max_(DISPATCH_LEVEL)
int LinuxBind(_In_ int fd, _In_reads_bytes_(length) const void *address, _In_ uint32_t length);

_IRQL_requires_max_(DISPATCH_LEVEL)
int LinuxGetName(_In_ int fd, _Out_ void *address, _Inout_ uint32_t *length);

_IRQL_requires_max_(DISPATCH_LEVEL)
int LinuxSetOption(_In_ int fd, _In_ int level, _In_ int name, _In_reads_bytes_(length) const void *value,
                   _In_ uint32_t length);

_IRQL_requires_max_(DISPATCH_LEVEL)
int LinuxGetOption(_In_ int fd, _In_ int level, _In_ int name, _Out_ void *value, _Inout_ uint32_t *length);

/* Sends one message. Returns its bytes. */
_IRQL_requires_max_(DISPATCH_LEVEL)
int64_t LinuxSend(_In_ int fd, _In_ const struct lx_msghdr *message, _In_ int flags);

/* Receives one message. Returns its bytes. */
_IRQL_requires_max_(DISPATCH_LEVEL)
int64_t LinuxReceive(_In_ int fd, _Inout_ struct lx_msghdr *message, _In_ int flags);

/* Waits at most so long (-1: without end) for one of the descriptors. */
_IRQL_requires_max_(DISPATCH_LEVEL)
int LinuxPoll(_Inout_opt_ struct lx_pollfd *fds, _In_ uint32_t count, _In_ int milliseconds);

/* Returns the file descriptor of an event (eventfd), which the caller closes with LinuxClose. */
_IRQL_requires_max_(DISPATCH_LEVEL)
int LinuxEvent(void);

_IRQL_requires_max_(DISPATCH_LEVEL)
void LinuxSignal(_In_ int fd);

/* Resets an event. */
_IRQL_requires_max_(DISPATCH_LEVEL)
void LinuxDrain(_In_ int fd);

_IRQL_requires_max_(DISPATCH_LEVEL)
void LinuxClose(_In_ int fd);

/* Gives the processor away. */
_IRQL_requires_max_(DISPATCH_LEVEL)
void LinuxYield(void);

/* Returns a time in ms that never runs backwards. */
_IRQL_requires_max_(DISPATCH_LEVEL)
int64_t LinuxMilliseconds(void);

/* TRUE (not 0) when the address can be read. */
_IRQL_requires_max_(DISPATCH_LEVEL)
int LinuxReadable(_In_ const void *address);

/* Makes the address's page writable. TRUE (not 0) when that worked. */
_IRQL_requires_max_(DISPATCH_LEVEL)
int LinuxWritable(_In_ void *address);

#endif /* NETIO_LINUX_H */
