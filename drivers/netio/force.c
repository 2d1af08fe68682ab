/*
 * force.c - behaviour that was asked for: rules that decide, call by call, what a provider may legally do otherwise.
 *
 * A rule is matched once, when a call is submitted (ForceMatch); the worker asks ForceBegin before it carries a call
 * out and ForceHold before it completes one. What is held waits on one list, for time (LATE), for company (REVERSE)
 * or for its socket's end (PEND); the list belongs to the worker, the rules to whoever has the lock.
 */
#include "force.h"

#include "linux.h"

typedef struct _RULE {
    struct wskprovider_force Asked;
    ULONG Passed;
    ULONG Acted;
    ULONG Done; /* REVERSE: how many are held or were; worker only */
} RULE;

static RULE Rules[WSKPROVIDER_MAX_RULES];
static ULONG RuleCount;
static volatile LONG RulesLock;
static LIST_ENTRY Held;
static volatile LONG HeldCount;
static volatile LONG Relenting; /* the worker is to let go of what is held */

_IRQL_requires_max_(DISPATCH_LEVEL)
static VOID Enter(VOID) {
    while (InterlockedExchange(&RulesLock, 1) != 0) {
        LinuxYield();
    }
}

_IRQL_requires_max_(DISPATCH_LEVEL)
static VOID Leave(VOID) {
    InterlockedExchange(&RulesLock, 0);
}

_Use_decl_annotations_
VOID ForceReset(VOID) {
    InitializeListHead(&Held);
    RuleCount = 0;
    HeldCount = 0;
    Relenting = 0;
}

_IRQL_requires_max_(DISPATCH_LEVEL)
static ULONG CallOf(_In_ WORK_KIND Kind) {
    switch (Kind) {
    case WorkOpen:
        return WSKPROVIDER_CALL_SOCKET;
    case WorkClose:
        return WSKPROVIDER_CALL_CLOSE;
    case WorkBind:
        return WSKPROVIDER_CALL_BIND;
    case WorkGetAddress:
        return WSKPROVIDER_CALL_GET_LOCAL_ADDRESS;
    case WorkControl:
        return WSKPROVIDER_CALL_CONTROL;
    case WorkSend:
        return WSKPROVIDER_CALL_SEND;
    default:
        return WSKPROVIDER_CALL_RECEIVE;
    }
}

/* The rule that acts on a call now, counted; NULL for none. Under the lock. */
_IRQL_requires_max_(DISPATCH_LEVEL)
static RULE *Act(_In_ ULONG Call, _In_opt_ const SOCKET *Socket) {
    ULONG Index;

    for (Index = 0; Index < RuleCount; Index++) {
        RULE *Rule = &Rules[Index];

        if ((Rule->Asked.calls & Call) == 0 || (Rule->Asked.count != 0 && Rule->Acted == Rule->Asked.count)) {
            continue;
        }
        if (Rule->Asked.port != 0 && (Socket == NULL || Socket->Family != Rule->Asked.family ||
                                      Socket->Port != Rule->Asked.port)) {
            continue;
        }
        if (Rule->Passed < Rule->Asked.skip) {
            Rule->Passed++;
            continue;
        }
        Rule->Acted++;
        return Rule;
    }
    return NULL;
}

_Use_decl_annotations_
VOID ForceMatch(PWORK Work) {
    RULE *Rule;

    Enter();
    Rule = Act(CallOf(Work->Kind), Work->Socket);
    if (Rule != NULL) {
        Work->Effects = Rule->Asked.effects;
        Work->ForcedStatus = (NTSTATUS)Rule->Asked.status;
        Work->DelayMs = Rule->Asked.delay_ms;
        Work->Rule = (ULONG)(Rule - Rules);
    }
    Leave();
}

_Use_decl_annotations_
BOOLEAN ForceMemory(ULONG Call) {
    BOOLEAN Fails;

    if (RuleCount == 0) {
        return FALSE;
    }
    Enter();
    Fails = Act(Call, NULL) != NULL;
    Leave();
    return Fails;
}

/* Keeps a WORK that is ready to be completed. Worker only. */
_IRQL_requires_(PASSIVE_LEVEL)
static VOID Keep(_Inout_ PWORK Work, _In_ ULONG Effects) {
    Work->Effects = Effects;
    Work->DueMs = LinuxMilliseconds() + Work->DelayMs;
    InsertTailList(&Held, &Work->Link);
    InterlockedIncrement(&HeldCount);
}

/* Completes a WORK that is held. Worker only. */
_IRQL_requires_(PASSIVE_LEVEL)
static VOID LetGo(_In_ PWORK Work) {
    RemoveEntryList(&Work->Link);
    InterlockedDecrement(&HeldCount);
    WorkComplete(Work);
}

_Use_decl_annotations_
FORCE ForceBegin(PWORK Work) {
    if (Work->Kind == WorkClose) {
        return ForceNone;
    }
    if ((Work->Effects & WSKPROVIDER_DEAD) != 0 || Work->Socket->Dead) {
        return ForceDead;
    }
    if ((Work->Effects & WSKPROVIDER_PEND) != 0) {
        Work->Status = STATUS_CANCELLED;
        Work->Information = 0;
        Keep(Work, Work->Effects);
        return ForceKept;
    }
    return (Work->Effects & WSKPROVIDER_FAIL) != 0 ? ForceFail : ForceNone;
}

_Use_decl_annotations_
BOOLEAN ForceHold(PWORK Work) {
    ULONG Wanted = 0;
    BOOLEAN Complete = FALSE;
    PLIST_ENTRY Link;

    if ((Work->Effects & WSKPROVIDER_REVERSE) != 0) {
        ULONG Rule = Work->Rule;

        Keep(Work, Work->Effects);
        Enter();
        if (Rule < RuleCount) {
            Wanted = Rules[Rule].Asked.count;
            Complete = ++Rules[Rule].Done == Wanted;
        } else {
            Complete = TRUE; /* forgotten meanwhile */
        }
        Leave();
        for (Link = Held.Blink; Complete && Link != &Held;) {
            PWORK Last = CONTAINING_RECORD(Link, WORK, Link);

            Link = Link->Blink;
            if ((Last->Effects & WSKPROVIDER_REVERSE) != 0 && Last->Rule == Rule) {
                LetGo(Last);
            }
        }
        return TRUE;
    }
    if ((Work->Effects & WSKPROVIDER_LATE) != 0) {
        Keep(Work, Work->Effects);
        return TRUE;
    }
    return FALSE;
}

_Use_decl_annotations_
int ForceTick(VOID) {
    BOOLEAN All = InterlockedExchange(&Relenting, 0) != 0;
    int64_t Now;
    int64_t Next = -1;
    PLIST_ENTRY Link;

    if (IsListEmpty(&Held)) {
        return -1;
    }
    Now = LinuxMilliseconds();
    for (Link = Held.Flink; Link != &Held;) {
        PWORK Work = CONTAINING_RECORD(Link, WORK, Link);
        BOOLEAN Timed = (Work->Effects & (WSKPROVIDER_REVERSE | WSKPROVIDER_PEND)) == 0;

        Link = Link->Flink;
        if (All || (Timed && Work->DueMs <= Now)) {
            LetGo(Work);
        } else if (Timed && (Next < 0 || Work->DueMs - Now < Next)) {
            Next = Work->DueMs - Now;
        }
    }
    return (int)Next;
}

_Use_decl_annotations_
VOID ForceFlush(PSOCKET Socket) {
    PLIST_ENTRY Link;

    for (Link = Held.Flink; Link != &Held;) {
        PWORK Work = CONTAINING_RECORD(Link, WORK, Link);

        Link = Link->Flink;
        if (Socket == NULL || Work->Socket == Socket) {
            LetGo(Work);
        }
    }
}

_Use_decl_annotations_
NTSTATUS ForceAdd(const struct wskprovider_force *Asked) {
    const ULONG Timing = WSKPROVIDER_INLINE | WSKPROVIDER_LATE | WSKPROVIDER_RAISED;
    ULONG Effects = Asked->effects;
    NTSTATUS Status = STATUS_SUCCESS;

    if (Asked->calls == 0 || (Asked->calls & ~(WSKPROVIDER_CALL_ALL | WSKPROVIDER_CALL_MEMORY)) != 0 || Effects == 0 ||
        (Effects & ~WSKPROVIDER_EFFECTS) != 0 || Asked->delay_ms > WSKPROVIDER_MAX_DELAY_MS || Asked->reserved != 0 ||
        (Asked->port == 0) != (Asked->family == 0)) {
        return STATUS_INVALID_PARAMETER;
    }
    if (((Effects & WSKPROVIDER_FAIL) != 0) != (Asked->status >= 0x80000000u) ||
        ((Effects & WSKPROVIDER_LATE) != 0) != (Asked->delay_ms != 0) ||
        ((Effects & WSKPROVIDER_REFUSE) != 0 && (Effects & WSKPROVIDER_FAIL) == 0) ||
        ((Effects & WSKPROVIDER_REVERSE) != 0 && (Asked->count == 0 || (Effects & WSKPROVIDER_INLINE) != 0)) ||
        ((Effects & WSKPROVIDER_INLINE) != 0 && (Effects & (WSKPROVIDER_LATE | WSKPROVIDER_PEND)) != 0)) {
        return STATUS_INVALID_PARAMETER;
    }
    if (((Asked->calls & WSKPROVIDER_CALL_MEMORY) != 0 &&
         (Effects != WSKPROVIDER_FAIL || (Asked->calls & WSKPROVIDER_CALL_ALL) != 0 || Asked->port != 0)) ||
        ((Asked->calls & WSKPROVIDER_CALL_CLOSE) != 0 && (Effects & ~Timing) != 0) ||
        ((Asked->calls & WSKPROVIDER_CALL_SOCKET) != 0 &&
         (Effects & (WSKPROVIDER_PEND | WSKPROVIDER_DEAD | WSKPROVIDER_REVERSE)) != 0) ||
        ((Asked->calls & WSKPROVIDER_CALL_RECEIVE) != 0 && (Effects & WSKPROVIDER_INLINE) != 0 &&
         (Effects & (WSKPROVIDER_FAIL | WSKPROVIDER_DEAD)) == 0)) {
        return STATUS_INVALID_PARAMETER;
    }
    Enter();
    if (RuleCount == WSKPROVIDER_MAX_RULES) {
        Status = STATUS_QUOTA_EXCEEDED;
    } else {
        RtlZeroMemory(&Rules[RuleCount], sizeof(RULE));
        Rules[RuleCount++].Asked = *Asked;
    }
    Leave();
    return Status;
}

_Use_decl_annotations_
VOID ForceRelent(struct wskprovider_relented *Reply) {
    ULONG Index;

    RtlZeroMemory(Reply, sizeof(*Reply));
    Enter();
    Reply->rules = RuleCount;
    for (Index = 0; Index < RuleCount; Index++) {
        Reply->acted[Index] = Rules[Index].Acted;
    }
    RuleCount = 0;
    Leave();
    Reply->held = (ULONG)HeldCount;
    InterlockedExchange(&Relenting, 1);
}
