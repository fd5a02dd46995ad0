"""Networks that are given layer by layer: small classifiers, detectors, and whatever no family describes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import ClassVar

from perfsim.architectures.vision.model import VisionModel
from perfsim.architectures.vision.net import Net
from perfsim.errors import ConfigError
from perfsim.ops import ChannelShuffle, Pool, Resize, conv_kind
from perfsim.quantities.numbers import Number, ceil_div, maximum

__all__ = ["ListedLayer", "ListedNet"]

_ACTIVATIONS = ("relu", "relu6", "silu", "hardswish", "sigmoid", "gelu")
_WORDS = ("bare", "valid", "flatten", "first", "smooth")
_KINDS = ("conv", "dw", "max", "mean", "global", "linear", "add", "join", "up", "part", "down", "shuffle")
_OPTION = re.compile(r"([ckspgf])(\d+)(?:x(\d+))?")


@dataclass(frozen=True)
class ListedLayer:
    """One layer, written like ``fire2: conv c64 k3 s2 relu < pool1``.

    name: before the colon, what later layers call its output; kind: ``conv``, ``dw`` (depthwise), ``max`` and ``mean``
    (pooling), ``global`` (mean over the map), ``linear``, ``add``, ``join`` (channels side by side), ``up`` and
    ``down`` (nearest neighbours), ``shuffle`` (of g groups) or ``part`` (c of the channels, the last ones, or the first
    ones with ``first``); options: c channels, k kernel, s stride, p padding per end, g groups, f factor, each a number
    or ``rows x columns``; words: an activation, ``bare`` (no batch norm but a bias), ``valid`` (no padding),
    ``flatten``, ``smooth`` (linear interpolation); sources: behind ``<``, the layer before where it is left out.
    """

    name: str
    kind: str
    options: Mapping[str, tuple[int, int]] = field(compare=False)
    words: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str, model: str) -> ListedLayer:
        """The layer that a text describes.

        Raises
        ------
        ConfigError
            if it does not follow the notation.
        """
        head, _, behind = text.partition("<")
        name, _, rest = head.partition(":")
        kind, *items = rest.split() or [""]
        matches = [(item, _OPTION.fullmatch(item)) for item in items]
        options = {m[1]: (int(m[2]), int(m[3] or m[2])) for _, m in matches if m}
        words = tuple(item for item, m in matches if not m)
        wrong = [w for w in words if w not in (*_ACTIVATIONS, *_WORDS)]
        if not name.strip() or kind not in _KINDS or wrong:
            raise ConfigError(
                f'{model}: layer "{text}": expected a text such as "stem: conv c32 k3 s2 relu" or "sum: add < a b", '
                f"with one of {', '.join(_KINDS)}"
            )
        return cls(name.strip(), kind, MappingProxyType(options), words, tuple(behind.split()))

    def pair(self, key: str, default: int) -> tuple[int, int]:
        """An option per axis, rows first."""
        return self.options.get(key, (default, default))

    def one(self, key: str, default: int) -> int:
        """An option that is one number."""
        return self.pair(key, default)[0]

    @property
    def act(self) -> str:
        """Its activation, or ``""``."""
        return next((word for word in self.words if word in _ACTIVATIONS), "")

    def padding(self, net: Net, x: str) -> tuple[Number, ...]:
        """Positions added at both ends together, per axis: as many as the stride divides the map into, unless stated.

        References
        ----------
        .. [1] TensorFlow, padding ``SAME``: ceil(n / stride) outputs.
        """
        if "valid" in self.words:
            return (0, 0)
        if "p" in self.options:
            return tuple(2 * n for n in self.options["p"])
        axes = zip(net.builder.shape(x)[2:], self.pair("k", 1), self.pair("s", 1), strict=True)
        return tuple(maximum((ceil_div(n, s) - 1) * s + k - n, 0) for n, k, s in axes)


@dataclass(frozen=True, kw_only=True)
class ListedNet(VisionModel):
    """A network given layer by layer.

    columns: of the image where it is not square, else 0; listed: its layers in order, see :class:`ListedLayer`.
    ``image`` is the input.
    """

    columns: int = 0
    listed: tuple[str, ...]

    fixed_size: ClassVar[bool] = True

    def given(self, net: Net) -> str:
        """The image, wider or narrower than high where it has its own number of columns."""
        return net.image(self.channels, (self.columns or self.image_size) / self.image_size)

    def layers(self, net: Net, image: str) -> None:
        """Every listed layer behind its sources.

        Raises
        ------
        ConfigError
            if a layer cannot be read, or names a source that is not above it.
        """
        made, last = {"image": image}, "image"
        for text in self.listed:
            layer = ListedLayer.parse(text, self.name)
            unknown = [name for name in layer.sources if name not in made]
            if unknown:
                raise ConfigError(
                    f'{self.name}: layer "{text}": {unknown[0]} is not a layer above; expected one of {", ".join(made)}'
                )
            sources = [made[name] for name in layer.sources or (last,)]
            made[layer.name] = _BUILDERS[layer.kind](net, layer, sources)
            last = layer.name


def _conv(net: Net, layer: ListedLayer, sources: list[str]) -> str:
    x, taps = sources[0], layer.pair("k", 1)
    width = net.channels(x)
    groups = width if layer.kind == "dw" else layer.one("g", 1)
    out = layer.one("c", width)
    name, biased = layer.name, "bare" in layer.words or net.step.fold
    inputs = (x, net.weight(f"{name}.weight", groups, out // groups, width // groups, *taps))
    y: str = net.builder.add(
        conv_kind(groups=groups, inputs=width, kernel=taps), name,
        (*inputs, net.weight(f"{name}.bias", out)) if biased else inputs,
        stride=layer.pair("s", 1), padding=layer.padding(net, x), dilation=(1, 1), tokens=False,
    )  # fmt: skip
    return net.act(f"{name}.act", y if biased else net.batch_norm(f"{name}.norm", y), layer.act)


def _pool(net: Net, layer: ListedLayer, sources: list[str]) -> str:
    y: str = net.builder.add(
        Pool, layer.name, (sources[0],), function=layer.kind, kernel=layer.pair("k", 2), stride=layer.pair("s", 2),
        padding=layer.padding(net, sources[0]), ceil_mode=False,
    )  # fmt: skip
    return y


def _linear(net: Net, layer: ListedLayer, sources: list[str]) -> str:
    y = net.linear(layer.name, sources[0], layer.one("c", 1), flatten="flatten" in layer.words)
    return net.act(f"{layer.name}.act", y, layer.act)


def _add(net: Net, layer: ListedLayer, sources: list[str]) -> str:
    first, second = sources
    return net.add(layer.name, first, second, layer.act)


def _part(net: Net, layer: ListedLayer, sources: list[str]) -> str:
    kept = layer.one("c", 1)
    rest = net.channels(sources[0]) - kept
    if "first" in layer.words:
        return net.split(layer.name, sources[0], (kept, rest))[0]
    return net.split(layer.name, sources[0], (rest, kept))[1]


def _resize(net: Net, layer: ListedLayer, sources: list[str]) -> str:
    factor, function = layer.one("f", 2), "bilinear" if "smooth" in layer.words else "nearest"
    spatial = net.builder.shape(sources[0])[2:]
    size = tuple(n // factor for n in spatial) if layer.kind == "down" else ()
    y: str = net.builder.add(Resize, layer.name, (sources[0],), factor=factor, size=size, function=function)
    return y


def _shuffle(net: Net, layer: ListedLayer, sources: list[str]) -> str:
    y: str = net.builder.add(ChannelShuffle, layer.name, (sources[0],), groups=layer.one("g", 2))
    return y


_BUILDERS: Mapping[str, Callable[[Net, ListedLayer, list[str]], str]] = MappingProxyType(
    {
        "conv": _conv, "dw": _conv, "max": _pool, "mean": _pool, "linear": _linear, "add": _add, "part": _part,
        "up": _resize, "down": _resize, "shuffle": _shuffle,
        "global": lambda net, layer, sources: net.global_pool(layer.name, sources[0]),
        "join": lambda net, layer, sources: net.join(layer.name, *sources),
    }
)  # fmt: skip
