/*
 * attach.c - finds the image that called WskRegister and binds its imports to the verifier's functions.
 * PASSIVE_LEVEL, in the driver's thread.
 *
 * netio.sys loads this image, when it is there, at a driver's WskRegister and names the caller; the verifier then
 * rebinds the imports of the caller's image to its own functions. It needs no change in the driver. What it finds
 * goes, line by line, to C:\harness\verifier.log, which can be read while the driver hangs and after it has died, and
 * to DbgPrint. After a finding it goes on in the way that does least harm, so that one fault does not hide the next.
 */
#include "blocks.h"
#include "faults.h"
#include "image.h"
#include "kernel.h"
#include "report.h"
#include "wskhooks.h"

#define DOS_LFANEW 0x3C /* offsets of the PE format (Microsoft PE and COFF specification) */
#define PE_SECTIONS 0x06
#define PE_OPTIONAL_SIZE 0x14
#define PE_OPTIONAL 0x18
#define PE_IMAGE_SIZE 0x50
#define PE_IMPORTS 0x90
#define IMPORT_BYTES 20u
#define IMPORT_NAMES 0
#define IMPORT_MODULE 12
#define IMPORT_ADDRESSES 16
#define SECTION_BYTES 40u
#define IMPORT_BY_ORDINAL 0x8000000000000000ull
#define PAGE_READWRITE_USER 4u

#define LOADED_BASE_NAME 0x58 /* UNICODE_STRING BaseDllName of LDR_DATA_TABLE_ENTRY */

NTSYSAPI PVOID NTAPI RtlPcToFileHeader(PVOID, PVOID *);
NTSYSAPI NTSTATUS NTAPI LdrFindEntryForAddress(PVOID, PVOID *);
NTSYSAPI NTSTATUS NTAPI NtProtectVirtualMemory(HANDLE, PVOID *, PSIZE_T, ULONG, PULONG);

static char DriverFile[64];

DRIVER_INITIALIZE DriverEntry;

_IRQL_requires_(PASSIVE_LEVEL)
static ULONG Read32(ULONG_PTR Address) {
    return *(const ULONG *)Address;
}

_IRQL_requires_(PASSIVE_LEVEL)
static BOOLEAN Same(const char *A, const char *B) {
    while (*A != 0 && *A == *B) {
        A++;
        B++;
    }
    return *A == *B;
}

static const HOOK *Find(const char *Name) {
    const HOOK *Hook;

    for (Hook = KernelHooks; Hook->Name != NULL; Hook++) {
        if (Same(Hook->Name, Name)) {
            return Hook;
        }
    }
    for (Hook = WskHooks; Hook->Name != NULL; Hook++) {
        if (Same(Hook->Name, Name)) {
            return Hook;
        }
    }
    return NULL;
}

/* Writes one import, which the loader has made read-only. */
_IRQL_requires_(PASSIVE_LEVEL)
static BOOLEAN Bind(PVOID *Slot, PVOID Function) {
    PVOID Start = Slot;
    SIZE_T Bytes = sizeof(*Slot);
    ULONG Old;

    if (!NT_SUCCESS(NtProtectVirtualMemory((HANDLE)-1, &Start, &Bytes, PAGE_READWRITE_USER, &Old))) {
        return FALSE;
    }
    *Slot = Function;
    NtProtectVirtualMemory((HANDLE)-1, &Start, &Bytes, Old, &Old);
    return TRUE;
}

/*
 * Returns how many imports are bound to the verifier's functions; with Change it binds all that it knows first. An
 * import that was changed later on leads to the verifier no less: netio.sys (memory.c) puts its own functions in front.
 */
_IRQL_requires_(PASSIVE_LEVEL)
static ULONG Bindings(ULONG_PTR Base, BOOLEAN Change) {
    ULONG_PTR Header = Base + Read32(Base + DOS_LFANEW);
    ULONG_PTR Import = Base + Read32(Header + PE_IMPORTS);
    ULONG Bound = 0;

    if (Import == Base) {
        return 0;
    }
    for (; Read32(Import + IMPORT_MODULE) != 0; Import += IMPORT_BYTES) {
        const ULONG64 *Names = (const ULONG64 *)(Base + Read32(Import + IMPORT_NAMES));
        PVOID *Slots = (PVOID *)(Base + Read32(Import + IMPORT_ADDRESSES));

        for (; *Names != 0; Names++, Slots++) {
            const HOOK *Hook;

            if ((*Names & IMPORT_BY_ORDINAL) != 0) {
                continue;
            }
            Hook = Find((const char *)(Base + (ULONG_PTR)*Names + 2));
            if (Hook == NULL) {
                continue;
            }
            if (*Slots == Hook->Function) {
                Bound++;
                continue;
            }
            if (!Change) {
                continue;
            }
            if (Hook->Original != NULL) {
                *Hook->Original = *Slots;
            }
            Bound += Bind(Slots, Hook->Function) ? 1 : 0;
        }
    }
    return Bound;
}

/* The section whose name begins with PAGE may be paged out. */
_IRQL_requires_(PASSIVE_LEVEL)
static VOID FindPaged(ULONG_PTR Base, ULONG_PTR Header) {
    ULONG_PTR Section = Header + PE_OPTIONAL + *(const USHORT *)(Header + PE_OPTIONAL_SIZE);
    ULONG Count = *(const USHORT *)(Header + PE_SECTIONS);

    Driver.PagedStart = Driver.PagedEnd = 0;
    for (; Count != 0; Count--, Section += SECTION_BYTES) {
        if (Read32(Section) == 0x45474150u) {
            Driver.PagedStart = Base + Read32(Section + 12);
            Driver.PagedEnd = Driver.PagedStart + Read32(Section + 8);
        }
    }
}

/* Keeps the name of the image's file, as the loader has it, in ASCII. */
_IRQL_requires_(PASSIVE_LEVEL)
static VOID KeepName(ULONG_PTR Base) {
    PVOID Entry = NULL;
    const UNICODE_STRING *Name;
    ULONG Count = 0;

    if (NT_SUCCESS(LdrFindEntryForAddress((PVOID)Base, &Entry))) {
        Name = (const UNICODE_STRING *)((ULONG_PTR)Entry + LOADED_BASE_NAME);
        for (; Count < Name->Length / sizeof(WCHAR) && Count < sizeof(DriverFile) - 1; Count++) {
            WCHAR Character = Name->Buffer[Count];

            DriverFile[Count] = Character > ' ' && Character < 0x7F ? (char)Character : '?';
        }
    }
    DriverFile[Count] = 0;
}

/*
 * netio.sys calls it with the return address and the registration of a WskRegister that it is about to carry out. A
 * driver that is watched already only has its registration noted.
 */
_IRQL_requires_(PASSIVE_LEVEL)
__declspec(dllexport) VOID NTAPI VerifierAttach(PVOID Caller, PWSK_REGISTRATION Registration) {
    PVOID Found = NULL;
    ULONG_PTR Base = (ULONG_PTR)RtlPcToFileHeader(Caller, &Found);
    ULONG_PTR Header;
    ULONG Bound;

    if (Base == 0 || !BlocksInitialize()) {
        return;
    }
    if (Driver.Attached && Driver.Base == Base) {
        return; /* its own import of WskRegister is bound to us: the call came through there */
    }
    if (Driver.Attached) {
        Report("replaced", 0, "the driver went without DriverUnload");
        BlocksLeaked(FALSE);
    }
    Header = Base + Read32(Base + DOS_LFANEW);
    Driver.Base = Base;
    Driver.End = Base + Read32(Header + PE_IMAGE_SIZE);
    FindPaged(Base, Header);
    ReportOpen();
    FaultsWatch();
    KeepName(Base);
    Bound = Bindings(Base, TRUE);
    Driver.Attached = TRUE;
    WskReset(Registration, (ULONG_PTR)Caller);
    Report("attached", 0, "version %d, %s, %d imports", (ULONG64)VERIFIER_VERSION, DriverFile, (ULONG64)Bound);
}

/*
 * netio.sys calls it when somebody asks whether a driver is watched now: the answer is a line of the log with the
 * asker's number. The imports are counted again, since memory may have been saved and restored in between.
 */
_IRQL_requires_(PASSIVE_LEVEL)
__declspec(dllexport) VOID NTAPI VerifierAnnounce(ULONG64 Number) {
    ULONG Bound = Driver.Attached ? Bindings(Driver.Base, FALSE) : 0;

    ReportOpen();
    ReportResume();
    Report("watching", 0, "%x version %d, %s, %d imports", Number, (ULONG64)VERIFIER_VERSION,
           Driver.Attached ? DriverFile : "nothing", (ULONG64)Bound);
}

/* Never called by Wine for an image that is loaded as a library. */
_IRQL_requires_(PASSIVE_LEVEL)
NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    return 1;
}
