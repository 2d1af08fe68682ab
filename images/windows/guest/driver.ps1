# Installs the driver package $Inf and prints the NIC drivers that are there, as JSON. 259: no device wants it now; 3010: restart.
$publisher = Get-ChildItem -Path (Split-Path -Path $Inf) -Filter *.cat | Select-Object -First 1
if ($publisher) {
    $signer = (Get-AuthenticodeSignature -FilePath $publisher.FullName).SignerCertificate
    if ($signer) {
        [IO.File]::WriteAllBytes('C:\harness\publisher.cer', $signer.RawData)
        certutil.exe -addstore -f TrustedPublisher C:\harness\publisher.cer | Out-Null
    }
}
pnputil.exe /add-driver $Inf /install | Out-Null
$code = $LASTEXITCODE
if (@(0, 259, 3010) -notcontains $code) { exit $code }
$drivers = Get-CimInstance -ClassName Win32_PnPSignedDriver -Filter "DeviceClass='NET'"
$wanted = @('DeviceName', 'DriverVersion', 'InfName', 'Manufacturer', 'DeviceID')
$drivers | Select-Object -Property $wanted | ConvertTo-Json -Compress
cmd.exe /c exit 0
