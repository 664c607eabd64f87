// SPDX-License-Identifier: Apache-2.0
#include <atomic>
#include <cstring>
#include <vector>

#include "perf/rivals/rivals.hpp"
#include "perf/support/shared_object.hpp"
#include "src/transport/futex.hpp"

namespace isthmus::perf {
namespace {

using Word = std::atomic<std::uint32_t>;

struct Line {
  alignas(128) Word word{0};
};

struct TwoLines {
  Line to_host;
  Line to_client;
};

void wait_for(const Word& word, std::uint32_t value) noexcept {
  while (word.load(std::memory_order_acquire) != value) {
  }
}

class PingPong final : public Exchange {
 public:
  explicit PingPong(Lines lines)
      : to_host_(&lines_->to_host.word),
        to_client_(lines == Lines::one ? &lines_->to_host.word : &lines_->to_client.word) {}

  // Odd numbers go to the host, even ones come back.
  void client(std::uint32_t count) override {
    for (; count > 0; --count) {
      to_host_->store(++number_, std::memory_order_release);
      wait_for(*to_client_, ++number_);
    }
  }
  void host(std::uint32_t count) override {
    for (; count > 0; --count) {
      wait_for(*to_host_, ++number_);
      to_client_->store(++number_, std::memory_order_release);
    }
  }

 private:
  SharedObject<TwoLines> lines_;
  Word* to_host_;
  Word* to_client_;
  std::uint32_t number_ = 0;  // each side counts for itself
};

class Copy final : public Exchange {
 public:
  Copy(std::size_t bytes, bool host_reads)
      : host_reads_(host_reads), buffer_(bytes), source_(bytes, std::byte{1}), sink_(bytes) {}

  void client(std::uint32_t count) override {
    for (; count > 0; --count) {
      std::memcpy(buffer_.data(), source_.data(), source_.size());
      lines_->to_host.word.store(++number_, std::memory_order_release);
      wait_for(lines_->to_client.word, number_);
    }
  }
  void host(std::uint32_t count) override {
    for (; count > 0; --count) {
      wait_for(lines_->to_host.word, ++number_);
      if (host_reads_) {
        std::memcpy(sink_.data(), buffer_.data(), sink_.size());
        std::atomic_signal_fence(std::memory_order_seq_cst);
      }
      lines_->to_client.word.store(number_, std::memory_order_release);
    }
  }

 private:
  SharedObject<TwoLines> lines_;
  bool host_reads_;
  SharedMemory buffer_;
  std::vector<std::byte> source_;
  std::vector<std::byte> sink_;
  std::uint32_t number_ = 0;
};

class FutexPair final : public Exchange {
 public:
  void client(std::uint32_t count) override {
    for (; count > 0; --count) {
      ++number_;
      ring(to_host());
      sleep(to_client());
    }
  }
  void host(std::uint32_t count) override {
    for (; count > 0; --count) {
      ++number_;
      sleep(to_host());
      ring(to_client());
    }
  }

 private:
  struct Words {
    alignas(128) std::uint32_t to_host = 0;
    alignas(128) std::uint32_t to_client = 0;
  };
  [[nodiscard]] std::uint32_t& to_host() const noexcept { return words_->to_host; }
  [[nodiscard]] std::uint32_t& to_client() const noexcept { return words_->to_client; }

  void ring(std::uint32_t& word) const noexcept {
    std::atomic_ref(word).store(number_, std::memory_order_seq_cst);
    futex_wake(&word, FutexScope::machine);
  }
  void sleep(std::uint32_t& word) const noexcept {
    while (std::atomic_ref(word).load(std::memory_order_acquire) != number_) {
      futex_wait(&word, number_ - 1, std::chrono::seconds(1), FutexScope::machine);
    }
  }

  SharedObject<Words> words_;
  std::uint32_t number_ = 0;
};

}  // namespace

std::unique_ptr<Exchange> raw_ping_pong(Lines lines) { return std::make_unique<PingPong>(lines); }
std::unique_ptr<Exchange> raw_copy(std::size_t bytes, bool host_reads) {
  return std::make_unique<Copy>(bytes, host_reads);
}
std::unique_ptr<Exchange> futex_pair() { return std::make_unique<FutexPair>(); }

}  // namespace isthmus::perf
