/*
 * report.c - findings, one line each: number, code, address in the driver, words, stack; separated by tabs. Any IRQL.
 */
#include <ntifs.h>

#include "report.h"

#include "image.h"

#define LINE_BYTES 768u
#define MOST_LINES 20000

static HANDLE Log;
static volatile LONG Lines;

NTSYSAPI NTSTATUS NTAPI NtCreateFile(PHANDLE, ACCESS_MASK, POBJECT_ATTRIBUTES, PIO_STATUS_BLOCK, PLARGE_INTEGER, ULONG,
                                     ULONG, ULONG, ULONG, PVOID, ULONG);
NTSYSAPI NTSTATUS NTAPI NtWriteFile(HANDLE, HANDLE, PIO_APC_ROUTINE, PVOID, PIO_STATUS_BLOCK, PVOID, ULONG,
                                    PLARGE_INTEGER, PULONG);

typedef struct _TEXT {
    char Line[LINE_BYTES];
    ULONG Used;
} TEXT;

_IRQL_requires_max_(DISPATCH_LEVEL)
static VOID Put(TEXT *Text, char Character) {
    if (Text->Used < LINE_BYTES - 2) {
        Text->Line[Text->Used++] = Character;
    }
}

_IRQL_requires_max_(DISPATCH_LEVEL)
static VOID PutNumber(TEXT *Text, ULONG64 Value, ULONG Base) {
    char Digits[20];
    ULONG Count = 0;

    do {
        Digits[Count++] = "0123456789abcdef"[Value % Base];
        Value /= Base;
    } while (Value != 0);
    while (Count != 0) {
        Put(Text, Digits[--Count]);
    }
}

/* Knows %s, %d (an unsigned 64-bit number), %x (likewise) and %p (an address in the driver, as RVA). */
_IRQL_requires_max_(DISPATCH_LEVEL)
static VOID PutFormat(TEXT *Text, const char *Format, va_list List) {
    for (; *Format != 0; Format++) {
        const char *Word;

        if (*Format != '%') {
            Put(Text, *Format);
            continue;
        }
        switch (*++Format) {
        case 's':
            for (Word = va_arg(List, const char *); *Word != 0; Word++) {
                Put(Text, *Word);
            }
            break;
        case 'd':
            PutNumber(Text, va_arg(List, ULONG64), 10);
            break;
        case 'x':
            PutNumber(Text, va_arg(List, ULONG64), 16);
            break;
        case 'p':
            Put(Text, '@');
            PutNumber(Text, Rva((ULONG_PTR)va_arg(List, ULONG64)), 16);
            break;
        default:
            Put(Text, *Format);
            break;
        }
    }
}

/* Opens the log for appending; whoever started the session made its folder and emptied it. PASSIVE_LEVEL. */
_Use_decl_annotations_
VOID ReportOpen(VOID) {
    UNICODE_STRING Name = RTL_CONSTANT_STRING(L"\\??\\C:\\harness\\verifier.log");
    OBJECT_ATTRIBUTES Attributes;
    IO_STATUS_BLOCK Io;

    if (Log != NULL) {
        return;
    }
    InitializeObjectAttributes(&Attributes, &Name, OBJ_CASE_INSENSITIVE, NULL, NULL);
    if (!NT_SUCCESS(NtCreateFile(&Log, FILE_APPEND_DATA | SYNCHRONIZE, &Attributes, &Io, NULL, FILE_ATTRIBUTE_NORMAL,
                                 FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, FILE_OPEN_IF,
                                 FILE_SYNCHRONOUS_IO_NONALERT, NULL, 0))) {
        Log = NULL;
    }
}

_Use_decl_annotations_
VOID ReportResume(VOID) {
    InterlockedExchange(&Lines, 0);
}

_IRQL_requires_max_(DISPATCH_LEVEL)
static VOID Write(const char *Code, ULONG_PTR Address, const ULONG_PTR *Stack, const char *Format, va_list List) {
    TEXT Text = {.Used = 0};
    IO_STATUS_BLOCK Io;
    LONG Number = InterlockedIncrement(&Lines);

    if (Number > MOST_LINES + 1) {
        return;
    }
    if (Number > MOST_LINES) { /* the last line says that no other one follows */
        Code = "muted";
        Stack = NULL;
        Format = "no more lines are written";
    }
    PutNumber(&Text, (ULONG64)Number, 10);
    Put(&Text, '\t');
    for (; *Code != 0; Code++) {
        Put(&Text, *Code);
    }
    Put(&Text, '\t');
    PutNumber(&Text, Rva(Address), 16);
    Put(&Text, '\t');
    PutFormat(&Text, Format, List);
    Put(&Text, '\t');
    for (; Stack != NULL && *Stack != 0; Stack++) {
        PutNumber(&Text, Rva(*Stack), 16);
        Put(&Text, ' ');
    }
    Text.Line[Text.Used++] = '\n';
    Text.Line[Text.Used] = 0;
    if (Log != NULL) {
        NtWriteFile(Log, NULL, NULL, NULL, &Io, Text.Line, Text.Used, NULL, NULL);
    }
    DbgPrint("verifier: %s", Text.Line);
}

_Use_decl_annotations_
VOID Report(const char *Code, ULONG_PTR Address, const char *Format, ...) {
    va_list List;

    va_start(List, Format);
    Write(Code, Address, NULL, Format, List);
    va_end(List);
}

_Use_decl_annotations_
VOID ReportStack(const char *Code, ULONG_PTR Address, const ULONG_PTR *Stack, const char *Format, ...) {
    va_list List;

    va_start(List, Format);
    Write(Code, Address, Stack, Format, List);
    va_end(List);
}
