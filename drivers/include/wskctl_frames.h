/*
 * wskctl_frames.h - what goes over standard input and output of `wskctl serve`. Little endian, no padding.
 *
 * Request: struct wskctl_request, then the input of the IOCTL. Reply: struct wskctl_reply, then its output. Replies
 * come in the order of the requests; the tag is the caller's. `length` counts the bytes behind the length field
 * itself.
 */
#ifndef WSKCTL_FRAMES_H
#define WSKCTL_FRAMES_H

#include <stdint.h>

#define WSKCTL_DEVICE_WSKSEND 0u
#define WSKCTL_DEVICE_PROVIDER 1u /* \\.\WskProvider, in the Wine guest */
#define WSKCTL_DEVICES 2u

#define WSKCTL_CODE_DETACH 0u /* no IOCTL: close the device, so that its driver can unload; the next request opens it */

#define WSKCTL_MAX_FRAME 2097152u /* input and output each */

struct wskctl_request {
    uint32_t length; /* 16 + bytes of input */
    uint32_t tag;
    uint32_t device;
    uint32_t code;     /* IOCTL code or WSKCTL_CODE_DETACH */
    uint32_t capacity; /* bytes of output that are wanted at most */
};

struct wskctl_reply {
    uint32_t length; /* 8 + bytes of output */
    uint32_t tag;
    uint32_t status; /* NTSTATUS of opening the device or of the IOCTL */
};

_Static_assert(sizeof(struct wskctl_request) == 20, "size of wskctl_request");
_Static_assert(sizeof(struct wskctl_reply) == 12, "size of wskctl_reply");

#endif /* WSKCTL_FRAMES_H */
