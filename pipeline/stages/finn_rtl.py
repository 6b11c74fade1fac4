"""Stage `finn-rtl`: FINN's own RTL of the hardware graph, for the AMD chip of the board."""

from pipeline.engine.stage import Facts, StageContext


def run(ctx: StageContext) -> Facts:
    """Choose FINN's variants for the chip, and have FINN write those that are RTL."""
    from hw.boards.boards import find
    from hw.finn.graph import load_hardware
    from hw.finn.rtl import generate

    board = find(ctx.config.board.name)
    found = generate(
        load_hardware(ctx.input("compile", "hardware.onnx")),
        part=board.device,
        clock_hz=board.clock_hz,
        folder=ctx.work,
        log=ctx.log("finn.log"),
    )
    return {"estimated_interval_cycles": found.estimate.interval_cycles}
