/*
 * wineboot.exe for the Wine guest: start the service manager, wait until it serves, end.
 *
 * Wine runs wineboot.exe before the first program of a session and waits for its end. Wine's own also makes shell
 * folders, run keys and hardware keys, for which it loads a desktop's worth of DLLs; a driver needs none of that.
 * User mode; runs once per boot.
 */
#include <windows.h>
#include <winternl.h>

#define DEADLINE_MS 60000
#define NAME(text) { sizeof(text) - sizeof(WCHAR), sizeof(text), (PWSTR)(text) }

/* Fields of KUSER_SHARED_DATA, at the offsets that Windows fixes for user mode (ntddk.h). */
#define TICK_COUNT_MULTIPLIER 0x004
#define NT_BUILD_NUMBER 0x260
#define PRODUCT_TYPE_IS_VALID 0x268
#define PROCESSOR_FEATURES 0x274
#define ACTIVE_PROCESSOR_COUNT 0x3c0
#define SHARED_DATA_SIZE 0x1000

NTSTATUS NTAPI NtOpenEvent(PHANDLE, ACCESS_MASK, const OBJECT_ATTRIBUTES *);
NTSTATUS NTAPI NtOpenSection(PHANDLE, ACCESS_MASK, const OBJECT_ATTRIBUTES *);

/* Wine leaves to wineboot.exe what the kernel writes into the page that every process sees. */
static void fill_shared_data(void)
{
    static const BYTE features[] = { PF_COMPARE_EXCHANGE_DOUBLE, PF_MMX_INSTRUCTIONS_AVAILABLE, PF_RDTSC_INSTRUCTION_AVAILABLE,
                                     PF_XMMI_INSTRUCTIONS_AVAILABLE, PF_XMMI64_INSTRUCTIONS_AVAILABLE, PF_NX_ENABLED,
                                     PF_PAE_ENABLED, PF_COMPARE_EXCHANGE128 };
    UNICODE_STRING name = NAME(L"\\KernelObjects\\__wine_user_shared_data");
    OBJECT_ATTRIBUTES attributes;
    SYSTEM_INFO system;
    HANDLE section;
    BYTE *data;

    InitializeObjectAttributes(&attributes, &name, 0, NULL, NULL);
    if (NtOpenSection(&section, SECTION_MAP_READ | SECTION_MAP_WRITE, &attributes) != 0)
        return;
    data = MapViewOfFile(section, FILE_MAP_WRITE, 0, 0, SHARED_DATA_SIZE);
    CloseHandle(section);
    if (data == NULL)
        return;
    GetSystemInfo(&system);
    *(ULONG *)(data + TICK_COUNT_MULTIPLIER) = 1 << 24;
    *(ULONG *)(data + ACTIVE_PROCESSOR_COUNT) = system.dwNumberOfProcessors;
    *(ULONG *)(data + NT_BUILD_NUMBER) = 19045;
    data[PRODUCT_TYPE_IS_VALID] = TRUE;
    for (size_t i = 0; i < sizeof(features); i++)
        data[PROCESSOR_FEATURES + features[i]] = TRUE;
    UnmapViewOfFile(data);
}

int wmain(void)
{
    static WCHAR services[] = L"C:\\windows\\system32\\services.exe";
    UNICODE_STRING name = NAME(L"\\KernelObjects\\__wineboot_event");
    OBJECT_ATTRIBUTES attributes;
    STARTUPINFOW startup = { .cb = sizeof(startup) };
    PROCESS_INFORMATION process;
    HANDLE booted, waits[2];
    DWORD woken;

    fill_shared_data();
    /* The event by which Wine knows that the session is up lasts as long as a handle to it: services.exe inherits one. */
    InitializeObjectAttributes(&attributes, &name, OBJ_INHERIT, NULL, NULL);
    if (NtOpenEvent(&booted, EVENT_ALL_ACCESS, &attributes) != 0)
        return ERROR_FILE_NOT_FOUND;
    waits[0] = CreateEventW(NULL, TRUE, FALSE, L"__wine_SvcctlStarted"); /* set by services.exe when it serves */
    if (waits[0] == NULL)
        return (int)GetLastError();
    if (!CreateProcessW(services, services, NULL, NULL, TRUE, DETACHED_PROCESS, NULL, NULL, &startup, &process))
        return (int)GetLastError();
    CloseHandle(process.hThread);
    waits[1] = process.hProcess;
    woken = WaitForMultipleObjects(2, waits, FALSE, DEADLINE_MS);
    SetEvent(booted);
    return woken == WAIT_OBJECT_0 ? 0 : ERROR_SERVICE_NOT_ACTIVE; /* the process' end closes its handles */
}
