# What this Windows is, as JSON: build, edition, boot settings, NICs with their drivers, devices that do not work.
$system = Get-ItemProperty -Path 'HKLM:\SOFTWARE\Microsoft\Windows NT\CurrentVersion'
# What the boot loader passed on: the same words in every language, unlike bcdedit's.
$boot = (Get-ItemProperty -Path 'HKLM:\SYSTEM\CurrentControlSet\Control').SystemStartOptions
$secure = $false
try { $secure = [bool](Confirm-SecureBootUEFI) } catch { $secure = $false }
$drivers = Get-CimInstance -ClassName Win32_PnPSignedDriver -Filter "DeviceClass='NET'"
$nics = $drivers | Select-Object -Property @('DeviceName', 'DriverVersion', 'InfName', 'DeviceID')
$bad = Get-PnpDevice -PresentOnly | Where-Object { $_.Status -ne 'OK' }
$broken = $bad | Select-Object -Property @('FriendlyName', 'InstanceId', 'Status')
[pscustomobject]@{
    build = "$($system.CurrentBuild).$($system.UBR)"; edition = $system.EditionID; product = $system.ProductName
    testsigning = ($boot -match 'TESTSIGNING'); secureboot = $secure; boot = $boot
    nics = @($nics); broken = @($broken)
} | ConvertTo-Json -Depth 4 -Compress
