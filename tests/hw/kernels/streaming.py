"""Drives a kernel in Amaranth's simulator: words in, words out, with random gaps on either side."""

from dataclasses import dataclass

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
) -> Run:
    """Feed `words` (n, lanes) with valid withheld in `i_gaps` of cycles, ready in `o_gaps`."""
    rng = np.random.default_rng(seed)
    out: list[list[int]] = []
    cycles: list[int] = []
    lanes = kernel.o.payload.shape().length
    bench = Module()
    bench.domains.sync = ClockDomain()  # a pass-through has no register of its own
    bench.submodules.kernel = kernel
    simulator = Simulator(bench)
    simulator.add_clock(1e-6)

    async def feed(ctx):
        for word in words:
            while rng.random() < i_gaps:
                await ctx.tick()
            for lane, value in enumerate(word):
                ctx.set(kernel.i.payload[lane], int(value))
            ctx.set(kernel.i.valid, 1)
            await ctx.tick().until(kernel.i.ready)
            ctx.set(kernel.i.valid, 0)

    async def drain(ctx):
        cycle = 0
        while len(out) < expected_words:
            assert cycle < limit, "the kernel came to a halt"
            ready = rng.random() >= o_gaps
            ctx.set(kernel.o.ready, ready)
            _, _, valid, payload = await ctx.tick().sample(kernel.o.valid, kernel.o.payload)
            if ready and valid:
                out.append([payload[lane] for lane in range(lanes)])
                cycles.append(cycle)
            cycle += 1

    simulator.add_testbench(feed, background=True)
    simulator.add_testbench(drain)
    simulator.run()
    return Run(np.array(out), np.array(cycles))
