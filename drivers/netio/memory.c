/*
 * memory.c - the client's own allocations, made to fail: its imports of the kernel's allocators are led through here.
 *
 * A driver image lies in memory with its import tables, so each pointer to an allocator is replaced by one to a
 * function that asks force.c first and then calls what was there before, which is not the kernel's when somebody else
 * (a verifier) has come first; its caller stays the client, for these are tail calls. The client gets its imports
 * back when it deregisters. PASSIVE_LEVEL, except for the allocators themselves.
 */
#include <ntifs.h>
#include <ntimage.h>

#include "memory.h"

#include "force.h"
#include "linux.h"
#include "wskprovider_abi.h"

#define SEARCHED_PAGES 4096u

typedef PVOID NTAPI POOL_FUNCTION(POOL_TYPE, SIZE_T, ULONG);
typedef PIRP NTAPI IRP_FUNCTION(CCHAR, BOOLEAN);
typedef PMDL NTAPI MDL_FUNCTION(PVOID, ULONG, BOOLEAN, BOOLEAN, PIRP);

static POOL_FUNCTION *PoolBefore;
static IRP_FUNCTION *IrpBefore;
static MDL_FUNCTION *MdlBefore;

_IRQL_requires_max_(DISPATCH_LEVEL)
static PVOID NTAPI Pool(POOL_TYPE Type, SIZE_T Bytes, ULONG Tag) {
    return ForceMemory(WSKPROVIDER_CALL_POOL) ? NULL : PoolBefore(Type, Bytes, Tag);
}

_IRQL_requires_max_(DISPATCH_LEVEL)
static PIRP NTAPI IrpOf(CCHAR StackSize, BOOLEAN ChargeQuota) {
    return ForceMemory(WSKPROVIDER_CALL_IRP) ? NULL : IrpBefore(StackSize, ChargeQuota);
}

_IRQL_requires_max_(DISPATCH_LEVEL)
static PMDL NTAPI MdlOf(PVOID Address, ULONG Length, BOOLEAN Secondary, BOOLEAN ChargeQuota, PIRP Irp) {
    return ForceMemory(WSKPROVIDER_CALL_MDL) ? NULL : MdlBefore(Address, Length, Secondary, ChargeQuota, Irp);
}

typedef struct _DETOUR {
    const char *Name;
    ULONG64 Own;
    ULONG64 *Before;
} DETOUR;

_IRQL_requires_max_(DISPATCH_LEVEL)
static BOOLEAN Same(_In_z_ const char *A, _In_z_ const char *B) {
    for (; *A != 0 && *A == *B; A++, B++) {
    }
    return *A == *B;
}

/* The image that an address within it belongs to, or NULL. */
_IRQL_requires_(PASSIVE_LEVEL)
static PUCHAR ImageOf(_In_ const VOID *Inside) {
    PUCHAR Page = (PUCHAR)((ULONG_PTR)Inside & ~((ULONG_PTR)PAGE_SIZE - 1));
    ULONG Count;

    for (Count = 0; Count < SEARCHED_PAGES; Count++, Page -= PAGE_SIZE) {
        const IMAGE_DOS_HEADER *Dos = (const IMAGE_DOS_HEADER *)Page;

        if (!LinuxReadable(Page)) {
            return NULL;
        }
        if (Dos->e_magic == IMAGE_DOS_SIGNATURE && (ULONG)Dos->e_lfanew < PAGE_SIZE - sizeof(IMAGE_NT_HEADERS64) &&
            ((const IMAGE_NT_HEADERS64 *)(Page + Dos->e_lfanew))->Signature == IMAGE_NT_SIGNATURE) {
            return Page;
        }
    }
    return NULL;
}

_Use_decl_annotations_
VOID MemoryDetour(const VOID *Inside, BOOLEAN Back) {
    const DETOUR Detours[] = {
        {"ExAllocatePoolWithTag", (ULONG64)(ULONG_PTR)Pool, (ULONG64 *)&PoolBefore},
        {"IoAllocateIrp", (ULONG64)(ULONG_PTR)IrpOf, (ULONG64 *)&IrpBefore},
        {"IoAllocateMdl", (ULONG64)(ULONG_PTR)MdlOf, (ULONG64 *)&MdlBefore},
    };
    PUCHAR Base = ImageOf(Inside);
    const IMAGE_NT_HEADERS64 *Headers;
    const IMAGE_IMPORT_DESCRIPTOR *Module;
    ULONG Index;

    if (Base == NULL) {
        return;
    }
    Headers = (const IMAGE_NT_HEADERS64 *)(Base + ((const IMAGE_DOS_HEADER *)Base)->e_lfanew);
    Index = Headers->OptionalHeader.DataDirectory[IMAGE_DIRECTORY_ENTRY_IMPORT].VirtualAddress;
    if (Index == 0) {
        return;
    }
    for (Module = (const IMAGE_IMPORT_DESCRIPTOR *)(Base + Index); Module->Name != 0; Module++) {
        const ULONG64 *Name = (const ULONG64 *)(Base + Module->OriginalFirstThunk);
        ULONG64 *Slot = (ULONG64 *)(Base + Module->FirstThunk);

        for (; Module->OriginalFirstThunk != 0 && *Name != 0; Name++, Slot++) {
            if ((*Name >> 63) != 0) {
                continue; /* by ordinal */
            }
            for (Index = 0; Index < RTL_NUMBER_OF(Detours); Index++) {
                if (!Same((const char *)Base + (ULONG)*Name + 2, Detours[Index].Name) || !LinuxWritable(Slot)) {
                    continue;
                }
                if (!Back && *Slot != Detours[Index].Own) {
                    *Detours[Index].Before = *Slot;
                    *Slot = Detours[Index].Own;
                } else if (Back && *Slot == Detours[Index].Own) {
                    *Slot = *Detours[Index].Before;
                }
            }
        }
    }
}
