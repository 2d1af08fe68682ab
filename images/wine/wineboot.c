/*
 * wineboot.exe for the Wine guest: start the service manager, wait until it serves, end.
 *
 * Wine runs wineboot.exe before the first program of a session and waits for its end. Wine's own also makes shell
 * folders, run keys and hardware keys, for which it loads a desktop's worth of DLLs; a driver needs none of that.
 */
#include <windows.h>

#define DEADLINE_MS 60000

int wmain(void)
{
    static WCHAR services[] = L"C:\\windows\\system32\\services.exe";
    STARTUPINFOW startup = { .cb = sizeof(startup) };
    PROCESS_INFORMATION process;
    HANDLE waits[2];
    DWORD woken;

    waits[0] = CreateEventW(NULL, TRUE, FALSE, L"__wine_SvcctlStarted"); /* set by services.exe when it serves */
    if (waits[0] == NULL)
        return (int)GetLastError();
    if (!CreateProcessW(services, services, NULL, NULL, FALSE, DETACHED_PROCESS, NULL, NULL, &startup, &process)) {
        CloseHandle(waits[0]);
        return (int)GetLastError();
    }
    CloseHandle(process.hThread);
    waits[1] = process.hProcess;
    woken = WaitForMultipleObjects(2, waits, FALSE, DEADLINE_MS);
    CloseHandle(waits[0]);
    CloseHandle(waits[1]);
    return woken == WAIT_OBJECT_0 ? 0 : ERROR_SERVICE_NOT_ACTIVE;
}
