/*
 * force.c - behaviour that was asked for: rules that decide, call by call, what a provider may legally do otherwise.
 *
 * A rule is matched once, when a call is submitted (ForceMatch); the worker asks ForceBegin before it carries a call
 * out and ForceHold before it completes one. What is held waits on one list, for time (LATE), for company (REVERSE)
 * or for its socket's end (PEND); the list belongs to the worker, the rules to whoever has the lock.
 */
#include "provider.h"

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

static VOID Enter(VOID) {
    while (InterlockedExchange(&RulesLock, 1) != 0) {
        LinuxYield();
    }
}

static VOID Leave(VOID) {
    InterlockedExchange(&RulesLock, 0);
}

/* Before the worker starts. */
VOID ForceReset(VOID) {
    InitializeListHead(&Held);
    RuleCount = 0;
    HeldCount = 0;
    Relenting = 0;
}

static ULONG CallOf(WORK_KIND Kind) {
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
static RULE *Act(ULONG Call, PSOCKET Socket) {
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

/* Notes in a WORK what is to be done with it. The submitting thread, any IRQL up to DISPATCH_LEVEL. */
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

/* Whether the client's own allocation is to fail. Any IRQL. */
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
static VOID Keep(PWORK Work, ULONG Effects) {
    Work->Effects = Effects;
    Work->DueMs = LinuxMilliseconds() + Work->DelayMs;
    InsertTailList(&Held, &Work->Link);
    InterlockedIncrement(&HeldCount);
}

static VOID LetGo(PWORK Work) {
    RemoveEntryList(&Work->Link);
    InterlockedDecrement(&HeldCount);
    WorkComplete(Work);
}

/* TRUE: the WORK is not to be carried out; it has been, or will be, completed as its rule says. Worker only. */
BOOLEAN ForceBegin(PWORK Work) {
    PSOCKET Socket = Work->Socket;
    NTSTATUS Status = Work->ForcedStatus;

    if (Work->Kind == WorkClose) {
        return FALSE;
    }
    if ((Work->Effects & WSKPROVIDER_DEAD) != 0 && !Socket->Dead) {
        Socket->Dead = TRUE;
        ReceiveEndAll(Socket, STATUS_FILE_FORCED_CLOSED);
    }
    if (Socket->Dead) {
        WorkFinish(Work, STATUS_FILE_FORCED_CLOSED, 0);
        return TRUE;
    }
    if ((Work->Effects & WSKPROVIDER_PEND) != 0) {
        Work->Status = STATUS_CANCELLED;
        Work->Information = 0;
        Keep(Work, Work->Effects);
        return TRUE;
    }
    if ((Work->Effects & WSKPROVIDER_FAIL) != 0) {
        if (Work->Kind == WorkOpen) {
            OpenAbandon(Socket);
            Work->Socket = NULL;
        }
        WorkFinish(Work, Status, 0);
        return TRUE;
    }
    return FALSE;
}

/* TRUE: the WORK, which has its status, is completed later. Worker only. */
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

/* Completes what is due, or all once the rules are gone. Returns the ms until the next, -1 for none. Worker only. */
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

/* Completes what is held of one socket (NULL: of all), because it closes. Worker only. */
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

/* FORCE: one more rule. PASSIVE_LEVEL. */
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

/* RELENT: forgets the rules, and lets the worker complete what is held. PASSIVE_LEVEL. */
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
    WorkWake();
}
