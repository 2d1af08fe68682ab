# Waits until every address of the NIC $Name can be bound; prints those that cannot be after 30 s. Exit 41: some are left.
for ($i = 0; $i -lt 60; $i++) {
    $left = @(Get-NetIPAddress -InterfaceAlias $Name | Where-Object { $_.AddressState -ne 'Preferred' })
    if ($left.Count -eq 0) { exit 0 }
    Start-Sleep -Milliseconds 500
}
$left | ForEach-Object { "$($_.IPAddress) is $($_.AddressState)" }
exit 41
