// Yosys technology map: pads as wires, so that a netlist's pins become plain inputs and outputs.
// A pad used in any other way (registered, switched direction) stays, and the simulator refuses it.

module TRELLIS_IO (B, I, T, O);
    inout B;
    input I, T;
    output O;
    parameter DIR = "INPUT";
    generate
        if (DIR == "INPUT") assign O = B;
        else if (DIR == "OUTPUT") assign B = I;
        else wire _TECHMAP_FAIL_ = 1;
    endgenerate
endmodule
