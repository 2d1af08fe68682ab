/*
 * sc.exe for the Wine guest: create, start, stop, query and delete of services, told as Windows' sc.exe tells them.
 *
 * Wine's own sc.exe returns 1 for every error and prints little. On Windows the exit code is the Win32 error, and an
 * error is printed as "[SC] <function> FAILED <code>:"; this program does both. User mode, one service per call.
 */
#include <windows.h>
#include <stdio.h>
#include <stdlib.h>
#include <wchar.h>

static int failed(const char *function)
{
    DWORD error = GetLastError();
    printf("[SC] %s FAILED %lu:\n\n", function, error);
    return (int)error;
}

static int usage(void)
{
    printf("ERROR:  Unrecognized command\n\n"
           "USAGE: sc create|start|stop|query|delete NAME [type= kernel] [start= demand] [error= normal] [binPath= FILE]\n");
    return 1639; /* ERROR_INVALID_COMMAND_LINE */
}

/* The value of "option= VALUE" (Windows wants the blank, and takes the value without it, too), or NULL. */
static const WCHAR *option(int argc, WCHAR **argv, const WCHAR *name)
{
    size_t length = wcslen(name);
    for (int i = 3; i < argc; i++) {
        if (_wcsnicmp(argv[i], name, length) != 0 || argv[i][length] != L'=')
            continue;
        if (argv[i][length + 1] != 0)
            return argv[i] + length + 1;
        return i + 1 < argc ? argv[i + 1] : NULL;
    }
    return NULL;
}

static const char *state_name(DWORD state)
{
    static const char *const names[] = { "?", "STOPPED", "START_PENDING", "STOP_PENDING", "RUNNING",
                                         "CONTINUE_PENDING", "PAUSE_PENDING", "PAUSED" };
    return state < sizeof(names) / sizeof(names[0]) ? names[state] : names[0];
}

static int show(const WCHAR *name, const SERVICE_STATUS *status)
{
    printf("\nSERVICE_NAME: %ls \n", name);
    printf("        TYPE               : %lx  %s \n", status->dwServiceType,
           status->dwServiceType == SERVICE_KERNEL_DRIVER ? "KERNEL_DRIVER" : "WIN32");
    printf("        STATE              : %lu  %s \n", status->dwCurrentState, state_name(status->dwCurrentState));
    printf("        WIN32_EXIT_CODE    : %lu  (0x%lx)\n", status->dwWin32ExitCode, status->dwWin32ExitCode);
    printf("        SERVICE_EXIT_CODE  : %lu  (0x%lx)\n", status->dwServiceSpecificExitCode,
           status->dwServiceSpecificExitCode);
    printf("        CHECKPOINT         : 0x%lx\n", status->dwCheckPoint);
    printf("        WAIT_HINT          : 0x%lx\n", status->dwWaitHint);
    return 0;
}

static int create(SC_HANDLE manager, int argc, WCHAR **argv)
{
    const WCHAR *type = option(argc, argv, L"type");
    const WCHAR *start = option(argc, argv, L"start");
    const WCHAR *path = option(argc, argv, L"binPath");
    DWORD kind = type && !_wcsicmp(type, L"kernel") ? SERVICE_KERNEL_DRIVER : SERVICE_WIN32_OWN_PROCESS;
    DWORD when = start && !_wcsicmp(start, L"auto") ? SERVICE_AUTO_START : SERVICE_DEMAND_START;

    if (path == NULL)
        return usage();
    SC_HANDLE service = CreateServiceW(manager, argv[2], argv[2], SERVICE_ALL_ACCESS, kind, when, SERVICE_ERROR_NORMAL,
                                       path, NULL, NULL, NULL, NULL, NULL);
    if (service == NULL)
        return failed("CreateService");
    CloseServiceHandle(service);
    printf("[SC] CreateService SUCCESS\n");
    return 0;
}

/*
 * StartService's error for a driver. Wine says ERROR_DLL_INIT_FAILED for every image that its loader refuses; Windows
 * tells a file that is missing from one that is no driver for this machine.
 */
static int start_failed(SC_HANDLE service)
{
    BYTE buffer[4096];
    QUERY_SERVICE_CONFIGW *config = (QUERY_SERVICE_CONFIGW *)buffer;
    DWORD error = GetLastError(), needed;

    if (error == ERROR_DLL_INIT_FAILED && QueryServiceConfigW(service, config, sizeof(buffer), &needed)) {
        HMODULE image;
        if (GetFileAttributesW(config->lpBinaryPathName) == INVALID_FILE_ATTRIBUTES)
            error = ERROR_FILE_NOT_FOUND;
        else if ((image = LoadLibraryExW(config->lpBinaryPathName, NULL, DONT_RESOLVE_DLL_REFERENCES)) == NULL)
            error = ERROR_BAD_EXE_FORMAT;
        else
            FreeLibrary(image);
    }
    SetLastError(error);
    return failed("StartService");
}

static int act(SC_HANDLE service, const WCHAR *verb, const WCHAR *name)
{
    SERVICE_STATUS status = { 0 };

    if (!_wcsicmp(verb, L"start")) {
        if (!StartServiceW(service, 0, NULL))
            return start_failed(service);
        return QueryServiceStatus(service, &status) ? show(name, &status) : failed("QueryServiceStatus");
    }
    if (!_wcsicmp(verb, L"stop"))
        return ControlService(service, SERVICE_CONTROL_STOP, &status) ? show(name, &status) : failed("ControlService");
    if (!_wcsicmp(verb, L"query"))
        return QueryServiceStatus(service, &status) ? show(name, &status) : failed("QueryServiceStatus");
    if (!_wcsicmp(verb, L"delete")) {
        if (!DeleteService(service))
            return failed("DeleteService");
        printf("[SC] DeleteService SUCCESS\n");
        return 0;
    }
    return usage();
}

int wmain(int argc, WCHAR **argv)
{
    SC_HANDLE manager, service;
    int result;

    if (argc < 3)
        return usage();
    manager = OpenSCManagerW(NULL, NULL, SC_MANAGER_ALL_ACCESS);
    if (manager == NULL)
        return failed("OpenSCManager");
    if (!_wcsicmp(argv[1], L"create")) {
        result = create(manager, argc, argv);
    } else if ((service = OpenServiceW(manager, argv[2], SERVICE_ALL_ACCESS)) == NULL) {
        BOOL query = !_wcsicmp(argv[1], L"query");
        result = failed(query ? "EnumQueryServicesStatus:OpenService" : "OpenService");
    } else {
        result = act(service, argv[1], argv[2]);
        CloseServiceHandle(service);
    }
    CloseServiceHandle(manager);
    fflush(stdout);
    return result;
}
