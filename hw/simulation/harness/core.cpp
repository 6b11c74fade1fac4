// Streams words through module `core` and notes in which cycle each went in and came out.
//
// simulator STIMULUS RESULT CYCLES FRAMES O_WORDS SEED STALL_PERCENT PARTS
//
// STIMULUS holds the input words of FRAMES frames, RESULT takes the output words, O_WORDS a frame, each as whole
// bytes, little-endian. CYCLES takes 64-bit cycle numbers: of every frame's first word in, then of its last word out.
// With RETORT_TAPS, file RESULT.tap<k> takes the words of tap k.
// With RETORT_LOAD, a ninth argument names a file of pairs of 32-bit numbers, to be loaded by the core's load port:
// the column above the address, as many bits as the port has for that, and the word.
// In PARTS threads as many cores, each from its reset on, take part k of the frames: from frame
// k * FRAMES / PARTS to the next part's first.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
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

struct Part {  // some frames: their words, and when their first came and their last went
    const uint8_t* stimulus;
    uint8_t* result;
    uint64_t* first_in;
    uint64_t* last_out;
    size_t frames, i_words, o_words;  // words of a frame
    const std::vector<uint8_t>* loads;
    std::vector<std::vector<uint8_t>> taps;
    bool stuck = false;

    void run(Random random, uint32_t stall);
};

void Part::run(Random random, uint32_t stall) {
    const size_t i_bytes = I_BYTES, o_bytes = O_BYTES;
    VerilatedContext context;
    Vtop top{&context};
    size_t taken = 0, given = 0;
    uint64_t cycle = 0, last_move = 0;
    bool offering = false;
    auto rise = [&] { top.clk = 1; top.eval(); };
    auto fall = [&] { top.clk = 0; top.eval(); };
    top.rst = 1; top.s_axis_tvalid = 0; top.m_axis_tready = 0;
    fall(); rise(); fall(); rise();
#ifdef RETORT_LOAD
    for (size_t at = 0; at < loads->size(); at += 8) {
        uint32_t pair[2];
        std::memcpy(pair, &(*loads)[at], 8);
        top.load_valid = 1;
        top.load_column = pair[0] >> RETORT_LOAD;
        top.load_address = pair[0] & ((1u << RETORT_LOAD) - 1);
        top.load_data = pair[1];
        fall(); rise();
    }
    top.load_valid = 0;
#endif
    top.rst = 0;
    while (given < frames * o_words) {
        // A word that is offered stays until it is taken, as AXI-Stream asks.
        if (!offering && taken < frames * i_words && random.percent() >= stall) {
            put(top.s_axis_tdata, &stimulus[taken * i_bytes], i_bytes);
            offering = true;
        }
        top.s_axis_tvalid = offering;
        top.m_axis_tready = random.percent() >= stall;
        fall();
        if (offering && top.s_axis_tready) {
            if (taken % i_words == 0) first_in[taken / i_words] = cycle;
            taken++; offering = false; last_move = cycle;
        }
        if (top.m_axis_tvalid && top.m_axis_tready) {
            get(top.m_axis_tdata, &result[given * o_bytes], o_bytes);
            last_out[given / o_words] = cycle;
            given++; last_move = cycle;
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
        rise();
        if (++cycle - last_move > kPatience) {
            std::fprintf(stderr, "error: the core is stuck after %zu words in, %zu out\n", taken, given);
            stuck = true;
            return;
        }
    }
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 9 && argc != 10) { std::fprintf(stderr, "error: eight or nine arguments expected\n"); return 2; }
    const std::vector<uint8_t> stimulus = read_file(argv[1]);
    const std::vector<uint8_t> loads = argc > 9 ? read_file(argv[9]) : std::vector<uint8_t>();
    uint64_t numbers[5];
    for (int k = 0; k < 5; k++) numbers[k] = std::strtoull(argv[k + 4], nullptr, 10);
    const auto [frames, o_words, seed, stall, count] = numbers;
    const size_t i_words = stimulus.size() / I_BYTES / frames;
    std::vector<uint8_t> result(frames * o_words * O_BYTES);
    std::vector<uint64_t> cycles(2 * frames);
    std::vector<Part> parts(count);
    std::vector<std::thread> threads;
    for (size_t k = 0; k < count; k++) {
        const size_t first = k * frames / count, behind = (k + 1) * frames / count;
        Part& part = parts[k];
        part.stimulus = &stimulus[first * i_words * I_BYTES];
        part.result = &result[first * o_words * O_BYTES];
        part.first_in = &cycles[first];
        part.last_out = &cycles[frames + first];
        part.frames = behind - first;
        part.i_words = i_words;
        part.o_words = o_words;
        part.loads = &loads;
#ifdef RETORT_TAPS
        part.taps.resize(RETORT_TAPS);
#endif
        threads.emplace_back(&Part::run, &part, Random{(seed + k) * 2 + 1}, uint32_t(stall));
    }
    for (std::thread& thread : threads) thread.join();
    for (const Part& part : parts) if (part.stuck) return 3;
    write_file(argv[2], result.data(), result.size());
    write_file(argv[3], cycles.data(), cycles.size() * sizeof(uint64_t));
#ifdef RETORT_TAPS
    for (size_t k = 0; k < RETORT_TAPS; k++) {
        std::vector<uint8_t> words;
        for (const Part& part : parts) words.insert(words.end(), part.taps[k].begin(), part.taps[k].end());
        write_file(std::string(argv[2]) + ".tap" + std::to_string(k), words.data(), words.size());
    }
#endif
    return 0;
}
