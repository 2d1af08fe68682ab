/* serve.c - the relay: one framed request in, one IOCTL, one framed reply out, until standard input ends. */
#include "serve.h"

#include "console.h"
#include "device.h"
#include "windows_min.h"
#include "wskctl_frames.h"

typedef struct _READER {
    HANDLE Stream;
    BYTE *Buffer;
    DWORD Capacity;
    DWORD Start; /* bytes [Start, End) are read and not used yet */
    DWORD End;
} READER;

/* Copies upwards, byte by byte, so To may lie below From in one buffer. There is no memmove without a C runtime. */
static void Copy(_Out_writes_bytes_(Bytes) void *To, _In_reads_bytes_(Bytes) const void *From, _In_ SIZE_T Bytes) {
    __movsb(To, From, Bytes);
}

/* Makes at least Bytes bytes available at Start. FALSE: the stream ended first. */
static BOOL Fill(_Inout_ READER *Reader, _In_ DWORD Bytes) {
    while (Reader->End - Reader->Start < Bytes) {
        DWORD Got = 0;

        if (Reader->Capacity - Reader->Start < Bytes) {
            Copy(Reader->Buffer, Reader->Buffer + Reader->Start, Reader->End - Reader->Start);
            Reader->End -= Reader->Start;
            Reader->Start = 0;
        }
        if (!ReadFile(Reader->Stream, Reader->Buffer + Reader->End, Reader->Capacity - Reader->End, &Got, NULL) ||
            Got == 0) {
            return FALSE;
        }
        Reader->End += Got;
    }
    return TRUE;
}

static BOOL WriteAll(_In_ HANDLE Stream, _In_reads_bytes_(Bytes) const BYTE *Data, _In_ DWORD Bytes) {
    while (Bytes != 0) {
        DWORD Written = 0;

        if (!WriteFile(Stream, Data, Bytes, &Written, NULL) || Written == 0) {
            return FALSE;
        }
        Data += Written;
        Bytes -= Written;
    }
    return TRUE;
}

int Serve(void) {
    const DWORD Longest = WSKCTL_MAX_FRAME + sizeof(struct wskctl_request);
    HANDLE Output = GetStdHandle(STD_OUTPUT_HANDLE);
    READER Reader = {.Stream = GetStdHandle(STD_INPUT_HANDLE), .Capacity = Longest};
    BYTE *Reply = VirtualAlloc(NULL, Longest, MEM_COMMIT | MEM_RESERVE, PAGE_READWRITE);

    Reader.Buffer = VirtualAlloc(NULL, Longest, MEM_COMMIT | MEM_RESERVE, PAGE_READWRITE);
    if (Reader.Buffer == NULL || Reply == NULL) {
        Say("out of memory");
        return 3;
    }
    for (;;) {
        struct wskctl_request Request;
        struct wskctl_reply Head;
        ULONG Returned = 0;
        NTSTATUS Status;

        if (!Fill(&Reader, sizeof(Request))) {
            if (Reader.End != Reader.Start) {
                Say("standard input ended within a frame");
                return 3;
            }
            return 0;
        }
        Copy(&Request, Reader.Buffer + Reader.Start, sizeof(Request));
        if (Request.length < sizeof(Request) - 4 || Request.length - (sizeof(Request) - 4) > WSKCTL_MAX_FRAME ||
            Request.capacity > WSKCTL_MAX_FRAME || Request.device >= WSKCTL_DEVICES) {
            Say("a frame that makes no sense");
            return 3;
        }
        if (!Fill(&Reader, Request.length + 4)) {
            Say("standard input ended within a frame");
            return 3;
        }
        Status = DeviceControl(Request.device, Request.code, Reader.Buffer + Reader.Start + sizeof(Request),
                               Request.length + 4 - sizeof(Request), Reply + sizeof(Head), Request.capacity,
                               &Returned);
        Reader.Start += Request.length + 4;
        Head.length = sizeof(Head) - 4 + Returned;
        Head.tag = Request.tag;
        Head.status = (uint32_t)Status;
        Copy(Reply, &Head, sizeof(Head));
        if (!WriteAll(Output, Reply, sizeof(Head) + Returned)) {
            return 3;
        }
    }
}
