/* send.h - requests for WskSendTo and WskSendMessages. */
#ifndef WSKSEND_SEND_H
#define WSKSEND_SEND_H

#include "request.h"

/* SEND: WskSendTo with one WSK_BUF. */
REQUEST_HANDLER RequestSend;

/* SEND_MESSAGES: WskSendMessages, one datagram for each WSK_BUF. */
REQUEST_HANDLER RequestSendMessages;

#endif /* WSKSEND_SEND_H */
