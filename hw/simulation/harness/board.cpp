// The virtual board: a simulated chip whose serial line is a pseudo-terminal.
//
// usage: simulator FD PATIENCE_MS FREE_BITS LIMIT_BITS
//
// FD is the master side. Macros name the chip's pins: BOARD_CLOCK, BOARD_RX, BOARD_TX; BOARD_CLOCKS_PER_BIT.
//
// Simulated time has nothing to do with the host's. Once the line has been quiet for FREE_BITS bit times, it stands
// still until the host sends or PATIENCE_MS have gone by, so that a host that is slow in the middle of a request does
// not look like one that broke off. After LIMIT_BITS of quiet it stands still until the host sends.

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>

#include <poll.h>
#include <unistd.h>

#include "Vtop.h"
#include "verilated.h"

namespace {

constexpr int kStartBits = 512;  // a chip's power-on delay; what the line does in it is not the host's
constexpr int kPollBits = 64;    // between looks at a quiet line: a look costs as much as many cycles

volatile std::sig_atomic_t stopped = 0;

void stop(int) { stopped = 1; }

class Terminal {
  public:
    explicit Terminal(int fd) : fd_(fd) {}

    // Whether the host has sent something; waits up to `milliseconds` for it, -1: for ever.
    bool ready(int milliseconds) {
        pollfd entry{fd_, POLLIN, 0};
        return ::poll(&entry, 1, milliseconds) > 0;
    }

    uint8_t read() {
        uint8_t byte = 0;
        ssize_t done = ::read(fd_, &byte, 1);
        if (done != 1) leave("read", done);
        return byte;
    }

    void write(uint8_t byte) {
        ssize_t done;
        do done = ::write(fd_, &byte, 1);
        while (done < 0 && errno == EINTR && !stopped);
        if (done != 1) leave("write", done);
    }

  private:
    // A host that is gone (EIO) ends the board as well.
    void leave(const char* what, ssize_t done) {
        if (stopped || done == 0 || errno == EIO) std::exit(0);
        std::fprintf(stderr, "virtual board: error: %s: %s\n", what, std::strerror(errno));
        std::exit(1);
    }

    int fd_;
};

// Reads the chip's serial output, one call a cycle.
class Monitor {
  public:
    // Whether a byte ended in this cycle.
    bool clock(bool line) {
        if (bit_ < 0) {
            if (!line) bit_ = 0, wait_ = BOARD_CLOCKS_PER_BIT / 2;
            return false;
        }
        if (--wait_ > 0) return false;
        wait_ = BOARD_CLOCKS_PER_BIT;
        shift_ = static_cast<uint16_t>(shift_ >> 1 | line << 9);
        if (++bit_ < 10) return false;
        bit_ = -1;
        return true;
    }
    bool active() const { return bit_ >= 0; }
    uint8_t byte() const { return static_cast<uint8_t>(shift_ >> 1); }

  private:
    int bit_ = -1;
    int wait_ = 0;
    uint16_t shift_ = 0;
};

class Board {
  public:
    explicit Board(int fd) : terminal_(fd), context_(std::make_unique<VerilatedContext>()) {
        context_->randReset(0);  // flip-flops without a power-on value start at 0, as in the chips
        top_ = std::make_unique<Vtop>(context_.get());
        top_->BOARD_RX = 1;
        for (int bit = 0; bit < kStartBits; ++bit) run_bit(true, false);
    }

    void run(int patience, uint64_t free_bits, uint64_t limit_bits) {
        for (uint64_t quiet = 0; !stopped; ++quiet) {
            int wait = quiet >= limit_bits ? -1 : quiet == free_bits ? patience : 0;
            if ((wait || quiet % kPollBits == 0) && terminal_.ready(wait)) {
                do send(terminal_.read());
                while (terminal_.ready(0) && !stopped);
                quiet = 0;
            }
            if (run_bit(true, true)) quiet = 0;
        }
        top_->final();
    }

  private:
    void send(uint8_t byte) {
        for (unsigned frame = 0x200u | byte << 1; frame; frame >>= 1) run_bit(frame & 1, true);
    }

    // One bit time with the chip's input at `level`; whether the chip sent anything in it.
    bool run_bit(bool level, bool forward) {
        bool active = false;
        top_->BOARD_RX = level;
        for (int cycle = 0; cycle < BOARD_CLOCKS_PER_BIT; ++cycle) {
            top_->BOARD_CLOCK = 0;
            top_->eval();
            top_->BOARD_CLOCK = 1;
            top_->eval();
            if (monitor_.clock(top_->BOARD_TX) && forward) terminal_.write(monitor_.byte());
            active |= monitor_.active();
        }
        return active;
    }

    Terminal terminal_;
    std::unique_ptr<VerilatedContext> context_;
    std::unique_ptr<Vtop> top_;
    Monitor monitor_;
};

}  // namespace

int main(int argc, char** argv) {
    if (argc != 5) {
        std::fprintf(stderr, "virtual board: error: usage: %s FD PATIENCE_MS FREE_BITS LIMIT_BITS\n", argv[0]);
        return 2;
    }
    struct sigaction action {};
    action.sa_handler = stop;  // without SA_RESTART, so that a blocked call comes back
    sigaction(SIGTERM, &action, nullptr);
    Board board(std::atoi(argv[1]));
    board.run(std::atoi(argv[2]), std::strtoull(argv[3], nullptr, 10), std::strtoull(argv[4], nullptr, 10));
    return 0;
}
