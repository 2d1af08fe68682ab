# First logon of a new image: drivers, SSH, certificate, test signing, crash dumps, quiet, then power off.
# Runs on Windows PowerShell 5.1. Tells the host on COM1: "HARNESS: step NAME", "HARNESS: fact KEY VALUE", "HARNESS: failed
# STEP REASON", "HARNESS: ready". It ends at the first step that fails and leaves the machine on, for a look at its screen.
param([Parameter(Mandatory = $true)][string]$Kit)

$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'
$script:Step = 'start'
$Lab = 'C:\harness'
$Ssh = "$env:ProgramData\ssh"
New-Item -ItemType Directory -Force -Path $Lab | Out-Null
Start-Transcript -Path "$Lab\provision.log" -Append | Out-Null

function Say([string]$Text) {
    # What cmd.exe would act upon, or a serial log could not show, stays out.
    $plain = $Text -replace '[^A-Za-z0-9 ._:/+=,@-]', ' '
    if ($plain.Length -gt 900) { $plain = $plain.Substring(0, 900) }
    cmd.exe /c "echo HARNESS: $plain > COM1" | Out-Null   # with the blank: a digit before > would be a handle
}

function Step([string]$Name) {
    $script:Step = $Name
    Say "step $Name"
}

# Runs a program and raises an error for an exit code that is not among the good ones.
function Invoke-Tool([string]$File, [string[]]$Words, [int[]]$Good = @(0)) {
    $old = $ErrorActionPreference
    $ErrorActionPreference = 'Continue'    # a line on standard error is no failure, the exit code is
    $output = & $File @Words 2>&1 | ForEach-Object { "$_" }
    $code = $LASTEXITCODE
    $ErrorActionPreference = $old
    $output | Out-Host
    if ($Good -notcontains $code) { throw "$File exited with ${code}: $($output | Select-Object -Last 1)" }
}

function Set-Number([string]$Path, [string]$Name, [int]$Value) {
    if (-not (Test-Path -Path $Path)) { New-Item -Path $Path -Force | Out-Null }
    Set-ItemProperty -Path $Path -Name $Name -Value $Value -Type DWord
}

function Install-Drivers {
    $folder = "$Kit\harness\drivers"
    if (-not (Test-Path -Path $folder)) { return }
    # A publisher that is not trusted raises a question on the screen, which nobody answers.
    foreach ($catalogue in Get-ChildItem -Path $folder -Recurse -Filter *.cat) {
        $signer = (Get-AuthenticodeSignature -FilePath $catalogue.FullName).SignerCertificate
        if ($signer) {
            [IO.File]::WriteAllBytes("$Lab\publisher.cer", $signer.RawData)
            Invoke-Tool certutil.exe @('-addstore', '-f', 'TrustedPublisher', "$Lab\publisher.cer")
            Remove-Item -Path "$Lab\publisher.cer"
        }
    }
    foreach ($inf in Get-ChildItem -Path $folder -Recurse -Filter *.inf) {
        # 259: nothing to do, as no such device is there now; 3010: done, wants a restart
        Invoke-Tool pnputil.exe @('/add-driver', $inf.FullName, '/install') @(0, 259, 3010)
    }
}

function Install-Ssh {
    if (-not (Get-Service -Name sshd -ErrorAction SilentlyContinue)) {
        $target = "$env:ProgramFiles\OpenSSH"
        if (Test-Path -Path "$Kit\harness\OpenSSH.msi") {
            Invoke-Tool msiexec.exe @('/i', "$Kit\harness\OpenSSH.msi", 'ADDLOCAL=Server', '/qn', '/norestart') @(0, 3010)
        } elseif (Test-Path -Path "$Kit\harness\OpenSSH.zip") {
            Expand-Archive -Path "$Kit\harness\OpenSSH.zip" -DestinationPath "$Lab\openssh" -Force
            $unpacked = (Get-ChildItem -Path "$Lab\openssh" -Recurse -Filter sshd.exe | Select-Object -First 1).DirectoryName
            Move-Item -Path $unpacked -Destination $target
            Invoke-Tool powershell.exe @('-NoProfile', '-ExecutionPolicy', 'Bypass', '-File', "$target\install-sshd.ps1")
        } else {
            throw 'this Windows has no OpenSSH server and the kit has none'
        }
    }
    Set-Service -Name sshd -StartupType Automatic
    Start-Service -Name sshd    # makes the configuration and the host keys
    $keys = "$Ssh\administrators_authorized_keys"
    Copy-Item -Path "$Kit\harness\authorized_keys" -Destination $keys -Force
    # Administrators and SYSTEM, by their identifiers, and nobody else: sshd ignores the file otherwise.
    Invoke-Tool icacls.exe @($keys, '/inheritance:r', '/grant', '*S-1-5-32-544:F', '/grant', '*S-1-5-18:F')
    $service = (Get-CimInstance -ClassName Win32_Service -Filter "Name='sshd'").PathName.Trim('"')
    $version = (Get-Item -Path $service).VersionInfo
    Say "fact sshd $($version.FileMajorPart).$($version.FileMinorPart)"
    if ($version.FileMajorPart * 100 + $version.FileMinorPart -ge 908) {
        # On top, because the file ends in a Match block. Older versions do not know the word and would not start.
        $lines = @('PerSourcePenalties no') + (Get-Content -Path "$Ssh\sshd_config")
        Set-Content -Path "$Ssh\sshd_config" -Value $lines -Encoding ascii
    }
    New-NetFirewallRule -Name harness-ssh -DisplayName harness-ssh -Direction Inbound -Protocol TCP -LocalPort 22 -Action Allow -Profile Any | Out-Null
    Invoke-Tool sc.exe @('failure', 'sshd', 'reset=', '60', 'actions=', 'restart/5000/restart/5000/restart/5000')
    Restart-Service -Name sshd
    $public = (Get-Content -Path "$Ssh\ssh_host_ed25519_key.pub" -TotalCount 1).Split(' ')
    Say "fact hostkey $($public[0]) $($public[1])"
}

function Set-TestSettings {
    Invoke-Tool certutil.exe @('-addstore', '-f', 'Root', "$Kit\harness\lab.cer")
    Invoke-Tool certutil.exe @('-addstore', '-f', 'TrustedPublisher', "$Kit\harness\lab.cer")
    Invoke-Tool bcdedit.exe @('/set', '{current}', 'testsigning', 'on')
    Invoke-Tool bcdedit.exe @('/set', '{current}', 'bootstatuspolicy', 'ignoreallfailures')
    Invoke-Tool bcdedit.exe @('/set', '{current}', 'recoveryenabled', 'no')
    Invoke-Tool bcdedit.exe @('/set', '{current}', 'hypervisorlaunchtype', 'off')
    $control = 'HKLM:\SYSTEM\CurrentControlSet\Control'
    Set-Number "$control\DeviceGuard" 'EnableVirtualizationBasedSecurity' 0
    Set-Number "$control\Session Manager\Debug Print Filter" 'DEFAULT' 15
    Set-Number "$control\Session Manager\Power" 'HiberbootEnabled' 0
    # A kernel dump for every bugcheck and for an injected NMI, kept even when the disk is nearly full.
    Set-Number "$control\CrashControl" 'CrashDumpEnabled' 2
    Set-Number "$control\CrashControl" 'AutoReboot' 1
    Set-Number "$control\CrashControl" 'NMICrashDump' 1
    Set-Number "$control\CrashControl" 'AlwaysKeepMemoryDump' 1
    Set-Number "$control\CrashControl" 'LogEvent' 1
    Set-Number "$control\CrashControl" 'Overwrite' 1
    Set-Number 'HKCU:\Software\Microsoft\Windows\Windows Error Reporting' 'Disabled' 1
    Set-Number 'HKLM:\SOFTWARE\Microsoft\Windows\Windows Error Reporting' 'DontShowUI' 1
    Set-Number 'HKCU:\Console' 'QuickEdit' 0
    Invoke-Tool powercfg.exe @('-h', 'off') @(0, 1)
    foreach ($what in 'monitor', 'disk', 'standby', 'hibernate') { Invoke-Tool powercfg.exe @('-Change', "$what-timeout-ac", '0') @(0, 1) }
    Invoke-Tool net.exe @('accounts', '/maxpwage:unlimited')
}

# Every later start tells the host that Windows is up, before anybody has logged on.
function Register-Beacon {
    $line = 'cmd.exe /c echo HARNESS: up > COM1'
    Invoke-Tool schtasks.exe @('/create', '/f', '/tn', 'harness-up', '/sc', 'onstart', '/ru', 'SYSTEM', '/rl', 'highest', '/tr', $line)
}

function Remove-Secrets {
    $logon = 'HKLM:\SOFTWARE\Microsoft\Windows NT\CurrentVersion\Winlogon'
    Set-ItemProperty -Path $logon -Name AutoAdminLogon -Value '0'
    Remove-ItemProperty -Path $logon -Name DefaultPassword -ErrorAction SilentlyContinue
    Remove-ItemProperty -Path $logon -Name AutoLogonCount -ErrorAction SilentlyContinue
    foreach ($file in 'C:\Windows\Panther\unattend.xml', 'C:\Windows\Panther\unattend-original.xml') {
        Remove-Item -Path $file -Force -ErrorAction SilentlyContinue
    }
}

function Send-Facts {
    $system = Get-ItemProperty -Path 'HKLM:\SOFTWARE\Microsoft\Windows NT\CurrentVersion'
    Say "fact build $($system.CurrentBuild).$($system.UBR)"
    Say "fact edition $($system.EditionID)"
    Say "fact powershell $($PSVersionTable.PSVersion)"
}

try {
    Step 'drivers'; Install-Drivers
    Step 'ssh'; Install-Ssh
    Step 'test-settings'; Set-TestSettings
    Step 'quiet'; & "$Kit\harness\quiet.ps1"
    Step 'beacon'; Register-Beacon
    Step 'facts'; Send-Facts
    Step 'secrets'; Remove-Secrets
} catch {
    Say "failed $script:Step $_"
    Stop-Transcript | Out-Null
    exit 1
}
Stop-Transcript | Out-Null
Say 'ready'
shutdown.exe /s /t 2
