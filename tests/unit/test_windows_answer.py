"""The answer file of every release against the structure of Microsoft's unattend reference."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest

from harness.errors import UsageError
from harness.guests.windows import answer as answers
from harness.guests.windows.releases import Release, releases

NS = "{urn:schemas-microsoft-com:unattend}"
WCM = "{http://schemas.microsoft.com/WMIConfig/2002/State}"

LOCALE = {"InputLocale", "SystemLocale", "UILanguage", "UserLocale", "UILanguageFallback", "SetupUILanguage"}
# From the unattend reference: the passes a component may stand in, and the settings it has.
COMPONENTS = {
    "Microsoft-Windows-International-Core-WinPE": ({"windowsPE"}, LOCALE | {"LayeredDriver"}),
    "Microsoft-Windows-Setup": (
        {"windowsPE"},
        {"ComplianceCheck", "Diagnostics", "DiskConfiguration", "Display", "DynamicUpdate", "EnableFirewall"}
        | {"EnableNetwork", "ImageInstall", "LogPath", "PageFile", "Restart", "RunAsynchronous", "RunSynchronous"}
        | {"UpgradeData", "UseConfigurationSet", "UserData", "WindowsDeploymentServices"},
    ),
    "Microsoft-Windows-Shell-Setup": (
        {"offlineServicing", "generalize", "specialize", "auditSystem", "auditUser", "oobeSystem"},
        {"AutoLogon", "ComputerName", "FirstLogonCommands", "LogonCommands", "OOBE", "ProductKey", "RegisteredOwner"}
        | {"RegisteredOrganization", "TimeZone", "UserAccounts", "Display", "DesktopOptimization"},
    ),
    "Microsoft-Windows-Security-SPP-UX": ({"specialize", "oobeSystem", "generalize"}, {"SkipAutoActivation"}),
    "Microsoft-Windows-Deployment": (
        {"generalize", "specialize", "auditUser", "auditSystem", "oobeSystem"},
        {"ExtendOSPartition", "Generalize", "Reseal", "RunAsynchronous", "RunSynchronous"},
    ),
    "Microsoft-Windows-International-Core": ({"specialize", "oobeSystem"}, LOCALE - {"SetupUILanguage"}),
    "Microsoft-Windows-SecureStartup-FilterDriver": (
        {"specialize", "auditSystem", "oobeSystem"},
        {"PreventDeviceEncryption"},
    ),
}
OOBE = {"HideEULAPage", "HideLocalAccountScreen", "HideOEMRegistrationScreen", "HideOnlineAccountScreens"} | {
    *(
        "HideWirelessSetupInOOBE",
        "NetworkLocation",
        "ProtectYourPC",
        "SkipMachineOOBE",
        "SkipUserOOBE",
        "VMModeOptimizations",
    ),
    *("OEMAppId", "UnattendEnableRetailDemo", "VMModeOptimizations"),
}
SECRET = "Xq7&<>\"'%pw"


def make(release: Release, **changes: object) -> answers.Answer:
    return replace(answers.Answer(release, 2, "en-US", "ws2022", SECRET), **changes)  # type: ignore[arg-type]


def parse(answer: answers.Answer) -> ET.Element:
    return ET.fromstring(answers.render(answer).encode())


@pytest.fixture(params=releases(), ids=lambda release: release.name)
def release(request: pytest.FixtureRequest) -> Release:
    found: Release = request.param
    return found


def components(root: ET.Element) -> dict[tuple[str, str], ET.Element]:
    return {
        (settings.get("pass", ""), component.get("name", "")): component
        for settings in root.findall(f"{NS}settings")
        for component in settings.findall(f"{NS}component")
    }


def test_components_stand_in_their_passes_with_settings_they_have(release: Release) -> None:
    root = parse(make(release))
    assert root.tag == f"{NS}unattend"
    for (name_of_pass, name), component in components(root).items():
        passes, settings = COMPONENTS[name]
        assert name_of_pass in passes
        assert {child.tag.removeprefix(NS) for child in component} <= settings
        rest = {key: value for key, value in component.attrib.items() if key != "name"}
        assert rest == {
            "processorArchitecture": "amd64",
            "publicKeyToken": "31bf3856ad364e35",
            "language": "neutral",
            "versionScope": "nonSxS",
        }


def test_every_list_item_is_added_and_numbered_from_one(release: Release) -> None:
    root = parse(make(release))
    lists = {"RunSynchronous", "CreatePartitions", "ModifyPartitions", "FirstLogonCommands"}
    seen = set()
    for element in root.iter():
        name = element.tag.removeprefix(NS)
        if name in lists:
            seen.add(name)
            assert [int(item.findtext(f"{NS}Order", "0")) for item in element] == list(range(1, len(element) + 1))
            assert all(item.get(f"{WCM}action") == "add" for item in element)
    assert seen == lists


def test_disk_layout_is_what_windows_installs_to(release: Release) -> None:
    for uefi, types, target in ((True, ["EFI", "MSR", "Primary"], "3"), (False, ["Primary", "Primary"], "2")):
        setup = components(parse(make(release, uefi=uefi)))[("windowsPE", "Microsoft-Windows-Setup")]
        created = setup.findall(f".//{NS}CreatePartition")
        assert [item.findtext(f"{NS}Type") for item in created] == types
        extended = [item.findtext(f"{NS}Order") for item in created if item.findtext(f"{NS}Extend") == "true"]
        assert extended == [target], "the last partition takes the rest of the disk"
        assert setup.findtext(f".//{NS}InstallTo/{NS}PartitionID") == target
        assert setup.findtext(f".//{NS}InstallTo/{NS}DiskID") == "0"
        image = setup.find(f".//{NS}OSImage")
        assert image is not None
        assert [child.tag.removeprefix(NS) for child in image] == ["InstallFrom", "InstallTo"]
        assert (setup.find(f".//{NS}Active") is not None) == (not uefi)


def test_the_edition_goes_by_index(release: Release) -> None:
    setup = components(parse(make(release, index=4)))[("windowsPE", "Microsoft-Windows-Setup")]
    data = setup.find(f".//{NS}InstallFrom/{NS}MetaData")
    assert data is not None
    assert (data.findtext(f"{NS}Key"), data.findtext(f"{NS}Value")) == ("/IMAGE/INDEX", "4")


def test_product_key_only_when_given_but_its_node_always(release: Release) -> None:
    key = "AAAAA-BBBBB-CCCCC-DDDDD-EEEEE"
    for given in ("", key):
        node = parse(make(release, product_key=given)).find(f".//{NS}UserData/{NS}ProductKey")
        assert node is not None
        assert node.findtext(f"{NS}Key") == (given or None)
        assert node.findtext(f"{NS}WillShowUI") == "OnError"
    with pytest.raises(UsageError, match="product key"):
        make(release, product_key="12345")


def test_hardware_checks_are_skipped_where_setup_makes_them(release: Release) -> None:
    lines = make(release).setup_commands
    bypassed = {line.split(" /v ")[1].split()[0] for line in lines if "LabConfig" in line}
    wanted = {"BypassTPMCheck", "BypassSecureBootCheck", "BypassRAMCheck", "BypassCPUCheck"}
    assert bypassed == (wanted if release.name == "windows-11" else set())


def test_commands_are_short_enough(release: Release) -> None:
    answer = make(release)
    assert all(len(line) <= answers.PATH_LIMIT for line in (*answer.setup_commands, *answer.specialize_commands))
    assert all(len(line) <= answers.COMMAND_LIMIT for line in answer.logon_commands)


def test_each_phase_is_told_and_no_telling_can_fail_setup(release: Release) -> None:
    answer = make(release)
    told = [
        line for line in (*answer.setup_commands, *answer.specialize_commands, *answer.logon_commands) if "COM1" in line
    ]
    assert [line.split("phase ")[1].split()[0] for line in told] == ["windowspe", "specialize", "first-logon"]
    assert all(line.endswith("> COM1 & exit 0") for line in told)


def test_drive_letters_are_searched_never_assumed(release: Release) -> None:
    text = answers.render(make(release))
    assert "for %i in (C D E F G H I J K)" in text
    assert "D:\\" not in text


def test_oobe_asks_nothing(release: Release) -> None:
    shell = components(parse(make(release)))[("oobeSystem", "Microsoft-Windows-Shell-Setup")]
    oobe = shell.find(f"{NS}OOBE")
    assert oobe is not None
    names = {child.tag.removeprefix(NS) for child in oobe}
    assert names <= OOBE
    assert {"HideEULAPage", "HideOnlineAccountScreens", "ProtectYourPC"} <= names
    assert ("SkipMachineOOBE" in names) == (release.name == "windows-11")


def test_password_survives_xml_and_never_shows_in_a_repr(release: Release) -> None:
    answer = make(release)
    shell = components(parse(answer))[("oobeSystem", "Microsoft-Windows-Shell-Setup")]
    assert shell.findtext(f".//{NS}AdministratorPassword/{NS}Value") == SECRET
    assert shell.findtext(f"{NS}AutoLogon/{NS}Password/{NS}Value") == SECRET
    assert int(shell.findtext(f"{NS}AutoLogon/{NS}LogonCount", "0")) > 0
    assert SECRET not in repr(answer)


def test_the_interface_language_is_the_media_s(release: Release) -> None:
    root = parse(make(release, language="de-DE"))
    assert {node.text for node in root.iter(f"{NS}UILanguage")} == {"de-DE"}


def test_client_disks_stay_unencrypted(release: Release) -> None:
    found = ("oobeSystem", "Microsoft-Windows-SecureStartup-FilterDriver") in components(parse(make(release)))
    assert found == (not release.server)


@pytest.mark.parametrize("name", ["", "a" * 16, "-ab", "a b", "über"])
def test_computer_names_that_windows_refuses(name: str) -> None:
    with pytest.raises(UsageError, match="cannot name a Windows computer"):
        make(releases()[0], computer_name=name)
