/* burst.h - many sends in one request. */
#ifndef WSKSEND_BURST_H
#define WSKSEND_BURST_H

#include "request.h"

/* BURST: `count` sends, `depth` in flight. A failure after the first send ends the burst; `sent` counts the sends. */
REQUEST_HANDLER RequestBurst;

#endif /* WSKSEND_BURST_H */
