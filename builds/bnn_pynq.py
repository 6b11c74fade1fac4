"""Brevitas's published networks for the PYNQ (TFC, SFC, CNV of FINN, arXiv:1612.07119), as Retort takes them.

`.venv/bin/python builds/bnn_pynq.py TFC_1W1A` writes bnn_pynq/TFC_1W1A.onnx and, of random frames, what the
network makes of them, bnn_pynq/TFC_1W1A.npz, both of which `builds/tfc-w1a1-pynq-z1.toml` names.
"""

from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from brevitas.export import export_qonnx
from brevitas_examples.bnn_pynq.models import model_with_cfg

FRAMES = 256


def main(
    name: Annotated[str, typer.Argument(help="Such as TFC_1W1A, SFC_1W1A, CNV_2W2A.")],
    folder: Annotated[Path, typer.Option(help="To write to.")] = Path("bnn_pynq"),
    untrained: Annotated[
        bool, typer.Option("--untrained", help="Random weights; Brevitas downloads its own.")
    ] = False,
) -> None:
    """Write a network of Brevitas's `bnn_pynq` examples and a record of what it computes."""
    torch.manual_seed(0)
    network, _ = model_with_cfg(name, pretrained=not untrained)
    shape = (3, 32, 32) if name.upper().startswith("CNV") else (1, 28, 28)
    frames = np.random.default_rng(0).integers(0, 256, (FRAMES, *shape), np.uint8)
    floats = torch.from_numpy(frames).float() / 255
    with torch.no_grad():
        if untrained:  # the batch-norms have no statistics yet
            network.train()(floats)
        outputs = torch.cat([network.eval()(frame[None]) for frame in floats]).numpy()
    folder.mkdir(parents=True, exist_ok=True)
    export_qonnx(network, floats[:1], export_path=str(folder / f"{name}.onnx"))
    np.savez(folder / f"{name}.npz", inputs=floats.numpy(), outputs=outputs)


if __name__ == "__main__":
    typer.run(main)
