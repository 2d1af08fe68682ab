"""A QEMU-based hardware-in-the-loop test harness for Windows network drivers.

The data's way: operation (``wsk``) -> ``control`` -> VM (``lab``, ``vm``, ``guests``, ``nics``) -> ``capture`` ->
``verify`` <- ``model``, -> ``report``; ``matrix`` does it for many cells.
"""

__version__ = "0.1.0"
