/* wskctl.h - what the two files of wskctl.exe share. No C runtime: it starts in a blink and needs kernel32 and ntdll only. */
#ifndef WSKCTL_H
#define WSKCTL_H

#ifndef WIN32_LEAN_AND_MEAN
#define WIN32_LEAN_AND_MEAN
#endif
#include <windows.h>
#include <winternl.h>

#include "wskctl_frames.h"
#include "wsksend_abi.h"

/* wskctl.c */
NTSTATUS DeviceControl(ULONG Device, ULONG Code, PVOID Input, ULONG InputLength, PVOID Output, ULONG OutputLength,
                       PULONG Returned);
void Say(const char *Text);

/* serve.c */
int Serve(void);

#endif /* WSKCTL_H */
