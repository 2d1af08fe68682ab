/* controls.h - control information of a send: Windows' CMSGHDRs into Linux' cmsghdrs. */
#ifndef NETIO_CONTROLS_H
#define NETIO_CONTROLS_H

#include "wsk_min.h"

/*
 * Translates a client's block, whose length must include the padding behind the last message. Fd is the socket's file
 * descriptor of Linux. *Used is the length of the result, at most Room.
 */
_IRQL_requires_(PASSIVE_LEVEL)
_Must_inspect_result_
NTSTATUS ControlsToLinux(_In_ int Fd, _In_reads_bytes_(Length) const VOID *Block, _In_ ULONG Length,
                         _Out_writes_bytes_to_(Room, *Used) PUCHAR Out, _In_ ULONG Room, _Out_ ULONG *Used);

#endif /* NETIO_CONTROLS_H */
