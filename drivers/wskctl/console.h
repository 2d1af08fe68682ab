/* console.h - text to standard output and standard error. */
#ifndef WSKCTL_CONSOLE_H
#define WSKCTL_CONSOLE_H

#include "windows_min.h"

/* Writes a line to standard error. */
void Say(_In_z_ const char *Text);

/* Writes a line "NAME0x0123456789abcdef" to standard output. */
void WriteNumber(_In_z_ const char *Name, _In_ ULONGLONG Value);

#endif /* WSKCTL_CONSOLE_H */
