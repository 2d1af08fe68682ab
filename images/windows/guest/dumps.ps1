# Dumps written since $Since, as JSON.
$from = [DateTime]::Parse($Since).ToLocalTime()
$places = 'C:\Windows\MEMORY.DMP', 'C:\Windows\Minidump\*.dmp'
$found = foreach ($file in @(Get-Item -Path $places -ErrorAction SilentlyContinue)) {
    if (($file.Length -gt 0) -and ($file.LastWriteTime -ge $from)) {
        $time = $file.LastWriteTimeUtc.ToString('o')
        [pscustomobject]@{ path = $file.FullName; size = $file.Length; time = $time }
    }
}
if ($found) { $found | ConvertTo-Json -Compress }
