/* serve.h - the relay between standard input and output and the drivers. */
#ifndef WSKCTL_SERVE_H
#define WSKCTL_SERVE_H

/* Relays framed requests until standard input ends. Returns the exit code: 0, or 3 for a broken stream or no memory. */
int Serve(void);

#endif /* WSKCTL_SERVE_H */
