// Streams words through module `core` and notes in which cycle each went in and came out.
//
// simulator STIMULUS RESULT CYCLES O_WORDS SEED STALL_PERCENT
//
// STIMULUS holds the input words, RESULT takes the output words, each as whole bytes, little-endian.
// CYCLES takes 64-bit cycle numbers: of every input word, then of every output word.
// With RETORT_TAPS, file RESULT.tap<k> takes the words of tap k.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "Vtop.h"
#include "verilated.h"
#ifdef RETORT_TAPS
#include "Vtop___024root.h"
#endif

namespace {

template <class T> void put(T& port, const uint8_t* bytes, size_t count) { std::memcpy(&port, bytes, count); }
template <class T> void get(const T& port, uint8_t* bytes, size_t count) { std::memcpy(bytes, &port, count); }

std::vector<uint8_t> read_file(const char* path) {
    std::vector<uint8_t> data;
    FILE* file = std::fopen(path, "rb");
    if (!file) { std::fprintf(stderr, "error: cannot read %s\n", path); std::exit(2); }
    std::fseek(file, 0, SEEK_END);
    data.resize(std::ftell(file));
    std::rewind(file);
    if (std::fread(data.data(), 1, data.size(), file) != data.size()) std::exit(2);
    std::fclose(file);
    return data;
}

void write_file(const std::string& path, const void* data, size_t size) {
    FILE* file = std::fopen(path.c_str(), "wb");
    if (!file || std::fwrite(data, 1, size, file) != size || std::fclose(file)) {
        std::fprintf(stderr, "error: cannot write %s\n", path.c_str());
        std::exit(2);
    }
}

struct Random {  // xorshift64*: the same stalls on every machine
    uint64_t state;
    uint32_t percent() {
        state ^= state >> 12; state ^= state << 25; state ^= state >> 27;
        return uint32_t((state * 0x2545F4914F6CDD1DULL) >> 33) % 100;
    }
};

constexpr uint64_t kPatience = 1000000;  // cycles without a word either way before the core counts as stuck

}  // namespace

int main(int argc, char** argv) {
    if (argc != 7) { std::fprintf(stderr, "error: six arguments expected\n"); return 2; }
    const std::vector<uint8_t> stimulus = read_file(argv[1]);
    const size_t i_bytes = I_BYTES, o_bytes = O_BYTES;
    const size_t i_words = stimulus.size() / i_bytes, o_words = std::strtoull(argv[4], nullptr, 10);
    Random random{std::strtoull(argv[5], nullptr, 10) * 2 + 1};
    const uint32_t stall = std::strtoul(argv[6], nullptr, 10);
    std::vector<uint8_t> result(o_words * o_bytes);
    std::vector<uint64_t> cycles(i_words + o_words);
#ifdef RETORT_TAPS
    std::vector<std::vector<uint8_t>> taps(RETORT_TAPS);
#endif

    VerilatedContext context;
    Vtop top{&context};
    size_t taken = 0, given = 0;
    uint64_t cycle = 0, last_move = 0;
    bool offering = false;
    auto clock = [&] { top.clk = 1; top.eval(); top.clk = 0; top.eval(); };
    top.rst = 1; top.s_axis_tvalid = 0; top.m_axis_tready = 0; top.clk = 0;
    top.eval();
    clock(); clock();
    top.rst = 0;
    while (given < o_words) {
        // A word that is offered stays until it is taken, as AXI-Stream asks.
        if (!offering && taken < i_words && random.percent() >= stall) {
            put(top.s_axis_tdata, &stimulus[taken * i_bytes], i_bytes);
            offering = true;
        }
        top.s_axis_tvalid = offering;
        top.m_axis_tready = random.percent() >= stall;
        top.eval();
        if (offering && top.s_axis_tready) {
            cycles[taken++] = cycle; offering = false; last_move = cycle;
        }
        if (top.m_axis_tvalid && top.m_axis_tready) {
            get(top.m_axis_tdata, &result[given * o_bytes], o_bytes);
            cycles[i_words + given++] = cycle; last_move = cycle;
        }
#ifdef RETORT_TAPS
        auto tap = [&](int k, bool moves, const auto& port, size_t count) {
            if (!moves) return;
            const size_t at = taps[k].size();
            taps[k].resize(at + count);
            get(port, &taps[k][at], count);
        };
        RETORT_TAP_READS(top.rootp)
#endif
        clock();
        if (++cycle - last_move > kPatience) {
            std::fprintf(stderr, "error: the core is stuck after %zu words in, %zu out\n", taken, given);
            return 3;
        }
    }
    write_file(argv[2], result.data(), result.size());
    write_file(argv[3], cycles.data(), cycles.size() * sizeof(uint64_t));
#ifdef RETORT_TAPS
    for (size_t k = 0; k < taps.size(); k++)
        write_file(std::string(argv[2]) + ".tap" + std::to_string(k), taps[k].data(), taps[k].size());
#endif
    return 0;
}
