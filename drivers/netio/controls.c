/* controls.c - control information of a send: Windows' CMSGHDRs into Linux' cmsghdrs. */
#include "controls.h"

#include "linux.h"

#define WINDOWS_IP_OPTIONS 1
#define WINDOWS_IP_TOS 3
#define WINDOWS_PKTINFO 19 /* both families */
#define WINDOWS_IPV6_RTHDR 32
#define WINDOWS_IPV6_TCLASS 39
#define WINDOWS_ECN 50 /* both families */
#define WINDOWS_UDP_SEND_MSG_SIZE 2

#define LX_IP_TOS 1
#define LX_IP_PKTINFO 8
#define LX_IPV6_PKTINFO 50
#define LX_IPV6_TCLASS 67
#define LX_UDP_SEGMENT 103

struct lx_in_pktinfo {
    int32_t ifindex;
    uint32_t source;
    uint32_t destination;
};

typedef struct _SINK {
    PUCHAR Block;
    ULONG Room;
    ULONG Used;
    /* TOS and ECN share a byte, and Linux would let the later message win: they are joined and come last. */
    int TosLevel; /* LX_SOL_IP or LX_SOL_IPV6 */
    INT Tos;      /* -1: not given */
    INT Ecn;      /* likewise */
} SINK;

_IRQL_requires_(PASSIVE_LEVEL)
static NTSTATUS Emit(_Inout_ SINK *Out, _In_ int Level, _In_ int Type, _In_reads_bytes_(Length) const VOID *Data,
                     _In_ ULONG Length) {
    struct lx_cmsghdr *Header = (struct lx_cmsghdr *)(Out->Block + Out->Used);
    ULONG Space = (ULONG)sizeof(*Header) + ((Length + 7) & ~7u);

    if (Space > Out->Room - Out->Used) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    RtlZeroMemory(Header, Space);
    Header->length = sizeof(*Header) + Length;
    Header->level = Level;
    Header->type = Type;
    RtlCopyMemory(Header + 1, Data, Length);
    Out->Used += Space;
    return STATUS_SUCCESS;
}

/* An INT that must fit in a byte: TOS, traffic class, ECN. */
_IRQL_requires_(PASSIVE_LEVEL)
static NTSTATUS NoteByte(_Inout_ SINK *Out, _In_ int Level, _In_reads_bytes_(Length) const UCHAR *Data,
                         _In_ ULONG Length, _In_ BOOLEAN Ecn) {
    INT Value;

    if (Length != sizeof(Value)) {
        return STATUS_INVALID_PARAMETER;
    }
    RtlCopyMemory(&Value, Data, sizeof(Value));
    /* An application may mark a datagram as ECN-capable, never as having met congestion (3). */
    if (Value < 0 || Value > (Ecn ? 2 : 255)) {
        return STATUS_INVALID_PARAMETER;
    }
    Out->TosLevel = Level;
    if (Ecn) {
        Out->Ecn = Value;
    } else {
        Out->Tos = Value;
    }
    return STATUS_SUCCESS;
}

/* The byte that the notes make. ECN alone keeps the upper six bits that the socket has as an option. */
_IRQL_requires_(PASSIVE_LEVEL)
static NTSTATUS EmitByte(_Inout_ SINK *Out, _In_ int Fd) {
    int Type = Out->TosLevel == LX_SOL_IP ? LX_IP_TOS : LX_IPV6_TCLASS;
    INT Value = Out->Tos;
    uint32_t Size = sizeof(Value);

    if (Out->Tos < 0 && Out->Ecn < 0) {
        return STATUS_SUCCESS;
    }
    if (Out->Ecn >= 0) {
        if (Value < 0 && (LinuxGetOption(Fd, Out->TosLevel, Type, &Value, &Size) < 0 || Value < 0)) {
            Value = 0;
        }
        Value = (Value & 0xFC) | Out->Ecn;
    }
    return Emit(Out, Out->TosLevel, Type, &Value, sizeof(Value));
}

_IRQL_requires_(PASSIVE_LEVEL)
static NTSTATUS EmitPktinfo4(_Inout_ SINK *Out, _In_reads_bytes_(Length) const UCHAR *Data, _In_ ULONG Length) {
    struct lx_in_pktinfo Info = {0};
    IN_PKTINFO Asked;

    if (Length != sizeof(Asked)) {
        return STATUS_INVALID_PARAMETER;
    }
    RtlCopyMemory(&Asked, Data, sizeof(Asked));
    Info.ifindex = (int32_t)Asked.ipi_ifindex;
    Info.source = Asked.ipi_addr.S_un.S_addr;
    return Emit(Out, LX_SOL_IP, LX_IP_PKTINFO, &Info, sizeof(Info));
}

_IRQL_requires_(PASSIVE_LEVEL)
static NTSTATUS EmitSegment(_Inout_ SINK *Out, _In_reads_bytes_(Length) const UCHAR *Data, _In_ ULONG Length) {
    ULONG Value;
    uint16_t Size;

    if (Length != sizeof(Value)) {
        return STATUS_INVALID_PARAMETER;
    }
    RtlCopyMemory(&Value, Data, sizeof(Value));
    if (Value > 0xFFFF) {
        return STATUS_INVALID_PARAMETER;
    }
    Size = (uint16_t)Value;
    return Size == 0 ? STATUS_SUCCESS : Emit(Out, LX_SOL_UDP, LX_UDP_SEGMENT, &Size, sizeof(Size));
}

_IRQL_requires_(PASSIVE_LEVEL)
static NTSTATUS Translate(_Inout_ SINK *Out, _In_ const CMSGHDR *Header, _In_reads_bytes_(Length) const UCHAR *Data,
                          _In_ ULONG Length) {
    if (Header->cmsg_level == IPPROTO_IP) {
        switch (Header->cmsg_type) {
        case WINDOWS_PKTINFO:
            return EmitPktinfo4(Out, Data, Length);
        case WINDOWS_IP_TOS:
            return NoteByte(Out, LX_SOL_IP, Data, Length, FALSE);
        case WINDOWS_ECN:
            return NoteByte(Out, LX_SOL_IP, Data, Length, TRUE);
        case WINDOWS_IP_OPTIONS:
            return Length == 0 ? STATUS_SUCCESS : STATUS_NOT_SUPPORTED;
        }
    } else if (Header->cmsg_level == IPPROTO_IPV6) {
        switch (Header->cmsg_type) {
        case WINDOWS_PKTINFO:
            return Length == sizeof(IN6_PKTINFO) ? Emit(Out, LX_SOL_IPV6, LX_IPV6_PKTINFO, Data, Length)
                                                 : STATUS_INVALID_PARAMETER;
        case WINDOWS_IPV6_TCLASS:
            return NoteByte(Out, LX_SOL_IPV6, Data, Length, FALSE);
        case WINDOWS_ECN:
            return NoteByte(Out, LX_SOL_IPV6, Data, Length, TRUE);
        case WINDOWS_IPV6_RTHDR:
            return Length == 0 ? STATUS_SUCCESS : STATUS_NOT_SUPPORTED;
        }
    } else if (Header->cmsg_level == IPPROTO_UDP && Header->cmsg_type == WINDOWS_UDP_SEND_MSG_SIZE) {
        return EmitSegment(Out, Data, Length);
    }
    return STATUS_INVALID_PARAMETER;
}

_Use_decl_annotations_
NTSTATUS ControlsToLinux(int Fd, const VOID *Block, ULONG Length, PUCHAR Out, ULONG Room, ULONG *Used) {
    SINK Target = {Out, Room, 0, LX_SOL_IP, -1, -1};
    NTSTATUS Status;
    const UCHAR *At = Block;
    ULONG Left = Length;

    while (Left != 0) {
        const CMSGHDR *Header = (const CMSGHDR *)At;
        ULONG Data;
        ULONG Space;

        if (Left < sizeof(*Header) || Header->cmsg_len < sizeof(*Header) || Header->cmsg_len > Left) {
            return STATUS_INVALID_PARAMETER;
        }
        Data = (ULONG)(Header->cmsg_len - sizeof(*Header));
        Space = (ULONG)sizeof(*Header) + ((Data + 7) & ~7u);
        if (Space > Left) {
            return STATUS_INVALID_PARAMETER;
        }
        Status = Translate(&Target, Header, At + sizeof(*Header), Data);
        if (!NT_SUCCESS(Status)) {
            return Status;
        }
        At += Space;
        Left -= Space;
    }
    Status = EmitByte(&Target, Fd);
    *Used = Target.Used;
    return Status;
}
