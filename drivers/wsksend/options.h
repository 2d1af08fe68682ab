/* options.h - requests for bind, local address, socket options and the two fixed addresses. */
#ifndef WSKSEND_OPTIONS_H
#define WSKSEND_OPTIONS_H

#include "request.h"

/* BIND: WskBind. The endpoint must have a family. */
REQUEST_HANDLER RequestBind;

/* GET_LOCAL_ADDRESS: WskGetLocalAddress. */
REQUEST_HANDLER RequestGetLocalAddress;

/* SET_OPTION: WskControlSocket(WskSetOption). Level and name go to WSK as they are. */
REQUEST_HANDLER RequestSetOption;

/* GET_OPTION: WskControlSocket(WskGetOption) with an output buffer of the requested length. */
REQUEST_HANDLER RequestGetOption;

/* SET_REMOTE_ADDRESS: SIO_WSK_SET_REMOTE_ADDRESS; family 0 clears the address. */
REQUEST_HANDLER RequestSetRemoteAddress;

/* SET_SENDTO_ADDRESS: SIO_WSK_SET_SENDTO_ADDRESS; family 0 clears the address. */
REQUEST_HANDLER RequestSetSendToAddress;

#endif /* WSKSEND_OPTIONS_H */
