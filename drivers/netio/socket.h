/* socket.h - one datagram socket of a client. */
#ifndef NETIO_SOCKET_H
#define NETIO_SOCKET_H

#include "address.h"
#include "client.h"
#include "wsk_min.h"

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

#endif /* NETIO_SOCKET_H */
