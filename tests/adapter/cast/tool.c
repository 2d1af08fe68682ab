/* tool.c - udpcast.exe: requests of cast.h from standard input, the driver's replies to standard output. */
#include <windows.h>

#include "cast.h"

static BOOL ReadAll(BYTE *To, DWORD Bytes) {
    while (Bytes != 0) {
        DWORD Got = 0;

        if (!ReadFile(GetStdHandle(STD_INPUT_HANDLE), To, Bytes, &Got, NULL) || Got == 0) {
            return FALSE;
        }
        To += Got;
        Bytes -= Got;
    }
    return TRUE;
}

static BYTE Request[sizeof(struct cast) + CAST_MOST];

void __stdcall Start(void) {
    struct cast *Cast = (struct cast *)Request;
    HANDLE Device = CreateFileW(L"\\\\.\\UdpCast", GENERIC_READ | GENERIC_WRITE, 0, NULL, OPEN_EXISTING, 0, NULL);

    while (ReadAll(Request, sizeof(*Cast)) && ReadAll(Request + sizeof(*Cast), Cast->length)) {
        struct cast_reply Reply = {0xC0000034u, 0}; /* the device could not be opened */
        DWORD Bytes = 0;

        if (Device != INVALID_HANDLE_VALUE && !DeviceIoControl(Device, CAST_IOCTL, Request, sizeof(*Cast) + Cast->length,
                                                               &Reply, sizeof(Reply), &Bytes, NULL)) {
            Reply.status = 0xC0000001u;
        }
        WriteFile(GetStdHandle(STD_OUTPUT_HANDLE), &Reply, sizeof(Reply), &Bytes, NULL);
    }
    ExitProcess(0);
}
