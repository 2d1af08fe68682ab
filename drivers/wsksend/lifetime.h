/* lifetime.h - opening and closing sockets. */
#ifndef WSKSEND_LIFETIME_H
#define WSKSEND_LIFETIME_H

#include "request.h"
#include "wsk_min.h"

/* OPEN: WskSocket for a datagram socket of the requested family and category. */
REQUEST_HANDLER RequestOpen;

/* CLOSE: the handle is invalid from here on; the reply has in_flight when WskCloseSocket did not complete in time. */
REQUEST_HANDLER RequestClose;

/*
 * Closes every socket of Opener, within the time that a request may take. With Opener NULL it closes all sockets, also
 * stalled ones, and waits as long as WSK needs, because the driver unloads.
 */
_IRQL_requires_(PASSIVE_LEVEL)
VOID SocketCloseAll(_In_opt_ PFILE_OBJECT Opener);

#endif /* WSKSEND_LIFETIME_H */
