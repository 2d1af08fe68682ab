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

/* Each returns the kernel's result: >= 0, or a negated LX_E number. */
int LinuxUsable(void);
int LinuxSocket(int family, int type, int protocol);
int LinuxBind(int fd, const void *address, uint32_t length);
int LinuxGetName(int fd, void *address, uint32_t *length);
int LinuxSetOption(int fd, int level, int name, const void *value, uint32_t length);
int LinuxGetOption(int fd, int level, int name, void *value, uint32_t *length);
int64_t LinuxSend(int fd, const struct lx_msghdr *message, int flags);
int64_t LinuxReceive(int fd, struct lx_msghdr *message, int flags);
int LinuxPoll(struct lx_pollfd *fds, uint32_t count, int milliseconds);
int LinuxEvent(void);
void LinuxSignal(int fd);
void LinuxDrain(int fd);
void LinuxClose(int fd);
void LinuxYield(void);
int64_t LinuxMilliseconds(void); /* since some moment, never backwards */
int LinuxReadable(const void *address);
int LinuxWritable(void *address); /* makes the page so, and says whether it is */

#endif /* NETIO_LINUX_H */
