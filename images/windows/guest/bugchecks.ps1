# Bugchecks in the System log since $Since, as JSON: event 1001 tells them after the dump, event 41 after any dirty restart.
$from = [DateTime]::Parse($Since).ToLocalTime()
$wanted = @(
    @{ LogName = 'System'; ProviderName = 'Microsoft-Windows-WER-SystemErrorReporting'; Id = 1001; StartTime = $from },
    @{ LogName = 'System'; ProviderName = 'Microsoft-Windows-Kernel-Power'; Id = 41; StartTime = $from }
)
$found = foreach ($filter in $wanted) {
    foreach ($entry in @(Get-WinEvent -FilterHashtable $filter -ErrorAction SilentlyContinue)) {
        $data = @{}
        foreach ($node in ([xml]$entry.ToXml()).Event.EventData.Data) {
            if ($node.Name) { $data[$node.Name] = $node.'#text' }
        }
        $time = $entry.TimeCreated.ToUniversalTime().ToString('o')
        [pscustomobject]@{ id = $entry.Id; time = $time; text = $entry.Message; data = $data }
    }
}
if ($found) { $found | ConvertTo-Json -Depth 4 -Compress }
