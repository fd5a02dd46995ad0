"""Systems: several equal devices and the links between them."""

from __future__ import annotations

from dataclasses import dataclass

from perfsim.devices.device import Device, Link
from perfsim.errors import InputError
from perfsim.quantities.numbers import Number, plain

__all__ = ["System"]


@dataclass(frozen=True, eq=False)
class System:
    """``count`` devices of one kind. The scale-up link joins those of one domain, the scale-out link the rest.

    Raises
    ------
    InputError
        if ``count`` is not a positive whole number.
    """

    device: Device
    count: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "count", plain(self.count))
        if isinstance(self.count, bool) or not isinstance(self.count, int) or self.count < 1:
            raise InputError(f"count={self.count!r}: expected a whole number of devices, at least 1")

    @property
    def capacity(self) -> Number | None:
        """Main memory of one device [byte]; None where no source gives it."""
        return self.device.get(f"memory.{self.device.main_memory}.capacity")

    def scale_up(self) -> Link:
        """The fastest link of the device.

        Raises
        ------
        InputError
            if the device has no link at all.
        """
        names = self.device.link_names
        if not names:
            raise InputError(f"device {self.device.key} has no link; count={self.count} needs one. Use count=1")
        return self.device.link(names[0])

    def scale_out(self) -> Link:
        """The link between domains: the first scale-out link, or the only link there is."""
        names = self.device.link_names
        return self.device.link(names[1] if len(names) > 1 else names[0])
