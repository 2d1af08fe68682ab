/* windows_min.h - the part of Windows that wskctl.exe uses. It has no C runtime: kernel32 and ntdll only. */
#ifndef WSKCTL_WINDOWS_MIN_H
#define WSKCTL_WINDOWS_MIN_H

#ifndef WIN32_LEAN_AND_MEAN
#define WIN32_LEAN_AND_MEAN
#endif
#include <windows.h>
#include <winternl.h>

#include "annotations.h"

#endif /* WSKCTL_WINDOWS_MIN_H */
