# Makes a new image quiet: nothing on the network, no updates, no scans, unless a test asks for it.
# Runs once, from provision.ps1, on Windows PowerShell 5.1. A service or cmdlet that a release lacks is passed over.
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'

$services = 'HKLM:\SYSTEM\CurrentControlSet\Services'
$policies = 'HKLM:\SOFTWARE\Policies\Microsoft'
$settings = @(
    @("$policies\Windows NT\DNSClient", 'EnableMulticast', 0),               # LLMNR
    @("$services\Dnscache\Parameters", 'EnableMDNS', 0),                      # multicast DNS
    @("$services\Dnscache\Parameters", 'EnableNetbios', 0),                   # NetBIOS names on newer releases
    @("$services\NlaSvc\Parameters\Internet", 'EnableActiveProbing', 0),     # is there an Internet?
    @("$policies\Windows\NetworkConnectivityStatusIndicator", 'NoActiveProbe', 1),
    @("$services\Tcpip\Parameters", 'IPAutoconfigurationEnabled', 0),        # no 169.254/16
    @("$services\Tcpip\Parameters", 'ArpRetryCount', 0),                      # gratuitous ARP, where it still has an effect
    @("$policies\Windows\WindowsUpdate\AU", 'NoAutoUpdate', 1),
    @("$policies\Windows\DataCollection", 'AllowTelemetry', 0)
)
foreach ($setting in $settings) {
    if (-not (Test-Path -Path $setting[0])) { New-Item -Path $setting[0] -Force | Out-Null }
    Set-ItemProperty -Path $setting[0] -Name $setting[1] -Value $setting[2] -Type DWord
}

# Dhcp, Dnscache, NlaSvc, BFE and mpssvc stay: too much depends on them.
$unwanted = 'wuauserv', 'UsoSvc', 'DoSvc', 'BITS', 'DiagTrack', 'SSDPSRV', 'upnphost', 'fdPHost', 'FDResPub', 'lmhosts',
    'iphlpsvc', 'W32Time', 'WSearch', 'Spooler', 'MapsBroker', 'LanmanServer'
foreach ($name in $unwanted) {
    Stop-Service -Name $name -Force -ErrorAction SilentlyContinue
    Set-Service -Name $name -StartupType Disabled -ErrorAction SilentlyContinue
}

netsh.exe interface teredo set state disabled | Out-Null
Set-NetIPv4Protocol -IGMPLevel None
Set-NetIPv6Protocol -MldLevel None -RandomizeIdentifiers Disabled -UseTemporaryAddresses Disabled
foreach ($interface in Get-ChildItem -Path "$services\NetBT\Parameters\Interfaces") {
    Set-ItemProperty -Path $interface.PSPath -Name NetbiosOptions -Value 2 -Type DWord
}
Set-NetFirewallProfile -All -Enabled False
foreach ($path in '\Microsoft\Windows\UpdateOrchestrator\*', '\Microsoft\Windows\WindowsUpdate\*', '\Microsoft\Windows\Defrag\*') {
    Get-ScheduledTask -TaskPath $path -ErrorAction SilentlyContinue | Disable-ScheduledTask -ErrorAction SilentlyContinue | Out-Null
}
if (Get-Command -Name Add-MpPreference -ErrorAction SilentlyContinue) {
    Add-MpPreference -ExclusionPath 'C:\harness' -ErrorAction SilentlyContinue
}
