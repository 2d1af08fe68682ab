/*
 * blocks.c - memory for what the driver allocates: each block ends at a page that nobody may touch, and freed blocks
 * may not be touched at all until many others have been freed. Any IRQL up to DISPATCH_LEVEL.
 *
 * Shutting a page costs more than a send within a burst, so only the first blocks that a request frees are shut, and
 * one in some later; the others are poisoned, and looked at when their memory is used again.
 *
 * Wine's drivers are user code of a Linux process, so pages are opened and shut by the kernel's own mprotect.
 */
#include "blocks.h"

#include "image.h"
#include "irql.h"
#include "report.h"

#define PAGE 4096u
#define QUARANTINE 256u /* freed blocks of a class that are kept shut before the oldest is used again */
#define FENCE_BYTES 32u
#define FENCE 0xFD
#define POISON 0xCB
#define NONE MAXULONG
#define DEAD 0xDD
#define SHUT_FIRST 48u /* of the blocks that one request frees */
#define SHUT_EVERY 32u /* of those behind them */
#define LOOKED_AT 256u /* bytes of a freed block that are poisoned */

#define NR_MMAP 9
#define NR_MPROTECT 10
#define LX_PROT_RW 3
#define LX_MAP_PRIVATE_ANONYMOUS_NORESERVE 0x4022

typedef struct _CLASS {
    ULONG Pages; /* of a slot; the last is the guard */
    ULONG Count;
    ULONG First; /* index of its first block */
    ULONG_PTR Base;
    ULONG Used; /* slots used so far */
    ULONG Oldest, Newest, Freed;
} CLASS;

#define CLASSES 5u
#define BLOCKS (16384u + 4096u + 512u + 128u + 16u)

static CLASS Classes[CLASSES] = {{2, 16384, 0, 0, 0, NONE, NONE, 0},
                                 {4, 4096, 0, 0, 0, NONE, NONE, 0},
                                 {8, 512, 0, 0, 0, NONE, NONE, 0},
                                 {36, 128, 0, 0, 0, NONE, NONE, 0},
                                 {300, 16, 0, 0, 0, NONE, NONE, 0}};
static BLOCK Blocks[BLOCKS];
static volatile LONG Lock;
static volatile LONG FreedSince; /* blocks freed since BlocksRequest */
static ULONG_PTR RegionStart, RegionEnd;

_Use_decl_annotations_
const char *NameOf(ULONG Kind) {
    static const char *const Names[] = {"pool block", "IRP", "MDL", "socket"};

    return Kind < RTL_NUMBER_OF(Names) ? Names[Kind] : "block";
}

_IRQL_requires_max_(DISPATCH_LEVEL)
static LONG64 System(LONG64 Number, ULONG64 A, ULONG64 B, ULONG64 C, ULONG64 D, ULONG64 E) {
    LONG64 Result;
    register ULONG64 R10 __asm__("r10") = D;
    register ULONG64 R8 __asm__("r8") = E;
    register ULONG64 R9 __asm__("r9") = 0;

    __asm__ volatile("syscall"
                     : "=a"(Result)
                     : "a"(Number), "D"(A), "S"(B), "d"(C), "r"(R10), "r"(R8), "r"(R9)
                     : "rcx", "r11", "memory");
    return Result;
}

_IRQL_requires_max_(DISPATCH_LEVEL)
static BOOLEAN Protect(ULONG_PTR Start, ULONG_PTR End, BOOLEAN Open) {
    return System(NR_MPROTECT, Start, End - Start, Open ? LX_PROT_RW : 0, 0, 0) == 0;
}

/* Reserves the address space. FALSE: there is none, and the verifier stays out of the way. */
_Use_decl_annotations_
BOOLEAN BlocksInitialize(VOID) {
    ULONG64 Bytes = 0;
    LONG64 Base;
    ULONG Index;
    ULONG First = 0;

    if (RegionStart != 0) {
        return TRUE;
    }
    for (Index = 0; Index < CLASSES; Index++) {
        Bytes += (ULONG64)Classes[Index].Pages * Classes[Index].Count * PAGE;
    }
    Base = System(NR_MMAP, 0, Bytes, 0, LX_MAP_PRIVATE_ANONYMOUS_NORESERVE, (ULONG64)-1);
    if (Base < 0 && Base > -4096) {
        return FALSE;
    }
    RegionStart = (ULONG_PTR)Base;
    for (Index = 0; Index < CLASSES; Index++) {
        Classes[Index].Base = (ULONG_PTR)Base;
        Classes[Index].First = First;
        First += Classes[Index].Count;
        Base += (LONG64)Classes[Index].Pages * Classes[Index].Count * PAGE;
    }
    RegionEnd = (ULONG_PTR)Base;
    return TRUE;
}

_IRQL_requires_max_(DISPATCH_LEVEL)
static CLASS *ClassOf(ULONG_PTR Address) {
    ULONG Index = CLASSES;

    if (Address < RegionStart || Address >= RegionEnd) {
        return NULL;
    }
    while (Address < Classes[--Index].Base) {
    }
    return &Classes[Index];
}

/* The block in whose slot the address lies, guard page included, or NULL: it is not the verifier's memory. */
_Use_decl_annotations_
PBLOCK BlockOf(ULONG_PTR Address) {
    CLASS *Class = ClassOf(Address);

    return Class == NULL ? NULL
                         : &Blocks[Class->First + (Address - Class->Base) / ((ULONG_PTR)Class->Pages * PAGE)];
}

_IRQL_requires_max_(DISPATCH_LEVEL)
static ULONG_PTR SlotEnd(PBLOCK Block) {
    ULONG_PTR Slot = Block->Object & ~((ULONG_PTR)PAGE - 1);
    CLASS *Class = ClassOf(Slot);
    ULONG_PTR Stride = (ULONG_PTR)Class->Pages * PAGE;

    return Class->Base + ((Slot - Class->Base) / Stride + 1) * Stride - PAGE;
}

_IRQL_requires_max_(DISPATCH_LEVEL)
static ULONG_PTR FirstPage(PBLOCK Block) {
    return Block->Object & ~((ULONG_PTR)PAGE - 1);
}

_IRQL_requires_max_(DISPATCH_LEVEL)
static ULONG TakeSlot(CLASS *Class) {
    ULONG Index = NONE;

    if (Class->Freed >= QUARANTINE || (Class->Freed != 0 && Class->Used == Class->Count)) {
        Index = Class->Oldest;
        Class->Oldest = Blocks[Index].Next;
        Class->Freed--;
        if (Class->Oldest == NONE) {
            Class->Newest = NONE;
        }
    } else if (Class->Used < Class->Count) {
        Index = Class->First + Class->Used++;
    }
    return Index;
}

/* A freed block that was left open must be as BlockFree left it. */
_IRQL_requires_max_(DISPATCH_LEVEL)
static VOID CheckDead(PBLOCK Block) {
    ULONG Bytes = Block->Size < LOOKED_AT ? Block->Size : LOOKED_AT;
    ULONG Index;

    if (Block->State != BlockFreed || Block->OpenFrom == 0 || !Block->Dead) {
        return;
    }
    for (Index = 0; Index < Bytes; Index++) {
        if (((const UCHAR *)Block->Object)[Index] != DEAD) {
            Report("use-after-free", Block->FreedAt, "%s of %p written at byte %d after it was freed",
                   NameOf(Block->Kind), (ULONG64)Block->AllocatedAt, (ULONG64)Index);
            return;
        }
    }
}

/* A request of the driver begins: what it frees is shut again, up to a number. */
_Use_decl_annotations_
VOID BlocksRequest(VOID) {
    FreedSince = 0;
}

/* A block of poisoned memory, or NULL when it must come from elsewhere (too large, or all slots taken). */
_Use_decl_annotations_
PVOID BlockAllocate(BLOCK_KIND Kind, SIZE_T Size, ULONG Tag, ULONG_PTR Caller, PBLOCK *Made) {
    SIZE_T Rounded = Size == 0 ? 16 : (Size + 15) & ~(SIZE_T)15;
    CLASS *Class = Classes;
    ULONG_PTR End, Start, Fence;
    PBLOCK Block;
    ULONG Index;

    while (Class < Classes + CLASSES && Rounded > ((SIZE_T)Class->Pages - 1) * PAGE) {
        Class++;
    }
    if (Class == Classes + CLASSES) {
        return NULL;
    }
    LockEnter(&Lock);
    Index = TakeSlot(Class);
    LockLeave(&Lock);
    if (Index == NONE) {
        return NULL;
    }
    Block = &Blocks[Index];
    End = Class->Base + (ULONG_PTR)(Index - Class->First + 1) * Class->Pages * PAGE - PAGE;
    CheckDead(Block);
    Block->Object = End - Rounded;
    Start = FirstPage(Block);
    if (Block->OpenFrom == 0 || Block->OpenFrom > Start) {
        if (!Protect(Start, End, TRUE)) {
            return NULL;
        }
        Block->OpenFrom = Start;
    }
    Block->Kind = Kind;
    Block->Size = (ULONG)Size;
    Block->Tag = Tag;
    Block->Generation++;
    Block->Busy = 0;
    Block->IrpState = IrpFresh;
    Block->AllocatedAt = Caller;
    Block->FreedAt = 0;
    Block->HasEvent = FALSE;
    Block->Paged = FALSE;
    Fence = Block->Object - Start < FENCE_BYTES ? Start : Block->Object - FENCE_BYTES;
    RtlFillMemory((PVOID)Fence, Block->Object - Fence, FENCE);
    RtlFillMemory((PVOID)Block->Object, Size, POISON);
    RtlFillMemory((PVOID)(Block->Object + Size), Rounded - Size, FENCE);
    InterlockedExchange(&Block->State, BlockLive);
    if (Made != NULL) {
        *Made = Block;
    }
    return (PVOID)Block->Object;
}

_IRQL_requires_max_(DISPATCH_LEVEL)
static VOID CheckFences(PBLOCK Block, ULONG_PTR Caller) {
    ULONG_PTR Start = FirstPage(Block);
    ULONG_PTR End = SlotEnd(Block);
    ULONG_PTR At = Block->Object - Start < FENCE_BYTES ? Start : Block->Object - FENCE_BYTES;

    for (; At < Block->Object; At++) {
        if (*(const UCHAR *)At != FENCE) {
            Report("pool-underrun", Block->AllocatedAt, "byte %d before a block of %d bytes was written, freed at %p",
                   (ULONG64)(Block->Object - At), (ULONG64)Block->Size, (ULONG64)Caller);
            return;
        }
    }
    for (At = Block->Object + Block->Size; At < End; At++) {
        if (*(const UCHAR *)At != FENCE) {
            Report("pool-overrun", Block->AllocatedAt, "byte %d of a block of %d bytes was written, freed at %p",
                   (ULONG64)(At - Block->Object), (ULONG64)Block->Size, (ULONG64)Caller);
            return;
        }
    }
}

/* Shuts a block. FALSE: it was not to be freed, and nothing was done; the finding has been told. */
_Use_decl_annotations_
BOOLEAN BlockFree(PBLOCK Block, PVOID Object, BLOCK_KIND Kind, ULONG_PTR Caller) {
    CLASS *Class;
    ULONG Index = (ULONG)(Block - Blocks);
    ULONG Freed;

    if (Block->State == BlockLive && (Block->Object != (ULONG_PTR)Object || Block->Kind != Kind)) {
        Report("bad-free", Caller, "%s freed, which is not what was allocated at %p", NameOf(Kind),
               (ULONG64)Block->AllocatedAt);
        return FALSE;
    }
    if (InterlockedCompareExchange(&Block->State, BlockFreed, BlockLive) != BlockLive) {
        Report("double-free", Caller, "%s of %p, freed before at %p", NameOf(Kind), (ULONG64)Block->AllocatedAt,
               (ULONG64)Block->FreedAt);
        return FALSE;
    }
    CheckFences(Block, Caller);
    if (Block->Busy > 0) {
        Report("freed-before-completion", Caller, "%s of %p was handed to a WSK call that has not completed",
               NameOf(Kind), (ULONG64)Block->AllocatedAt);
    }
    Block->FreedAt = Caller;
    Freed = (ULONG)InterlockedIncrement(&FreedSince);
    Block->Dead = Freed > SHUT_FIRST && Freed % SHUT_EVERY != 0;
    if (Block->Dead) {
        RtlFillMemory((PVOID)Block->Object, Block->Size < LOOKED_AT ? Block->Size : LOOKED_AT, DEAD);
    } else {
        Protect(Block->OpenFrom, SlotEnd(Block), FALSE);
        Block->OpenFrom = 0;
    }
    Class = ClassOf(Block->Object);
    LockEnter(&Lock);
    Block->Next = NONE;
    if (Class->Newest == NONE) {
        Class->Oldest = Index;
    } else {
        Blocks[Class->Newest].Next = Index;
    }
    Class->Newest = Index;
    Class->Freed++;
    LockLeave(&Lock);
    return TRUE;
}

/* Opens the page of an address after its fault has been told, so that the thread can go on. */
_Use_decl_annotations_
BOOLEAN BlockExpose(ULONG_PTR Address) {
    ULONG_PTR Page = Address & ~((ULONG_PTR)PAGE - 1);

    return Protect(Page, Page + PAGE, TRUE);
}

/* Ends every block that is still live; tells of each place that leaked, with how many, when asked. */
_Use_decl_annotations_
VOID BlocksLeaked(BOOLEAN Tell) {
    static const char *const Codes[] = {"pool-leak", "irp-leak", "mdl-leak", "socket-leak"};
    ULONG Index, Other;

    for (Index = 0; Index < BLOCKS; Index++) {
        PBLOCK Block = &Blocks[Index];
        ULONG64 Count = 0;
        ULONG_PTR Place = Block->AllocatedAt;
        ULONG Kind = Block->Kind;
        ULONG Size = Block->Size;

        if (Block->State != BlockLive) {
            continue;
        }
        for (Other = Index; Other < BLOCKS; Other++) {
            PBLOCK Same = &Blocks[Other];

            if (Same->State == BlockLive && Same->AllocatedAt == Place && Same->Kind == Kind) {
                Count++;
                Same->Busy = 0;
                if (!Tell || Kind == BlockSocket) {
                    continue; /* of a driver that is gone already: its memory is never used again */
                }
                BlockFree(Same, (PVOID)Same->Object, (BLOCK_KIND)Kind, Place);
            }
        }
        if (Tell && Kind != BlockSocket) {
            Report(Codes[Kind], Place, "%d of %d bytes not freed at unload", Count, (ULONG64)Size);
        }
    }
}
