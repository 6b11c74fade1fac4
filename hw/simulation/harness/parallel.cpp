// Drives a simulated chip's parallel port as a master on its clock does.
//
// simulator STIMULUS RESULT CYCLES OUT_BEATS FRAME_BEATS FALSE_START SEED STALL_PERCENT
//
// STIMULUS holds the beats in, RESULT takes OUT_BEATS beats out, each as whole bytes, little-endian. CYCLES takes the
// 64-bit cycle number of each beat out. FRAME_BEATS beats out are a frame. First FALSE_START beats go in and the chip is
// reset, so that they must leave no trace.
//
// Macros name the chip's pins (PORT_CLOCK, PORT_IN_DATA, ...); PORT_IN_BYTES and PORT_OUT_BYTES are bytes a beat.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "Vtop.h"
#include "verilated.h"

namespace {

constexpr uint64_t kPatience = 1000000;  // cycles without a beat either way before the chip counts as stuck
constexpr int kResetCycles = 8;
constexpr uint64_t kStartCycles = 4096;  // a chip's power-on delay, at most

[[noreturn]] void fail(const std::string& what) {
    std::fprintf(stderr, "error: %s\n", what.c_str());
    std::exit(3);
}

std::vector<uint8_t> read_file(const char* path) {
    std::vector<uint8_t> data;
    std::FILE* file = std::fopen(path, "rb");
    if (!file) fail(std::string("cannot read ") + path);
    uint8_t block[65536];
    for (size_t count; (count = std::fread(block, 1, sizeof block, file));) data.insert(data.end(), block, block + count);
    std::fclose(file);
    return data;
}

void write_file(const char* path, const void* data, size_t size) {
    std::FILE* file = std::fopen(path, "wb");
    if (!file || std::fwrite(data, 1, size, file) != size || std::fclose(file)) fail(std::string("cannot write ") + path);
}

class Master {
  public:
    Master(uint64_t seed, unsigned stall) : random_(seed), stall_(stall), context_(std::make_unique<VerilatedContext>()) {
        context_->randReset(0);  // flip-flops without a power-on value start at 0, as in the chips
        top_ = std::make_unique<Vtop>(context_.get());
        reset();
    }

    // Stream `beats` in, until `wanted` beats came out; where none is wanted, until all went in, whatever comes out.
    void stream(const uint8_t* stimulus, size_t beats, size_t wanted, size_t frame_beats) {
        size_t taken = 0;
        bool offering = false;
        last_move_ = cycle_;
        while (cycles.size() < wanted || (!wanted && taken < beats)) {
            // A beat that is offered stays until it is taken.
            if (!offering && taken < beats && !stalls()) {
                std::memcpy(&top_->PORT_IN_DATA, stimulus + taken * PORT_IN_BYTES, PORT_IN_BYTES);
                offering = true;
            }
            top_->PORT_IN_VALID = offering;
            top_->PORT_OUT_READY = !stalls();
            top_->eval();
            if (offering && top_->PORT_IN_READY) {
                offering = false;
                ++taken;
                last_move_ = cycle_;
            }
            look(frame_beats, wanted);
            clock(true);
            if (cycle_ - last_move_ > kPatience)
                fail("the chip is stuck after " + std::to_string(taken) + " beats in, " +
                     std::to_string(cycles.size()) + " out");
        }
        top_->PORT_IN_VALID = 0;
        top_->PORT_OUT_READY = 0;
    }

    // Hold the chip in reset, then wait for it to take beats.
    void reset() {
        top_->PORT_IN_VALID = 0;
        top_->PORT_OUT_READY = 0;
        top_->PORT_RESET_N = 0;
        for (int cycle = 0; cycle < kResetCycles; ++cycle) clock(false);
        if (top_->PORT_IN_READY || top_->PORT_OUT_VALID) fail("in_ready or out_valid in reset");
        top_->PORT_RESET_N = 1;
        for (uint64_t cycle = 0; !top_->PORT_IN_READY; ++cycle) {
            if (cycle > kStartCycles) fail("the chip takes nothing after its reset");
            clock(false);
        }
        waiting_ = false;
    }

    std::vector<uint8_t> result;
    std::vector<uint64_t> cycles;

  private:
    bool stalls() { return random_() % 100 < stall_; }

    // The stream out, just before the clock rises.
    void look(size_t frame_beats, bool wanted) {
        const bool valid = top_->PORT_OUT_VALID, ready = top_->PORT_OUT_READY, last = top_->PORT_OUT_LAST;
        if (waiting_ && !valid) fail("out_valid fell before out_ready");
        if (waiting_ && (std::memcmp(&top_->PORT_OUT_DATA, offered_, PORT_OUT_BYTES) || last != offered_last_))
            fail("out_data changed before out_ready");
        waiting_ = valid && !ready;
        std::memcpy(offered_, &top_->PORT_OUT_DATA, PORT_OUT_BYTES);
        offered_last_ = last;
        if (!valid || !ready || !wanted) return;
        if (last != ((cycles.size() + 1) % frame_beats == 0)) fail("out_last in the wrong place");
        result.insert(result.end(), offered_, offered_ + PORT_OUT_BYTES);
        cycles.push_back(cycle_);
        last_move_ = cycle_;
    }

    void clock(bool forwarded) {
        for (const bool level : {true, false}) {
            top_->PORT_CLOCK = level;
            top_->eval();
            if (forwarded && top_->PORT_CLK_OUT != level) fail("clk_out is not the clock");
        }
        ++cycle_;
    }

    std::minstd_rand random_;  // the same stalls on every machine
    const unsigned stall_;
    std::unique_ptr<VerilatedContext> context_;
    std::unique_ptr<Vtop> top_;
    uint64_t cycle_ = 0, last_move_ = 0;
    bool waiting_ = false, offered_last_ = false;
    uint8_t offered_[PORT_OUT_BYTES] = {};
};

}  // namespace

int main(int argc, char** argv) {
    if (argc != 9) fail("eight arguments expected");
    const std::vector<uint8_t> stimulus = read_file(argv[1]);
    const size_t wanted = std::strtoull(argv[4], nullptr, 10), frame_beats = std::strtoull(argv[5], nullptr, 10);
    const size_t false_start = std::strtoull(argv[6], nullptr, 10);
    Master master(std::strtoull(argv[7], nullptr, 10) + 1, std::strtoul(argv[8], nullptr, 10));
    if (false_start) {
        master.stream(stimulus.data(), false_start, 0, frame_beats);
        master.reset();
    }
    master.stream(stimulus.data(), stimulus.size() / PORT_IN_BYTES, wanted, frame_beats);
    write_file(argv[2], master.result.data(), master.result.size());
    write_file(argv[3], master.cycles.data(), master.cycles.size() * sizeof(uint64_t));
    return 0;
}
