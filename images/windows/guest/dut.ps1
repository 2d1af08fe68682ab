# Makes the NIC with the MAC $Mac ready to be tested: named $Name, no protocol but IP, offloads as wanted, link up.
# $Offloads is 'off', 'on' or 'keep'; $Mtu above 1500 needs jumbo frames. Prints what it is, as JSON.
# Exit 40: no such NIC. Exit 42: it gets no link.
$address = $Mac.ToUpper().Replace(':', '-')
$nic = $null
for ($i = 0; ($i -lt 60) -and (-not $nic); $i++) {
    $nic = Get-NetAdapter -IncludeHidden:$false | Where-Object { $_.MacAddress -eq $address }
    if (-not $nic) { Start-Sleep -Seconds 1 }
}
if (-not $nic) { exit 40 }
if ($nic.Name -ne $Name) {
    $old = Get-NetAdapter -Name $Name -IncludeHidden -ErrorAction SilentlyContinue
    if ($old) { $old | Rename-NetAdapter -NewName "old $(Get-Random)" -ErrorAction SilentlyContinue }
    $nic | Rename-NetAdapter -NewName $Name
}
foreach ($part in 'ms_lltdio', 'ms_rspndr', 'ms_lldp', 'ms_msclient', 'ms_server', 'ms_implat') {
    Disable-NetAdapterBinding -Name $Name -ComponentID $part -ErrorAction SilentlyContinue
}
if ($Offloads -ne 'keep') {
    $verb = if ($Offloads -eq 'off') { 'Disable' } else { 'Enable' }
    foreach ($what in 'ChecksumOffload', 'Lso', 'Rsc', 'Uso') {
        $cmdlet = "$verb-NetAdapter$what"   # Uso is missing on Server 2019
        if (Get-Command -Name $cmdlet -ErrorAction SilentlyContinue) {
            & $cmdlet -Name $Name -NoRestart -ErrorAction SilentlyContinue
        }
    }
}
if ([int]$Mtu -gt 1500) {
    Set-NetAdapterAdvancedProperty -Name $Name -RegistryKeyword '*JumboPacket' -RegistryValue ([int]$Mtu + 14) -NoRestart
}
Restart-NetAdapter -Name $Name
for ($i = 0; ($i -lt 60) -and ((Get-NetAdapter -Name $Name).Status -ne 'Up'); $i++) { Start-Sleep -Seconds 1 }
if ((Get-NetAdapter -Name $Name).Status -ne 'Up') { exit 42 }
$index = (Get-NetAdapter -Name $Name).ifIndex
# Before any address comes: no DHCP, no DAD, no router solicitation.
Set-NetIPInterface -InterfaceIndex $index -AddressFamily IPv4 -Dhcp Disabled -DadTransmits 0 -RouterDiscovery Disabled
Set-NetIPInterface -InterfaceIndex $index -AddressFamily IPv6 -DadTransmits 0 -RouterDiscovery Disabled
Set-DnsClient -InterfaceIndex $index -RegisterThisConnectionsAddress $false
$settings = Get-CimInstance -ClassName Win32_NetworkAdapterConfiguration -Filter "InterfaceIndex=$index"
$settings | Invoke-CimMethod -MethodName SetTcpipNetbios -Arguments @{ TcpipNetbiosOptions = [uint32]2 } | Out-Null
$nic = Get-NetAdapter -Name $Name
[pscustomobject]@{
    name = $nic.Name; status = "$($nic.Status)"; description = $nic.InterfaceDescription; mac = $nic.MacAddress
    driver = $nic.DriverFileName; version = $nic.DriverVersion; provider = $nic.DriverProvider; inf = $nic.DriverName
    pnp = $nic.PnPDeviceID
} | ConvertTo-Json -Compress
