"""`retort infer`: frames from a file through a board, over its serial link."""

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from common.errors import DataError
from common.files import kind_of, write_output
from hw.boards.boards import find
from hw.shells.protocol import design_identity
from pipeline.cli.app import AsJson, OutputFile, print_json, print_table, say, shown
from pipeline.cli.folder import require_serial_link
from pipeline.engine.lock import open_built

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from hw.interface import CoreInterface

SHOWN = 10


def infer(
    ctx: typer.Context,
    core: Annotated[Path, typer.Argument(metavar="DIR", help="The build's folder, or the core.v in it.")],
    port: Annotated[str, typer.Option(help="The board's serial port.")],
    frames: Annotated[Path, typer.Option("--input", help="Frames: .npy, or .npz with one array.")],
    output: OutputFile = None,
    baud: Annotated[
        int | None,
        typer.Option(min=50, max=100_000_000, help="Bits a second, instead of the board's own."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Send frames to a board, show or write what its core gives."""
    folder = core if core.is_dir() else core.parent
    built = open_built(folder)
    require_serial_link(built)
    if baud is None:
        baud = find(built.config.board.name).require_open().baud
    from hw.host.host import Link
    from hw.interface import CoreInterface, load_weights

    interface = CoreInterface.load(built.path("io.json"))
    design = design_identity(built.path("core.v").read_bytes())
    weights = load_weights(folder, interface)
    batch = _read(frames, interface)
    with shown(ctx, as_json) as display, Link(port, baud) as link:
        link.expect(design)
        results = link.infer(
            batch, interface, lambda done: display.step("infer", done, len(batch)), weights=weights
        )
    _show(results, output, as_json)


def _show(results: "NDArray[Any]", output: Path | None, as_json: bool) -> None:
    if output:
        _write(output, results)
    if as_json:
        print_json({"frames": len(results), "outputs": results.tolist()})
    elif output:
        say(f"{len(results)} frames, outputs in {output}")
    else:
        rows = [(str(index), " ".join(map(str, row.ravel()))) for index, row in enumerate(results[:SHOWN])]
        print_table([("frame", "output"), *rows])
        if len(results) > SHOWN:
            say(f"and {len(results) - SHOWN} more; --output or --json gives them all")


def _read(path: Path, interface: "CoreInterface") -> "NDArray[np.uint8]":
    """Frames of the core's input shape and type, whatever the file calls their axes."""
    import numpy as np

    from models.data.arrays import read_npy

    other = kind_of(path)
    if other:  # a FIFO would be waited for
        raise DataError(f"{path}: is a {other}; give a .npy or .npz file")
    array = read_npy(path)
    wanted = interface.input
    if array.dtype != np.dtype(wanted.dtype):
        raise DataError(f"{path}: {array.dtype} values; the core takes {wanted.dtype}, convert them")
    if array.ndim == 0 or array.size == 0 or array[0].size != wanted.elements:
        raise DataError(f"{path}: shape {array.shape}; give (frames, {', '.join(map(str, wanted.shape))})")
    frames: NDArray[np.uint8] = array.reshape(len(array), *wanted.shape)
    return frames


def _write(path: Path, results: "NDArray[Any]") -> None:
    import numpy as np

    buffer = BytesIO()
    np.save(buffer, results, allow_pickle=False)
    write_output(path, buffer.getvalue())
