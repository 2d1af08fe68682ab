"""Windows guests: from somebody's installation media to a sealed base image, unattended.

``iso`` and ``media`` read what the media hold, ``answer`` and ``seed`` write what Setup and the first logon need,
``phases`` and ``install`` take the machine through Setup, ``build`` is the order of all and can go on where it was
interrupted. Nothing of it has run on a real Windows yet; ``harness accept`` is how that is settled.
"""

from __future__ import annotations

NOT_TRIED = "not yet run on a real Windows: `harness accept --guest NAME` settles what only Windows can tell"
"""What the commands say of themselves until somebody's acceptance report is in."""
