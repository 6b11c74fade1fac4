"""A build's folder with FINN's deployment package, made in no time: a small network, data, streams."""

import json
from pathlib import Path

from common.topology import Dense, Topology
from hw.interface import CoreInterface, StreamFormat
from models.data import save
from models.export import golden_model, save_model
from tests.locks import write_lock
from tests.models.networks import random_network, toy_dataset

OUTPUTS, OUTPUT_BITS = 4, 17
HWH = """<EDKSYSTEM><MODULES><MODULE INSTANCE="clk_wiz_0"><PARAMETERS>
<PARAMETER NAME="CLKOUT1_OUT_FREQ" VALUE="100.0"/></PARAMETERS></MODULE></MODULES></EDKSYSTEM>
"""


def make_folder(folder: Path) -> Path:
    """Frames of 16 values to 4 integers, two a group: a group's 34 bits are in 5 bytes."""
    folder.mkdir()
    save(toy_dataset(seed=4, shape=(4, 4, 1)), folder / "data.safetensors")
    network = random_network(5, Topology((16,), (Dense(OUTPUTS, 4, None),)))
    save_model(golden_model(network), folder / "golden.onnx")
    streams = StreamFormat((16,), "uint8", 1), StreamFormat((OUTPUTS,), "int32", 1)
    CoreInterface(*streams).save(folder / "io.json")
    make_package(folder)
    write_lock(folder)
    return folder


def make_package(folder: Path) -> None:
    """The package, whose bitstream is for the virtual board: the network itself."""
    for name in ("bitfile", "driver"):
        (folder / "deploy" / name).mkdir(parents=True)
    (folder / "deploy/bitfile/finn-accel.bit").write_bytes((folder / "golden.onnx").read_bytes())
    (folder / "deploy/bitfile/finn-accel.hwh").write_text(HWH)
    shapes = {
        "idt": ["DataType['UINT8']"],
        "odt": [f"DataType['INT{OUTPUT_BITS}']"],
        "idma_names": ["idma0"],
        "odma_names": ["odma0"],
        "ishape_normal": [[1, 16]],
        "ishape_folded": [[1, 2, 8]],
        "ishape_packed": [[1, 2, 8]],
        "oshape_normal": [[1, OUTPUTS]],
        "oshape_folded": [[1, 2, 2]],
        "oshape_packed": [[1, 2, 5]],
        "num_inputs": 1,
        "num_outputs": 1,
        "number_of_external_weights": 0,
    }
    settings = {
        "driver_type": "FINNDMAOverlay",
        "io_shape_dict": shapes,
        "external_weights": False,
        "runtime_weights": False,
        "platform": "zynq-iodma",
        "fclk_mhz": 100.0,
    }
    text = json.dumps({"driver_information": settings, "experiment_information": {}})
    (folder / "deploy/driver/settings.json").write_text(text)
