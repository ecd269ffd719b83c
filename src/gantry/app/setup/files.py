"""The files that a server has: the systemd unit and the system settings. Pure."""

from dataclasses import dataclass
from pathlib import Path

SERVICE = "gantry.service"
UNIT_FILE = Path("etc/systemd/system") / SERVICE
SYSCTL_FILE = Path("etc/sysctl.d/60-gantry.conf")
PORTS_KEY = Path("proc/sys/net/ipv4/ip_unprivileged_port_start")


@dataclass(frozen=True, slots=True)
class Service:
    """How the control plane is run.

    Attributes:
        program: argv of `gantry`.
        home: named to it only where the settings file does not.
    """

    user: str
    program: tuple[str, ...]
    home: Path
    names_home: bool


def unit_text(service: Service) -> str:
    """The systemd unit.

    `KillMode=process`: instances, the edge and the databases outlive the control plane, and are found again by the next.
    `Restart=on-failure`: a crash is followed by a start, `gantry down` is not. `OOMPolicy=continue`: an instance that is
    ended for its memory does not end everything. `Delegate=yes`: limits of instances are control groups of this unit's.
    Namespaces, /proc and capabilities stay as they are: sandboxes are made of them.
    """
    home = f'Environment="GANTRY_HOME={service.home}"\n' if service.names_home else ""
    return f"""\
# Written by gantry setup. Changes of your own go into: systemctl edit gantry
[Unit]
Description=Gantry, the control plane
After=network-online.target local-fs.target
Wants=network-online.target
StartLimitIntervalSec=0

[Service]
Type=exec
User={service.user}
{home}ExecStart={" ".join(service.program)} up --foreground
Restart=on-failure
RestartSec=2
KillMode=process
TimeoutStopSec=90
LimitNOFILE=1048576
TasksMax=infinity
Delegate=yes
DelegateSubgroup=control
OOMPolicy=continue
OOMScoreAdjust=-100
NoNewPrivileges=yes
ProtectSystem=full

[Install]
WantedBy=multi-user.target
"""


def sysctl_text(port: int) -> str:
    """Lets the service's user open the public ports.

    Not a capability of the unit: bubblewrap refuses to work for a user who has any.
    """
    return f"""\
# Written by gantry setup: programs of every user may listen from this port on.
net.ipv4.ip_unprivileged_port_start = {port}
"""
