/* receive.h - requests for WskReceiveFrom, and for completions that no request has waited for. */
#ifndef WSKSEND_RECEIVE_H
#define WSKSEND_RECEIVE_H

#include "request.h"

/* RECEIVE: WskReceiveFrom into one MDL. Past the deadline the IRP is cancelled; WSK decides how it then completes. */
REQUEST_HANDLER RequestReceive;

/* COLLECT: waits for calls by their tickets, with one deadline for all; calls that are done are forgotten. */
REQUEST_HANDLER RequestCollect;

#endif /* WSKSEND_RECEIVE_H */
