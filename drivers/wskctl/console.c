/* console.c - text to standard output and standard error. */
#include "console.h"

static void WriteText(_In_ DWORD Stream, _In_z_ const char *Text) {
    DWORD Written;

    WriteFile(GetStdHandle(Stream), Text, (DWORD)lstrlenA(Text), &Written, NULL);
}

_Use_decl_annotations_
void Say(const char *Text) {
    WriteText(STD_ERROR_HANDLE, "wskctl: ");
    WriteText(STD_ERROR_HANDLE, Text);
    WriteText(STD_ERROR_HANDLE, "\r\n");
}

_Use_decl_annotations_
void WriteNumber(const char *Name, ULONGLONG Value) {
    char Digits[20] = "0x0000000000000000";
    int Index;

    for (Index = 17; Index > 1; Index--, Value >>= 4) {
        Digits[Index] = "0123456789abcdef"[Value & 15];
    }
    WriteText(STD_OUTPUT_HANDLE, Name);
    WriteText(STD_OUTPUT_HANDLE, Digits);
    WriteText(STD_OUTPUT_HANDLE, "\r\n");
}
