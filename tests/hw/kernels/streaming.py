"""Drives a kernel in Amaranth's simulator: words in, words out, with random gaps on either side."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from amaranth.hdl import ClockDomain, Module
from amaranth.lib import wiring
from amaranth.sim import Simulator


@dataclass(frozen=True)
class Run:
    """Words that came out, `(words, lanes)`, and the cycle in which each did."""

    words: np.ndarray
    cycles: np.ndarray

    def interval(self, words_per_frame: int) -> int:
        """Cycles between the last words of the last two frames."""
        last = self.cycles[words_per_frame - 1 :: words_per_frame]
        return int(last[-1] - last[-2])


def stream_through(
    kernel: wiring.Component,
    words: np.ndarray,
    expected_words: int,
    *,
    seed: int = 0,
    i_gaps: float = 0.0,
    o_gaps: float = 0.0,
    limit: int = 200_000,
    before: Callable[[Any], Awaitable[None]] | None = None,
) -> Run:
    """Feed `words` (n, lanes) with valid withheld in `i_gaps` of cycles, ready in `o_gaps`.

    What `before` does with the simulator's context is done before the first word.
    """
    (run,) = stream_all(
        kernel,
        {kernel.i: words},
        {kernel.o: expected_words},
        seed=seed,
        i_gaps=i_gaps,
        o_gaps=o_gaps,
        limit=limit,
        before=before,
    )
    return run


def stream_all(
    kernel: wiring.Component,
    words: dict[wiring.PureInterface, np.ndarray],
    expected_words: dict[wiring.PureInterface, int],
    *,
    seed: int = 0,
    i_gaps: float = 0.0,
    o_gaps: float = 0.0,
    limit: int = 200_000,
    before: Callable[[Any], Awaitable[None]] | None = None,
) -> list[Run]:
    """As `stream_through`, with words for each stream in, and what is expected of each stream out."""
    bench = Module()
    bench.domains.sync = ClockDomain()  # a pass-through has no register of its own
    bench.submodules.kernel = kernel
    simulator = Simulator(bench)
    simulator.add_clock(1e-6)
    for number, (port, given) in enumerate(words.items()):
        feed = partial(
            _feed,
            port=port,
            words=given,
            gaps=i_gaps,
            rng=np.random.default_rng((seed, 0, number)),
            before=before,
        )
        simulator.add_testbench(feed, background=True)
    taken = []
    for number, (port, expected) in enumerate(expected_words.items()):
        rng = np.random.default_rng((seed, 1, number))
        taken.append(_Taken(port, expected, o_gaps, rng, limit))
        simulator.add_testbench(taken[-1].drain)
    simulator.run()
    return [Run(np.array(each.words), np.array(each.cycles)) for each in taken]


async def _feed(ctx, port, words, gaps, rng, before):
    if before is not None:
        await before(ctx)
    for word in words:
        while rng.random() < gaps:
            await ctx.tick()
        for lane, value in enumerate(word):
            ctx.set(port.payload[lane], int(value))
        ctx.set(port.valid, 1)
        ready = False
        while not ready:
            _, _, ready = await ctx.tick().sample(port.ready)
        ctx.set(port.valid, 0)


@dataclass
class _Taken:
    """What came out of a stream so far."""

    port: wiring.PureInterface
    expected: int
    gaps: float
    rng: np.random.Generator
    limit: int
    words: list[list[int]] = field(default_factory=list)
    cycles: list[int] = field(default_factory=list)

    async def drain(self, ctx):
        port, cycle = self.port, 0
        lanes = port.payload.shape().length
        while len(self.words) < self.expected:
            assert cycle < self.limit, "the kernel came to a halt"
            ready = self.rng.random() >= self.gaps
            ctx.set(port.ready, ready)
            _, _, valid, payload = await ctx.tick().sample(port.valid, port.payload)
            if ready and valid:
                self.words.append([payload[lane] for lane in range(lanes)])
                self.cycles.append(cycle)
            cycle += 1
        ctx.set(port.ready, 0)
