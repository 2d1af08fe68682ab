/*
 * wskprovider_abi.h - rules for the Wine guest's WSK provider (\\.\WskProvider): what a provider may legally do.
 *
 * Portable C11, included by netio.sys; `python -m harness.wsk.generate` writes harness/wsk/layouts.py from it. Little
 * endian, no implicit padding. A rule of FORCE acts on the calls that match it: the first `skip` of them pass, the
 * next `count` are acted on. Rules are asked in the order in which they came; the first that acts is the only one
 * that does. RELENT forgets all rules, lets go of whatever is held and says how often each rule acted. WATCH asks the
 * verifier (drivers/verifier) for a line in its log that says the given number and which driver it watches;
 * STATUS_NOT_FOUND without a verifier. Statuses as in wsksend_abi.h.
 */
#ifndef WSKPROVIDER_ABI_H
#define WSKPROVIDER_ABI_H

#include <stdint.h>

#define WSKPROVIDER_ABI_VERSION 1
#define WSKPROVIDER_DEVICE_TYPE 0x8058u

/* CTL_CODE(type, function, METHOD_BUFFERED, FILE_READ_DATA | FILE_WRITE_DATA) */
#define WSKPROVIDER_IOCTL(function) ((WSKPROVIDER_DEVICE_TYPE << 16) | (3u << 14) | ((function) << 2))
#define WSKPROVIDER_IOCTL_FORCE WSKPROVIDER_IOCTL(0x800u)
#define WSKPROVIDER_IOCTL_RELENT WSKPROVIDER_IOCTL(0x801u)
#define WSKPROVIDER_IOCTL_WATCH WSKPROVIDER_IOCTL(0x802u)

#define WSKPROVIDER_MAX_RULES 16u
#define WSKPROVIDER_MAX_DELAY_MS 10000u

/* wskprovider_force.calls: which functions of WSK */
#define WSKPROVIDER_CALL_SOCKET 0x01u
#define WSKPROVIDER_CALL_CLOSE 0x02u /* INLINE, LATE and RAISED only: a socket that does not close is never freed */
#define WSKPROVIDER_CALL_BIND 0x04u
#define WSKPROVIDER_CALL_GET_LOCAL_ADDRESS 0x08u
#define WSKPROVIDER_CALL_CONTROL 0x10u
#define WSKPROVIDER_CALL_SEND 0x20u /* WskSendTo and WskSendMessages */
#define WSKPROVIDER_CALL_RECEIVE 0x40u
#define WSKPROVIDER_CALL_ALL 0x7Fu
/* Not functions of WSK but what the client itself calls in the kernel; FAIL only, and the status is the kernel's. */
#define WSKPROVIDER_CALL_POOL 0x100u /* ExAllocatePoolWithTag */
#define WSKPROVIDER_CALL_IRP 0x200u  /* IoAllocateIrp */
#define WSKPROVIDER_CALL_MDL 0x400u  /* IoAllocateMdl */
#define WSKPROVIDER_CALL_MEMORY 0x700u

/* wskprovider_force.effects */
#define WSKPROVIDER_INLINE 0x01u  /* complete the IRP in the calling thread, before the function returns its status */
#define WSKPROVIDER_LATE 0x02u    /* complete it delay_ms after it was due */
#define WSKPROVIDER_RAISED 0x04u  /* complete it at DISPATCH_LEVEL */
#define WSKPROVIDER_REVERSE 0x08u /* hold it until `count` of them are done, then complete the last one first */
#define WSKPROVIDER_FAIL 0x10u    /* do nothing and complete it with `status`, an error */
#define WSKPROVIDER_REFUSE 0x20u  /* with FAIL: the function returns `status` as well, and the IRP completes later */
#define WSKPROVIDER_PEND 0x40u    /* do nothing; it completes with STATUS_CANCELLED when its socket closes */
#define WSKPROVIDER_DEAD 0x80u    /* STATUS_FILE_FORCED_CLOSED for this call and all later ones on its socket */
#define WSKPROVIDER_EFFECTS 0xFFu

struct wskprovider_force {
    uint32_t version;
    uint32_t size;
    uint32_t calls;
    uint32_t effects;
    uint32_t status;
    uint32_t delay_ms;
    uint32_t skip;
    uint32_t count; /* 0: all that match */
    uint16_t family; /* with port: only sockets bound to it; 0: any */
    uint16_t port;
    uint32_t reserved;
};

struct wskprovider_relent {
    uint32_t version;
    uint32_t size;
};

struct wskprovider_relented {
    uint32_t rules;
    uint32_t held;                          /* IRPs that were held until now */
    uint32_t acted[WSKPROVIDER_MAX_RULES];  /* by rule, in the order in which they came */
};

struct wskprovider_watch {
    uint32_t version;
    uint32_t size;
    uint64_t number; /* any that the asker has not used before */
};

_Static_assert(sizeof(struct wskprovider_watch) == 16, "size of wskprovider_watch");
_Static_assert(sizeof(struct wskprovider_force) == 40, "size of wskprovider_force");
_Static_assert(sizeof(struct wskprovider_relent) == 8, "size of wskprovider_relent");
_Static_assert(sizeof(struct wskprovider_relented) == 72, "size of wskprovider_relented");

#endif /* WSKPROVIDER_ABI_H */
