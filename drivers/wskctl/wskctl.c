/*
 * wskctl.c - the command line: lets user mode send the drivers' IOCTLs.
 *
 *   wskctl serve   relay framed requests from standard input, replies to standard output (serve.c)
 *   wskctl info    print the version of the loaded driver
 *
 * Exit code: 0 done, 1 the driver refused, 2 wrong usage, 3 standard input or output is broken.
 */
#include "console.h"
#include "device.h"
#include "serve.h"
#include "windows_min.h"
#include "wskctl_frames.h"
#include "wsksend_abi.h"

static int Info(void) {
    struct wsksend_request Request = {{WSKSEND_ABI_VERSION, sizeof(Request)}};
    struct wsksend_info Reply = {0};
    ULONG Returned;
    NTSTATUS Status = DeviceControl(WSKCTL_DEVICE_WSKSEND, WSKSEND_IOCTL_INFO, &Request, sizeof(Request), &Reply,
                                    sizeof(Reply), &Returned);

    WriteNumber("status      ", (ULONG)Status);
    if (!NT_SUCCESS(Status) || Returned != sizeof(Reply)) {
        return 1;
    }
    WriteNumber("abi         ", Reply.abi_version);
    WriteNumber("wsk highest ", Reply.wsk_highest);
    WriteNumber("wsk lowest  ", Reply.wsk_lowest);
    return 0;
}

/* What follows the program's name on the command line. */
static const WCHAR *Arguments(void) {
    const WCHAR *At = GetCommandLineW();
    BOOL Quoted = FALSE;

    for (; *At != 0 && (Quoted || (*At != L' ' && *At != L'\t')); At++) {
        Quoted ^= *At == L'"';
    }
    while (*At == L' ' || *At == L'\t') {
        At++;
    }
    return At;
}

/* Entry point; there is no runtime to return to. */
void __stdcall Start(void) {
    const WCHAR *Command = Arguments();
    int Exit = 2;

    if (lstrcmpW(Command, L"serve") == 0) {
        Exit = Serve();
    } else if (lstrcmpW(Command, L"info") == 0) {
        Exit = Info();
    } else {
        Say("usage: wskctl serve | wskctl info");
    }
    ExitProcess((UINT)Exit);
}
