// Yosys technology map: pads as wires, so that a netlist's pins become plain inputs and outputs.
// A pad used in any other way (registered, switched direction) stays, and the simulator refuses it.

module SB_IO (PACKAGE_PIN, LATCH_INPUT_VALUE, CLOCK_ENABLE, INPUT_CLK, OUTPUT_CLK, OUTPUT_ENABLE, D_OUT_0, D_OUT_1, D_IN_0, D_IN_1);
    inout PACKAGE_PIN;
    input LATCH_INPUT_VALUE, CLOCK_ENABLE, INPUT_CLK, OUTPUT_CLK, OUTPUT_ENABLE, D_OUT_0, D_OUT_1;
    output D_IN_0, D_IN_1;
    parameter [5:0] PIN_TYPE = 6'b000000;
    parameter [0:0] PULLUP = 1'b0;
    parameter [0:0] NEG_TRIGGER = 1'b0;
    parameter IO_STANDARD = "SB_LVCMOS";
    parameter _TECHMAP_CONSTMSK_OUTPUT_ENABLE_ = 0;
    parameter _TECHMAP_CONSTVAL_OUTPUT_ENABLE_ = 0;
    localparam driven = PIN_TYPE[5:2] == 4'b1010 && _TECHMAP_CONSTMSK_OUTPUT_ENABLE_ && _TECHMAP_CONSTVAL_OUTPUT_ENABLE_;
    generate
        if (PIN_TYPE == 6'b000001) assign D_IN_0 = PACKAGE_PIN;
        else if (driven) assign PACKAGE_PIN = D_OUT_0;
        else wire _TECHMAP_FAIL_ = 1;
    endgenerate
endmodule

module SB_GB_IO (PACKAGE_PIN, GLOBAL_BUFFER_OUTPUT, LATCH_INPUT_VALUE, CLOCK_ENABLE, INPUT_CLK, OUTPUT_CLK, OUTPUT_ENABLE, D_OUT_0, D_OUT_1, D_IN_0, D_IN_1);
    inout PACKAGE_PIN;
    input LATCH_INPUT_VALUE, CLOCK_ENABLE, INPUT_CLK, OUTPUT_CLK, OUTPUT_ENABLE, D_OUT_0, D_OUT_1;
    output D_IN_0, D_IN_1, GLOBAL_BUFFER_OUTPUT;
    parameter [5:0] PIN_TYPE = 6'b000000;
    parameter [0:0] PULLUP = 1'b0;
    parameter [0:0] NEG_TRIGGER = 1'b0;
    parameter IO_STANDARD = "SB_LVCMOS";
    assign GLOBAL_BUFFER_OUTPUT = PACKAGE_PIN;
    generate
        if (PIN_TYPE == 6'b000001) assign D_IN_0 = PACKAGE_PIN;
        else wire _TECHMAP_FAIL_ = 1;
    endgenerate
endmodule
