// SPDX-License-Identifier: Apache-2.0

// Large amounts of ordinary memory to the host, against memcpy to ordinary memory with the same threads:
//     bulk/threads:N/SIZE           by the bulk engine through a few chunks, again and again; against one memcpy
//     bulk_whole/threads:N/SIZE     into one frame of that size; against memcpy in the same pieces, which can be
//                                   quicker than one memcpy (the C library stores past the caches when it sees a large
//                                   size)
// The host acknowledges what arrives, and does not read it. Times are of SIZE bytes.

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "perf/support/benchmark.hpp"
#include "perf/support/bulk_path.hpp"
#include "perf/support/copy_threads.hpp"
#include "perf/support/forked_host.hpp"
#include "perf/support/must.hpp"
#include "perf/support/placement.hpp"

namespace isthmus::perf {
namespace {

using benchmark::State;

constexpr std::size_t mib = std::size_t{1} << 20;

// Memory as a program has it: private, page by page, all there.
class Buffer {
 public:
  explicit Buffer(std::size_t size)
      : size_(size),
        data_(mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0)) {
    check_system(data_ != MAP_FAILED, std::to_string(size / mib) + " MiB of memory");
    std::memset(data_, 1, size);
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  Buffer(Buffer&&) = delete;
  Buffer& operator=(Buffer&&) = delete;
  ~Buffer() { munmap(data_, size_); }

  [[nodiscard]] std::span<std::byte> bytes() const noexcept { return {static_cast<std::byte*>(data_), size_}; }

 private:
  std::size_t size_;
  void* data_;
};

// The part of one of several threads.
template <class T>
std::span<T> part_of(std::span<T> whole, std::uint32_t number, std::uint32_t threads) {
  const std::size_t begin = whole.size() / threads * number;
  const std::size_t end = number + 1 == threads ? whole.size() : whole.size() / threads * (number + 1);
  return whole.subspan(begin, end - begin);
}

class Copies final : public Participant {
 public:
  Copies(CopyThreads& threads, std::function<void(std::uint32_t)> copy) : threads_(&threads), copy_(std::move(copy)) {}

  void call(std::uint32_t count) override {
    for (; count > 0; --count) {
      threads_->run(copy_);
    }
  }
  std::chrono::nanoseconds round(std::uint32_t calls) override {
    threads_->wake();
    call(1);
    const Clock::time_point start = Clock::now();
    call(calls);
    const auto time = Clock::now() - start;
    threads_->rest();
    return time;
  }

 private:
  CopyThreads* threads_;
  std::function<void(std::uint32_t)> copy_;
};

enum class Way : std::uint8_t { staged, whole };

// What a copy by the engine goes through: a part of a second-level cache.
constexpr std::size_t staging = 4 * bulk_chunk_size;

class Engine final : public Participant {
 public:
  Engine(BulkPath& path, std::span<const std::byte> source) : path_(&path), source_(source) {}
  void call(std::uint32_t count) override {
    for (; count > 0; --count) {
      path_->send(source_);
    }
  }

 private:
  BulkPath* path_;
  std::span<const std::byte> source_;
};

void compare_bulk(State& state, Way way, std::uint32_t threads, std::size_t size) {
  // Source, target and region, with room for the rest of the region.
  const auto free_memory =
      static_cast<std::size_t>(sysconf(_SC_AVPHYS_PAGES)) * static_cast<std::size_t>(getpagesize());
  if (free_memory < 5 * size) {
    throw std::runtime_error(std::to_string(5 * size / mib) + " MiB of free memory are needed, " +
                             std::to_string(free_memory / mib) + " are there");
  }
  ForkedHost host(way == Way::whole ? std::max(4 * size, 64 * mib) : 64 * mib);
  const Buffer source(size);
  const Buffer target(size);
  BulkPath path(host.lane(), threads, way == Way::staged ? staging : size);
  host.pin();
  if (threads > 1) {
    unpin();  // the engine's helpers run where the process's main thread may
  }
  Engine ours(path, source.bytes());
  CopyThreads copy_threads(threads, [](std::uint32_t) {});
  Copies rival(copy_threads, [&](std::uint32_t number) {
    const auto from = part_of(source.bytes(), number, threads);
    const auto to = part_of(target.bytes(), number, threads);
    const std::size_t piece = way == Way::staged ? from.size() : bulk_chunk_size;
    for (std::size_t at = 0; at < from.size(); at += piece) {
      std::memcpy(to.data() + at, from.data() + at, std::min(piece, from.size() - at));
    }
  });
  set_result(state, run_paired(ours, rival, {.min_calls = 1, .max_calls = Options::max_calls}));
  state.counters["bytes"] = static_cast<double>(size);
}

std::string size_name(std::size_t bytes) {
  return bytes < mib ? std::to_string(bytes / 1024) + "KiB" : std::to_string(bytes / mib) + "MiB";
}

void add_bulk(const std::string& name, Way way, std::uint32_t threads, std::size_t size) {
  add(name + "/threads:" + std::to_string(threads) + "/" + size_name(size),
      [=](State& state) { compare_bulk(state, way, threads, size); });
}

}  // namespace

void register_benchmarks() {
  for (const std::uint32_t threads : {1U, 2U}) {
    for (const std::size_t size : {64 * mib / 1024, mib, 16 * mib, 64 * mib, 256 * mib}) {
      // Two threads have nothing to share below, and the largest size takes long.
      if ((threads == 1 || size >= mib) && (!options().quick || size <= 64 * mib)) {
        add_bulk("bulk", Way::staged, threads, size);
      }
    }
    add_bulk("bulk_whole", Way::whole, threads, 64 * mib);
  }
}

}  // namespace isthmus::perf
