/*
 * cast.h - the interface of udpcast.sys, a driver that shares nothing but WSK with the harness's own: one IOCTL opens a
 * socket, binds it, sends one datagram and closes it. Ports are in host order.
 */
#ifndef CAST_H
#define CAST_H

#include <stdint.h>

#define CAST_IOCTL ((0x22u << 16) | (3u << 14) | (0x901u << 2)) /* FILE_DEVICE_UNKNOWN, METHOD_BUFFERED */
#define CAST_MOST 65535u

struct cast { /* the payload follows */
    uint16_t six;
    uint16_t from;
    uint16_t port;
    uint16_t length;
    uint8_t address[16];
};

struct cast_reply {
    uint32_t status; /* of the first call that failed, or of WskSendTo */
    uint32_t sent;
};

#endif /* CAST_H */
