/* security.c - who may open the control device. The one file that needs ntifs.h, which must come before ntddk.h. */
#include <ntifs.h>

#include "security.h"

/*
 * The kernel exports no IoCreateDeviceSecure (wdmsec.lib has it), so the DACL is set on the new device object. Nobody
 * can open the device before that, because it is still DO_DEVICE_INITIALIZING.
 */
_Use_decl_annotations_
NTSTATUS SecureDevice(PDEVICE_OBJECT DeviceObject) {
    static const SID System = {SID_REVISION, 1, {SECURITY_NT_AUTHORITY}, {SECURITY_LOCAL_SYSTEM_RID}};
    static const struct {
        SID Sid;
        ULONG Second;
    } Administrators = {{SID_REVISION, 2, {SECURITY_NT_AUTHORITY}, {SECURITY_BUILTIN_DOMAIN_RID}},
                        DOMAIN_ALIAS_RID_ADMINS};
    SECURITY_DESCRIPTOR Descriptor;
    union {
        ACL Acl;
        UCHAR Room[sizeof(ACL) + 2 * (sizeof(ACCESS_ALLOWED_ACE) + sizeof(Administrators))];
    } Dacl;
    HANDLE Handle;
    NTSTATUS Status;

    RtlCreateSecurityDescriptor(&Descriptor, SECURITY_DESCRIPTOR_REVISION);
    RtlCreateAcl(&Dacl.Acl, sizeof(Dacl), ACL_REVISION);
    RtlAddAccessAllowedAce(&Dacl.Acl, ACL_REVISION, GENERIC_ALL, (PSID)&System);
    RtlAddAccessAllowedAce(&Dacl.Acl, ACL_REVISION, GENERIC_ALL, (PSID)&Administrators);
    Status = RtlSetDaclSecurityDescriptor(&Descriptor, TRUE, &Dacl.Acl, FALSE);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = ObOpenObjectByPointer(DeviceObject, OBJ_KERNEL_HANDLE, NULL, WRITE_DAC, NULL, KernelMode, &Handle);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = ZwSetSecurityObject(Handle, DACL_SECURITY_INFORMATION, &Descriptor);
    ZwClose(Handle);
    return Status;
}
