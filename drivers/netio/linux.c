/* linux.c - see linux.h. Numbers from the x86-64 system call table. */
#include "linux.h"

#define NR_READ 0
#define NR_WRITE 1
#define NR_CLOSE 3
#define NR_POLL 7
#define NR_MPROTECT 10
#define NR_ACCESS 21
#define NR_SCHED_YIELD 24
#define NR_GETPPID 110
#define NR_GETPID 39
#define NR_SOCKET 41
#define NR_SENDMSG 46
#define NR_RECVMSG 47
#define NR_BIND 49
#define NR_GETSOCKNAME 51
#define NR_SETSOCKOPT 54
#define NR_GETSOCKOPT 55
#define NR_CLOCK_GETTIME 228
#define NR_EVENTFD2 290

/* The kernel takes its arguments in rdi, rsi, rdx, r10, r8 and clobbers rcx and r11; it touches no stack of ours. */
_IRQL_requires_max_(DISPATCH_LEVEL)
static int64_t Call(_In_ int64_t number, _In_ uint64_t a, _In_ uint64_t b, _In_ uint64_t c, _In_ uint64_t d,
                    _In_ uint64_t e) {
    int64_t result;
    register uint64_t r10 __asm__("r10") = d;
    register uint64_t r8 __asm__("r8") = e;

    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
                     : "rcx", "r11", "memory");
    return result;
}

/* Wine interrupts threads with signals, so every call may come back with EINTR. */
_IRQL_requires_max_(DISPATCH_LEVEL)
static int64_t Retry(_In_ int64_t number, _In_ uint64_t a, _In_ uint64_t b, _In_ uint64_t c, _In_ uint64_t d,
                     _In_ uint64_t e) {
    int64_t result;

    do {
        result = Call(number, a, b, c, d, e);
    } while (result == -LX_EINTR);
    return result;
}

/* Whether a system call reaches the kernel: the process has an id, it is not its parent's, and nonsense is refused. */
_Use_decl_annotations_
int LinuxUsable(void) {
    int64_t self = Call(NR_GETPID, 0, 0, 0, 0, 0);

    return self > 0 && self != Call(NR_GETPPID, 0, 0, 0, 0, 0) && Call(NR_CLOSE, (uint64_t)-1, 0, 0, 0, 0) == -9;
}

_Use_decl_annotations_
int LinuxSocket(int family, int type, int protocol) {
    return (int)Retry(NR_SOCKET, (uint64_t)family, (uint64_t)type, (uint64_t)protocol, 0, 0);
}

_Use_decl_annotations_
int LinuxBind(int fd, const void *address, uint32_t length) {
    return (int)Retry(NR_BIND, (uint64_t)fd, (uint64_t)address, length, 0, 0);
}

_Use_decl_annotations_
int LinuxGetName(int fd, void *address, uint32_t *length) {
    return (int)Retry(NR_GETSOCKNAME, (uint64_t)fd, (uint64_t)address, (uint64_t)length, 0, 0);
}

_Use_decl_annotations_
int LinuxSetOption(int fd, int level, int name, const void *value, uint32_t length) {
    return (int)Retry(NR_SETSOCKOPT, (uint64_t)fd, (uint64_t)level, (uint64_t)name, (uint64_t)value, length);
}

_Use_decl_annotations_
int LinuxGetOption(int fd, int level, int name, void *value, uint32_t *length) {
    return (int)Retry(NR_GETSOCKOPT, (uint64_t)fd, (uint64_t)level, (uint64_t)name, (uint64_t)value, (uint64_t)length);
}

_Use_decl_annotations_
int64_t LinuxSend(int fd, const struct lx_msghdr *message, int flags) {
    return Retry(NR_SENDMSG, (uint64_t)fd, (uint64_t)message, (uint64_t)flags, 0, 0);
}

_Use_decl_annotations_
int64_t LinuxReceive(int fd, struct lx_msghdr *message, int flags) {
    return Retry(NR_RECVMSG, (uint64_t)fd, (uint64_t)message, (uint64_t)flags, 0, 0);
}

/* Not retried: an interrupted wait looks at its reasons again. */
_Use_decl_annotations_
int LinuxPoll(struct lx_pollfd *fds, uint32_t count, int milliseconds) {
    return (int)Call(NR_POLL, (uint64_t)fds, count, (uint64_t)(int64_t)milliseconds, 0, 0);
}

_Use_decl_annotations_
int LinuxEvent(void) {
    return (int)Retry(NR_EVENTFD2, 0, LX_EFD_NONBLOCK | LX_EFD_CLOEXEC, 0, 0, 0);
}

_Use_decl_annotations_
void LinuxSignal(int fd) {
    uint64_t one = 1;

    Retry(NR_WRITE, (uint64_t)fd, (uint64_t)&one, sizeof(one), 0, 0);
}

_Use_decl_annotations_
void LinuxDrain(int fd) {
    uint64_t count;

    Retry(NR_READ, (uint64_t)fd, (uint64_t)&count, sizeof(count), 0, 0);
}

_Use_decl_annotations_
void LinuxClose(int fd) {
    Call(NR_CLOSE, (uint64_t)fd, 0, 0, 0, 0);
}

_Use_decl_annotations_
void LinuxYield(void) {
    Call(NR_SCHED_YIELD, 0, 0, 0, 0, 0);
}

_Use_decl_annotations_
int64_t LinuxMilliseconds(void) {
    int64_t now[2] = {0, 0};

    Call(NR_CLOCK_GETTIME, 1 /* CLOCK_MONOTONIC */, (uint64_t)now, 0, 0, 0);
    return now[0] * 1000 + now[1] / 1000000;
}

/* The kernel reads a path from the address, or says that it cannot. */
_Use_decl_annotations_
int LinuxReadable(const void *address) {
    return Call(NR_ACCESS, (uint64_t)address, 0, 0, 0, 0) != -LX_EFAULT;
}

_Use_decl_annotations_
int LinuxWritable(void *address) {
    return Call(NR_MPROTECT, (uint64_t)address & ~4095ull, 4096, 3 /* PROT_READ | PROT_WRITE */, 0, 0) == 0;
}
