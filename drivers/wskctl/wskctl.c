/*
 * wskctl.c - user mode's way to the drivers' IOCTLs.
 *
 *   wskctl serve   relay framed requests from standard input, replies to standard output (serve.c)
 *   wskctl info    say what driver is loaded
 *
 * Exit code: 0 done, 1 the driver refused, 2 wrong usage, 3 standard input or output is broken.
 */
#include "wskctl.h"

static const WCHAR *const DeviceNames[WSKCTL_DEVICES] = {L"\\??\\WskSend", L"\\??\\WskProvider"};
static HANDLE Devices[WSKCTL_DEVICES];

/* The native calls, because only they tell the NTSTATUS as the driver set it. */
static NTSTATUS OpenDevice(ULONG Device) {
    UNICODE_STRING Name;
    OBJECT_ATTRIBUTES Attributes;
    IO_STATUS_BLOCK Io;

    RtlInitUnicodeString(&Name, DeviceNames[Device]);
    InitializeObjectAttributes(&Attributes, &Name, OBJ_CASE_INSENSITIVE, NULL, NULL);
    return NtOpenFile(&Devices[Device], FILE_READ_DATA | FILE_WRITE_DATA | SYNCHRONIZE, &Attributes, &Io,
                      FILE_SHARE_READ | FILE_SHARE_WRITE, FILE_SYNCHRONOUS_IO_NONALERT);
}

/* One IOCTL; opens the device on first use. *Returned is the number of bytes written to Output. */
NTSTATUS DeviceControl(ULONG Device, ULONG Code, PVOID Input, ULONG InputLength, PVOID Output, ULONG OutputLength,
                       PULONG Returned) {
    IO_STATUS_BLOCK Io = {0};
    NTSTATUS Status;

    *Returned = 0;
    if (Code == WSKCTL_CODE_DETACH) {
        if (Devices[Device] != NULL) {
            NtClose(Devices[Device]);
            Devices[Device] = NULL;
        }
        return 0;
    }
    if (Devices[Device] == NULL) {
        Status = OpenDevice(Device);
        if (!NT_SUCCESS(Status)) {
            Devices[Device] = NULL;
            return Status;
        }
    }
    Status = NtDeviceIoControlFile(Devices[Device], NULL, NULL, NULL, &Io, Code, Input, InputLength, Output,
                                   OutputLength);
    if (NT_SUCCESS(Status)) {
        *Returned = Io.Information > OutputLength ? OutputLength : (ULONG)Io.Information;
    }
    return Status;
}

static void WriteText(DWORD Stream, const char *Text) {
    DWORD Written;

    WriteFile(GetStdHandle(Stream), Text, (DWORD)lstrlenA(Text), &Written, NULL);
}

/* A line to standard error. */
void Say(const char *Text) {
    WriteText(STD_ERROR_HANDLE, "wskctl: ");
    WriteText(STD_ERROR_HANDLE, Text);
    WriteText(STD_ERROR_HANDLE, "\r\n");
}

static void WriteNumber(const char *Name, ULONGLONG Value) {
    char Digits[20] = "0x0000000000000000";
    int Index;

    for (Index = 17; Index > 1; Index--, Value >>= 4) {
        Digits[Index] = "0123456789abcdef"[Value & 15];
    }
    WriteText(STD_OUTPUT_HANDLE, Name);
    WriteText(STD_OUTPUT_HANDLE, Digits);
    WriteText(STD_OUTPUT_HANDLE, "\r\n");
}

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
