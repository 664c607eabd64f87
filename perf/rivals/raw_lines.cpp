// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <atomic>
#include <stdexcept>

#include "perf/rivals/rivals.hpp"
#include "perf/support/shared_object.hpp"

namespace isthmus::perf {
namespace {

using Word64 = std::atomic<std::uint64_t>;

// The flag is the number of the lap, counted from 1.
struct alignas(64) FlaggedLine {
  Word64 flag{0};
  std::array<Word64, 7> words{};
};

struct FlaggedRing {
  std::array<FlaggedLine, queue_capacity> lines;
  alignas(128) Word64 consumed{0};
  alignas(128) Word64 taken{0};
};

// Plain code for a ring of lines with a flag in each: seven words are stored, seven are loaded, and the lines go from
// one processor to the other; the first of a batch is shown last. No header, no doorbell, no check but the flag.
class FlaggedLines final : public Exchange {
 public:
  explicit FlaggedLines(std::uint32_t batch) : batch_(batch) {}

  void client(std::uint32_t count) override {
    for (std::uint32_t left = count; left > 0;) {
      const std::uint32_t size = std::min(left, batch_);
      while (sent_ + size - consumed_ > queue_capacity) {
        consumed_ = shared_->consumed.load(std::memory_order_acquire);
      }
      for (std::uint32_t i = 0; i < size; ++i) {
        FlaggedLine& line = line_at(sent_ + i);
        for (Word64& word : line.words) {
          word.store(sent_ + i + 1, std::memory_order_relaxed);
        }
        if (i != 0) {
          line.flag.store(lap_of(sent_ + i), std::memory_order_release);
        }
      }
      line_at(sent_).flag.store(lap_of(sent_), std::memory_order_release);
      sent_ += size;
      left -= size;
    }
    while (shared_->taken.load(std::memory_order_acquire) != sent_) {
    }
  }
  void host(std::uint32_t count) override {
    std::uint64_t wrong = 0;
    for (const std::uint64_t end = received_ + count; received_ < end;) {
      const FlaggedLine& line = line_at(received_);
      while (line.flag.load(std::memory_order_acquire) != lap_of(received_)) {
      }
      Message56 message;
      std::ranges::transform(line.words, message.words.begin(),
                             [](const Word64& word) { return word.load(std::memory_order_relaxed); });
      wrong |= message.words.front() ^ ++received_;
      if (received_ % (queue_capacity / 4) == 0) {
        shared_->consumed.store(received_, std::memory_order_release);
      }
    }
    if (wrong != 0) {
      throw std::runtime_error("a line is not the next one");
    }
    shared_->taken.store(received_, std::memory_order_release);
  }

 private:
  FlaggedLine& line_at(std::uint64_t number) noexcept { return shared_->lines[number % queue_capacity]; }
  static std::uint64_t lap_of(std::uint64_t number) noexcept { return number / queue_capacity + 1; }

  SharedObject<FlaggedRing> shared_;
  std::uint32_t batch_;
  std::uint64_t sent_ = 0;
  std::uint64_t consumed_ = 0;
  std::uint64_t received_ = 0;
};

}  // namespace

std::unique_ptr<Exchange> raw_lines(std::uint32_t batch) { return std::make_unique<FlaggedLines>(batch); }

}  // namespace isthmus::perf
