// Every addition and subtraction its own carry chain, but for the narrowest.
// Yosys would join sums of sums and reduce them by full adders, which cost two LUTs a bit; a chain costs one, and
// one more for its carry: counts of single bits are left to Yosys.

(* techmap_celltype = "$add" *)
module retort_add (A, B, Y);
    parameter A_SIGNED = 0;
    parameter B_SIGNED = 0;
    parameter A_WIDTH = 1;
    parameter B_WIDTH = 1;
    parameter Y_WIDTH = 1;
    input [A_WIDTH-1:0] A;
    input [B_WIDTH-1:0] B;
    output [Y_WIDTH-1:0] Y;
    wire [Y_WIDTH-1:0] X, CO;
    wire _TECHMAP_FAIL_ = A_WIDTH < 4 && B_WIDTH < 4;
    \$alu #(
        .A_SIGNED(A_SIGNED), .B_SIGNED(B_SIGNED), .A_WIDTH(A_WIDTH), .B_WIDTH(B_WIDTH), .Y_WIDTH(Y_WIDTH)
    ) _TECHMAP_REPLACE_ (.A(A), .B(B), .CI(1'b0), .BI(1'b0), .X(X), .Y(Y), .CO(CO));
endmodule

(* techmap_celltype = "$sub" *)
module retort_sub (A, B, Y);
    parameter A_SIGNED = 0;
    parameter B_SIGNED = 0;
    parameter A_WIDTH = 1;
    parameter B_WIDTH = 1;
    parameter Y_WIDTH = 1;
    input [A_WIDTH-1:0] A;
    input [B_WIDTH-1:0] B;
    output [Y_WIDTH-1:0] Y;
    wire [Y_WIDTH-1:0] X, CO;
    wire _TECHMAP_FAIL_ = A_WIDTH < 4 && B_WIDTH < 4;
    \$alu #(
        .A_SIGNED(A_SIGNED), .B_SIGNED(B_SIGNED), .A_WIDTH(A_WIDTH), .B_WIDTH(B_WIDTH), .Y_WIDTH(Y_WIDTH)
    ) _TECHMAP_REPLACE_ (.A(A), .B(B), .CI(1'b1), .BI(1'b1), .X(X), .Y(Y), .CO(CO));
endmodule
