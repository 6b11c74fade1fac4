"""AMD's chips that FINN has shells for: Zynq and Alveo. FINN's layers and Vivado make their bitstreams."""

from hw.boards.board import Board, FinnBoard
from hw.boards.budget import BlockRam
from hw.boards.families.base import ChipFamily
from hw.tools.kinds import CommandTool, VariableTool

LICENCES = ("XILINXD_LICENSE_FILE", "LM_LICENSE_FILE")
"""The variables in which AMD's tools look for a licence, or its server (UG973)."""

_VIVADO = (
    "AMD's Vivado (its free edition does for small chips), then `source settings64.sh`; or have it at"
    " vivado.where = 'docker' or 'ssh'"
)
_VITIS = "AMD's Vitis HLS, which comes with Vitis or Vivado"
_CARD = "AMD's Vitis, and the card's platform"
_LICENCE = f"a file, or port@server, in {' or '.join(LICENCES)}; most Zynq boards need none"

FAMILY = ChipFamily(
    name="amd",
    title="AMD",
    lut="LUT",
    flip_flop="FF",
    block_ram_name="RAMB36",
    dsp="DSP",
    ultra_ram_name="URAM",
    ultra_ram_bits=4096 * 72,  # URAM288 of UltraScale+, UG573
    # RAMB36 of 7-series (UG473) and UltraScale+ (UG573); its width of 72 has one port each way
    block_ram=BlockRam(
        36864, ((32768, 1), (16384, 2), (8192, 4), (4096, 9), (2048, 18), (1024, 36), (512, 72))
    ),
    multiply=("auto",),
    tools=(
        CommandTool("vivado", "place, route and pack, AMD", ("vivado",), _VIVADO, True, ("-version",)),
        # `vitis-run` since 2025.1
        CommandTool("vitis_hls", "compiles FINN's C++ layers", ("vivado",), _VITIS, True, (), ("vitis-run",)),
        CommandTool("v++", "links designs for Alveo cards", ("vivado",), _CARD, True),
        VariableTool("licence", "for AMD's chips that need one", ("vivado",), _LICENCE, True, LICENCES),
    ),
)

# Figures: data sheets DS190 (Zynq-7000), DS891 (Zynq UltraScale+), DS987 (Kria K26). Those of the U250 are
# what its platform leaves to a user (UG1120): 345,000 LUTs, 500 block RAMs, 320 UltraRAMs and 2,877 DSPs in
# each of four regions. Clocks are FINN's usual ones.
BOARDS = (
    Board(
        name="pynq-z1",
        title="Digilent PYNQ-Z1, Zynq-7020",
        family=FAMILY,
        device="xc7z020clg400-1",
        clock_hz=100_000_000,
        resources={"LUT": 53_200, "FF": 106_400, "RAMB36": 140, "DSP": 220},
        finn_board=FinnBoard("Pynq-Z1", "zynq", "7-series", 64),
    ),
    Board(
        name="pynq-z2",
        title="TUL PYNQ-Z2, Zynq-7020",
        family=FAMILY,
        device="xc7z020clg400-1",
        clock_hz=100_000_000,
        resources={"LUT": 53_200, "FF": 106_400, "RAMB36": 140, "DSP": 220},
        finn_board=FinnBoard("Pynq-Z2", "zynq", "7-series", 64),
    ),
    Board(
        name="ultra96-v2",
        title="Avnet Ultra96-V2, Zynq UltraScale+ ZU3EG",
        family=FAMILY,
        device="xczu3eg-sbva484-1-i",
        clock_hz=100_000_000,
        resources={"LUT": 70_560, "FF": 141_120, "RAMB36": 216, "DSP": 360},
        finn_board=FinnBoard("Ultra96-V2", "zynq", "ultrascale+", 128),
    ),
    Board(
        name="zcu104",
        title="AMD ZCU104, Zynq UltraScale+ ZU7EV",
        family=FAMILY,
        device="xczu7ev-ffvc1156-2-e",
        clock_hz=100_000_000,
        resources={"LUT": 230_400, "FF": 460_800, "RAMB36": 312, "URAM": 96, "DSP": 1_728},
        finn_board=FinnBoard("ZCU104", "zynq", "ultrascale+", 128),
    ),
    Board(
        name="kv260",
        title="AMD Kria KV260, Zynq UltraScale+ K26",
        family=FAMILY,
        device="xck26-sfvc784-2LV-c",
        clock_hz=100_000_000,
        resources={"LUT": 117_120, "FF": 234_240, "RAMB36": 144, "URAM": 64, "DSP": 1_248},
        finn_board=FinnBoard("KV260_SOM", "zynq", "ultrascale+", 128),
    ),
    Board(
        name="u250",
        title="AMD Alveo U250, UltraScale+ XCU250",
        family=FAMILY,
        device="xcu250-figd2104-2L-e",
        clock_hz=200_000_000,
        resources={"LUT": 1_380_000, "FF": 2_760_000, "RAMB36": 2_000, "URAM": 1_280, "DSP": 11_508},
        finn_board=FinnBoard("U250", "alveo", "ultrascale+", 512),
    ),
)
