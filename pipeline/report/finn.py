"""What builds for AMD boards have of FINN's RTL: its layers, estimates of them, and Yosys's counts."""

from dataclasses import dataclass

from pydantic import JsonValue


@dataclass(frozen=True)
class FinnLayers:
    """Of `finn_rtl.json`, the layers: `hw.finn.rtl.Node`."""

    layers: tuple[dict[str, JsonValue], ...]


@dataclass(frozen=True)
class Resources:
    """What a layer takes; FINN estimates no flip-flops."""

    luts: int
    block_rams_18k: int
    ultra_rams: int
    dsps: int
    flip_flops: int | None = None


@dataclass(frozen=True)
class LayerEstimate:
    """A layer; without `yosys` where FINN has no RTL of it."""

    name: str
    kind: str
    cycles: int
    finn: Resources
    yosys: Resources | None


@dataclass(frozen=True)
class Total:
    """Sums; `yosys_layers` are counted of all."""

    finn: Resources
    yosys: Resources
    yosys_layers: int


@dataclass(frozen=True)
class Estimates:
    """`estimates.json`, of `hw.finn.rtl.estimates`: all layers, for an AMD part."""

    part: str
    interval_cycles: int
    layers: tuple[LayerEstimate, ...]
    total: Total
