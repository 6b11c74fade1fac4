// Simulation models of the ECP5 cells that Yosys ships as black boxes.
// Behaviour after Lattice FPGA-TN-02204, "ECP5 and ECP5-5G Memory Usage Guide".

// 18-kbit block RAM: two ports, or one 36 bits wide for writing (A) and one for reading (B).
// Contents are INITVAL_00 to INITVAL_3F, each sixteen 18-bit words, 20 bits apart.
module RETORT_DP16KD (
    input DIA17, DIA16, DIA15, DIA14, DIA13, DIA12, DIA11, DIA10, DIA9, DIA8, DIA7, DIA6, DIA5, DIA4, DIA3, DIA2, DIA1, DIA0,
    input ADA13, ADA12, ADA11, ADA10, ADA9, ADA8, ADA7, ADA6, ADA5, ADA4, ADA3, ADA2, ADA1, ADA0,
    input CEA, OCEA, CLKA, WEA, RSTA, CSA2, CSA1, CSA0,
    output DOA17, DOA16, DOA15, DOA14, DOA13, DOA12, DOA11, DOA10, DOA9, DOA8, DOA7, DOA6, DOA5, DOA4, DOA3, DOA2, DOA1, DOA0,
    input DIB17, DIB16, DIB15, DIB14, DIB13, DIB12, DIB11, DIB10, DIB9, DIB8, DIB7, DIB6, DIB5, DIB4, DIB3, DIB2, DIB1, DIB0,
    input ADB13, ADB12, ADB11, ADB10, ADB9, ADB8, ADB7, ADB6, ADB5, ADB4, ADB3, ADB2, ADB1, ADB0,
    input CEB, OCEB, CLKB, WEB, RSTB, CSB2, CSB1, CSB0,
    output DOB17, DOB16, DOB15, DOB14, DOB13, DOB12, DOB11, DOB10, DOB9, DOB8, DOB7, DOB6, DOB5, DOB4, DOB3, DOB2, DOB1, DOB0
);
    parameter DATA_WIDTH_A = 18;
    parameter DATA_WIDTH_B = 18;
    parameter REGMODE_A = "NOREG";
    parameter REGMODE_B = "NOREG";
    parameter RESETMODE = "SYNC";
    parameter ASYNC_RESET_RELEASE = "SYNC";
    parameter CSDECODE_A = "0b000";
    parameter CSDECODE_B = "0b000";
    parameter WRITEMODE_A = "NORMAL";
    parameter WRITEMODE_B = "NORMAL";
    parameter CLKAMUX = "CLKA";
    parameter CLKBMUX = "CLKB";
    parameter GSR = "ENABLED";
    parameter [319:0] INITVAL_00 = 320'h0;
    parameter [319:0] INITVAL_01 = 320'h0;
    parameter [319:0] INITVAL_02 = 320'h0;
    parameter [319:0] INITVAL_03 = 320'h0;
    parameter [319:0] INITVAL_04 = 320'h0;
    parameter [319:0] INITVAL_05 = 320'h0;
    parameter [319:0] INITVAL_06 = 320'h0;
    parameter [319:0] INITVAL_07 = 320'h0;
    parameter [319:0] INITVAL_08 = 320'h0;
    parameter [319:0] INITVAL_09 = 320'h0;
    parameter [319:0] INITVAL_0A = 320'h0;
    parameter [319:0] INITVAL_0B = 320'h0;
    parameter [319:0] INITVAL_0C = 320'h0;
    parameter [319:0] INITVAL_0D = 320'h0;
    parameter [319:0] INITVAL_0E = 320'h0;
    parameter [319:0] INITVAL_0F = 320'h0;
    parameter [319:0] INITVAL_10 = 320'h0;
    parameter [319:0] INITVAL_11 = 320'h0;
    parameter [319:0] INITVAL_12 = 320'h0;
    parameter [319:0] INITVAL_13 = 320'h0;
    parameter [319:0] INITVAL_14 = 320'h0;
    parameter [319:0] INITVAL_15 = 320'h0;
    parameter [319:0] INITVAL_16 = 320'h0;
    parameter [319:0] INITVAL_17 = 320'h0;
    parameter [319:0] INITVAL_18 = 320'h0;
    parameter [319:0] INITVAL_19 = 320'h0;
    parameter [319:0] INITVAL_1A = 320'h0;
    parameter [319:0] INITVAL_1B = 320'h0;
    parameter [319:0] INITVAL_1C = 320'h0;
    parameter [319:0] INITVAL_1D = 320'h0;
    parameter [319:0] INITVAL_1E = 320'h0;
    parameter [319:0] INITVAL_1F = 320'h0;
    parameter [319:0] INITVAL_20 = 320'h0;
    parameter [319:0] INITVAL_21 = 320'h0;
    parameter [319:0] INITVAL_22 = 320'h0;
    parameter [319:0] INITVAL_23 = 320'h0;
    parameter [319:0] INITVAL_24 = 320'h0;
    parameter [319:0] INITVAL_25 = 320'h0;
    parameter [319:0] INITVAL_26 = 320'h0;
    parameter [319:0] INITVAL_27 = 320'h0;
    parameter [319:0] INITVAL_28 = 320'h0;
    parameter [319:0] INITVAL_29 = 320'h0;
    parameter [319:0] INITVAL_2A = 320'h0;
    parameter [319:0] INITVAL_2B = 320'h0;
    parameter [319:0] INITVAL_2C = 320'h0;
    parameter [319:0] INITVAL_2D = 320'h0;
    parameter [319:0] INITVAL_2E = 320'h0;
    parameter [319:0] INITVAL_2F = 320'h0;
    parameter [319:0] INITVAL_30 = 320'h0;
    parameter [319:0] INITVAL_31 = 320'h0;
    parameter [319:0] INITVAL_32 = 320'h0;
    parameter [319:0] INITVAL_33 = 320'h0;
    parameter [319:0] INITVAL_34 = 320'h0;
    parameter [319:0] INITVAL_35 = 320'h0;
    parameter [319:0] INITVAL_36 = 320'h0;
    parameter [319:0] INITVAL_37 = 320'h0;
    parameter [319:0] INITVAL_38 = 320'h0;
    parameter [319:0] INITVAL_39 = 320'h0;
    parameter [319:0] INITVAL_3A = 320'h0;
    parameter [319:0] INITVAL_3B = 320'h0;
    parameter [319:0] INITVAL_3C = 320'h0;
    parameter [319:0] INITVAL_3D = 320'h0;
    parameter [319:0] INITVAL_3E = 320'h0;
    parameter [319:0] INITVAL_3F = 320'h0;
    wire [20479:0] contents = {
        INITVAL_3F, INITVAL_3E, INITVAL_3D, INITVAL_3C, INITVAL_3B, INITVAL_3A, INITVAL_39, INITVAL_38,
        INITVAL_37, INITVAL_36, INITVAL_35, INITVAL_34, INITVAL_33, INITVAL_32, INITVAL_31, INITVAL_30,
        INITVAL_2F, INITVAL_2E, INITVAL_2D, INITVAL_2C, INITVAL_2B, INITVAL_2A, INITVAL_29, INITVAL_28,
        INITVAL_27, INITVAL_26, INITVAL_25, INITVAL_24, INITVAL_23, INITVAL_22, INITVAL_21, INITVAL_20,
        INITVAL_1F, INITVAL_1E, INITVAL_1D, INITVAL_1C, INITVAL_1B, INITVAL_1A, INITVAL_19, INITVAL_18,
        INITVAL_17, INITVAL_16, INITVAL_15, INITVAL_14, INITVAL_13, INITVAL_12, INITVAL_11, INITVAL_10,
        INITVAL_0F, INITVAL_0E, INITVAL_0D, INITVAL_0C, INITVAL_0B, INITVAL_0A, INITVAL_09, INITVAL_08,
        INITVAL_07, INITVAL_06, INITVAL_05, INITVAL_04, INITVAL_03, INITVAL_02, INITVAL_01, INITVAL_00
    };

    reg [17:0] memory [0:1023];
    integer k;
    initial for (k = 0; k < 1024; k = k + 1) memory[k] = contents[20 * k +: 18];

    wire [13:0] ada = {ADA13, ADA12, ADA11, ADA10, ADA9, ADA8, ADA7, ADA6, ADA5, ADA4, ADA3, ADA2, ADA1, ADA0};
    wire [13:0] adb = {ADB13, ADB12, ADB11, ADB10, ADB9, ADB8, ADB7, ADB6, ADB5, ADB4, ADB3, ADB2, ADB1, ADB0};
    wire [17:0] dia = {DIA17, DIA16, DIA15, DIA14, DIA13, DIA12, DIA11, DIA10, DIA9, DIA8, DIA7, DIA6, DIA5, DIA4, DIA3, DIA2, DIA1, DIA0};
    wire [17:0] dib = {DIB17, DIB16, DIB15, DIB14, DIB13, DIB12, DIB11, DIB10, DIB9, DIB8, DIB7, DIB6, DIB5, DIB4, DIB3, DIB2, DIB1, DIB0};
    reg [17:0] doa = 0;
    reg [17:0] dob = 0;
    assign {DOA17, DOA16, DOA15, DOA14, DOA13, DOA12, DOA11, DOA10, DOA9, DOA8, DOA7, DOA6, DOA5, DOA4, DOA3, DOA2, DOA1, DOA0} = doa;
    assign {DOB17, DOB16, DOB15, DOB14, DOB13, DOB12, DOB11, DOB10, DOB9, DOB8, DOB7, DOB6, DOB5, DOB4, DOB3, DOB2, DOB1, DOB0} = dob;

    // Bits of an 18-bit word that an access of `width` at `address` touches. The ninth bit of each half is
    // there for widths of 9 and more only.
    function [17:0] touched(input integer width, input [13:0] address);
        case (width)
            1: touched = 18'h1 << (9 * address[3] + address[2:0]);
            2: touched = 18'h3 << (9 * address[3] + 2 * address[2:1]);
            4: touched = 18'hf << (9 * address[3] + 4 * address[2]);
            9: touched = 18'h1ff << (9 * address[3]);
            default: touched = {{9{address[1]}}, {9{address[0]}}};
        endcase
    endfunction

    function [17:0] placed(input integer width, input [13:0] address, input [17:0] data);
        case (width)
            1: placed = data << (9 * address[3] + address[2:0]);
            2: placed = data << (9 * address[3] + 2 * address[2:1]);
            4: placed = data << (9 * address[3] + 4 * address[2]);
            9: placed = data << (9 * address[3]);
            default: placed = data;
        endcase
    endfunction

    function [17:0] taken(input integer width, input [13:0] address, input [17:0] word);
        case (width)
            1: taken = (word >> (9 * address[3] + address[2:0])) & 18'h1;
            2: taken = (word >> (9 * address[3] + 2 * address[2:1])) & 18'h3;
            4: taken = (word >> (9 * address[3] + 4 * address[2])) & 18'hf;
            9: taken = (word >> (9 * address[3])) & 18'h1ff;
            default: taken = word;
        endcase
    endfunction

    wire clock_a = CLKAMUX == "INV" ? ~CLKA : CLKA;
    wire clock_b = CLKBMUX == "INV" ? ~CLKB : CLKB;
    wire [17:0] mask_a = touched(DATA_WIDTH_A, ada);
    wire [17:0] mask_b = touched(DATA_WIDTH_B, adb);
    wire [17:0] old_a = memory[ada[13:4]];
    wire [17:0] old_b = memory[adb[13:4]];
    wire [17:0] new_a = (old_a & ~mask_a) | (placed(DATA_WIDTH_A, ada, dia) & mask_a);
    wire [17:0] new_b = (old_b & ~mask_b) | (placed(DATA_WIDTH_B, adb, dib) & mask_b);

    always @(posedge clock_a) if (CEA) begin
        if (WEA && DATA_WIDTH_A == 36) begin
            if (ada[0]) memory[{ada[13:5], 1'b0}][8:0] <= dia[8:0];
            if (ada[1]) memory[{ada[13:5], 1'b0}][17:9] <= dia[17:9];
            if (ada[2]) memory[{ada[13:5], 1'b1}][8:0] <= dib[8:0];
            if (ada[3]) memory[{ada[13:5], 1'b1}][17:9] <= dib[17:9];
        end else if (WEA) begin
            memory[ada[13:4]] <= new_a;
            if (WRITEMODE_A == "WRITETHROUGH") doa <= taken(DATA_WIDTH_A, ada, new_a);
            if (WRITEMODE_A == "READBEFOREWRITE") doa <= taken(DATA_WIDTH_A, ada, old_a);
        end else if (DATA_WIDTH_B != 36) doa <= RSTA ? 18'h0 : taken(DATA_WIDTH_A, ada, old_a);
    end
    always @(posedge clock_b) if (CEB) begin
        if (WEB) begin
            memory[adb[13:4]] <= new_b;
            if (WRITEMODE_B == "WRITETHROUGH") dob <= taken(DATA_WIDTH_B, adb, new_b);
            if (WRITEMODE_B == "READBEFOREWRITE") dob <= taken(DATA_WIDTH_B, adb, old_b);
        end else if (DATA_WIDTH_B == 36) begin
            doa <= RSTB ? 18'h0 : memory[{adb[13:5], 1'b0}];
            dob <= RSTB ? 18'h0 : memory[{adb[13:5], 1'b1}];
        end else dob <= RSTB ? 18'h0 : taken(DATA_WIDTH_B, adb, old_b);
    end
endmodule

// Multiplier of a DSP slice without its registers, after Lattice FPGA-TN-02205, "ECP5 and ECP5-5G sysDSP Usage
// Guide". Registered or cascaded, it gives x: nothing in Retort uses it so.
module RETORT_MULT18X18D (
    input A17, A16, A15, A14, A13, A12, A11, A10, A9, A8, A7, A6, A5, A4, A3, A2, A1, A0,
    input B17, B16, B15, B14, B13, B12, B11, B10, B9, B8, B7, B6, B5, B4, B3, B2, B1, B0,
    input C17, C16, C15, C14, C13, C12, C11, C10, C9, C8, C7, C6, C5, C4, C3, C2, C1, C0,
    input SIGNEDA, SIGNEDB, SOURCEA, SOURCEB,
    input CLK3, CLK2, CLK1, CLK0, CE3, CE2, CE1, CE0, RST3, RST2, RST1, RST0,
    output P35, P34, P33, P32, P31, P30, P29, P28, P27, P26, P25, P24, P23, P22, P21, P20, P19, P18, P17, P16, P15, P14, P13, P12, P11, P10, P9, P8, P7, P6, P5, P4, P3, P2, P1, P0
);
    parameter REG_INPUTA_CLK = "NONE";
    parameter REG_INPUTB_CLK = "NONE";
    parameter REG_INPUTC_CLK = "NONE";
    parameter REG_PIPELINE_CLK = "NONE";
    parameter REG_OUTPUT_CLK = "NONE";
    parameter SOURCEB_MODE = "B_SHIFT";
    parameter MULT_BYPASS = "DISABLED";

    wire plain = REG_INPUTA_CLK == "NONE" && REG_INPUTB_CLK == "NONE" && REG_INPUTC_CLK == "NONE"
        && REG_PIPELINE_CLK == "NONE" && REG_OUTPUT_CLK == "NONE" && MULT_BYPASS == "DISABLED"
        && !SOURCEA && !SOURCEB;
    wire [17:0] a = {A17, A16, A15, A14, A13, A12, A11, A10, A9, A8, A7, A6, A5, A4, A3, A2, A1, A0};
    wire [17:0] b = {B17, B16, B15, B14, B13, B12, B11, B10, B9, B8, B7, B6, B5, B4, B3, B2, B1, B0};
    wire signed [35:0] wide_a = {{18{SIGNEDA & a[17]}}, a};
    wire signed [35:0] wide_b = {{18{SIGNEDB & b[17]}}, b};
    assign {P35, P34, P33, P32, P31, P30, P29, P28, P27, P26, P25, P24, P23, P22, P21, P20, P19, P18, P17, P16, P15, P14, P13, P12, P11, P10, P9, P8, P7, P6, P5, P4, P3, P2, P1, P0} = plain ? wide_a * wide_b : 36'bx;
endmodule

// Start-up reset: in simulation every flip-flop starts from its initial value anyway.
module SGSR (input GSR, input CLK);
endmodule
