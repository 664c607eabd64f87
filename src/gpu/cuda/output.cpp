// SPDX-License-Identifier: Apache-2.0
#include "src/gpu/cuda/output.hpp"

#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <deque>
#include <mutex>
#include <string>
#include <tuple>

namespace isthmus::cuda {
namespace {

struct Text {
  std::string text;
  bool is_error = false;
};

struct Waiting {
  std::mutex mutex;  // guards what follows
  std::deque<Text> texts;
  std::size_t read = 0;  // bytes of the first that were taken
  std::size_t dropped = 0;
};

// Never destroyed: the driver's threads may write until the process is gone.
Waiting& waiting() {
  static Waiting& all = *new Waiting;
  return all;
}

constinit std::atomic<std::size_t> waiting_bytes{0};
constinit thread_local bool wrote_here = false;

ssize_t write_output(void* /*cookie*/, const char* text, std::size_t size) {
  Output::add(std::as_bytes(std::span(text, size)), false);
  return static_cast<ssize_t>(size);
}

ssize_t write_error(void* /*cookie*/, const char* text, std::size_t size) {
  std::ignore = ::write(STDERR_FILENO, text, size);
  Output::add(std::as_bytes(std::span(text, size)), true);
  return static_cast<ssize_t>(size);
}

// Unbuffered: what is written is here at once, and asking for it costs one load.
std::FILE* open_stream(cookie_write_function_t* write) {
  std::FILE* const stream =
      fopencookie(nullptr, "w", {.read = nullptr, .write = write, .seek = nullptr, .close = nullptr});
  if (stream != nullptr) {
    std::setvbuf(stream, nullptr, _IONBF, 0);
  }
  return stream;
}

}  // namespace

bool Output::capture() {
  std::FILE* const output = open_stream(write_output);
  std::FILE* const error = open_stream(write_error);
  if (output == nullptr || error == nullptr) {
    return false;
  }
  // glibc documents both as variables that may be set; libraries find them by symbol.
  stdout = output;
  stderr = error;
  return true;
}

bool Output::waits() noexcept {
  const bool mine = wrote_here;
  wrote_here = false;
  return mine || waiting_bytes.load(std::memory_order_acquire) != 0;
}

void Output::add(std::span<const std::byte> text, bool is_error) {
  Waiting& all = waiting();
  const std::scoped_lock lock(all.mutex);
  wrote_here = true;
  const std::size_t room = most - std::min(most, waiting_bytes.load(std::memory_order_relaxed));
  const auto kept = text.first(std::min(text.size(), room));
  all.dropped += text.size() - kept.size();
  if (kept.empty()) {
    return;
  }
  if (all.texts.empty() || all.texts.back().is_error != is_error) {
    all.texts.push_back({.text = {}, .is_error = is_error});
  }
  all.texts.back().text.append(reinterpret_cast<const char*>(kept.data()), kept.size());
  waiting_bytes.fetch_add(kept.size(), std::memory_order_release);
}

Output::Taken Output::take(std::span<std::byte> to) {
  Waiting& all = waiting();
  const std::scoped_lock lock(all.mutex);
  if (all.texts.empty() && all.dropped != 0) {
    all.texts.push_back({.text = "isthmus-cuda: " + std::to_string(all.dropped) +
                                 " bytes of kernels' output were dropped: more than " + std::to_string(most >> 20) +
                                 " MiB at a time\n",
                         .is_error = true});
    waiting_bytes.fetch_add(all.texts.front().text.size(), std::memory_order_relaxed);
    all.dropped = 0;
  }
  if (all.texts.empty()) {
    return {};
  }
  const Text& first = all.texts.front();
  Taken taken{.bytes = std::min(to.size(), first.text.size() - all.read), .is_error = first.is_error};
  std::memcpy(to.data(), first.text.data() + all.read, taken.bytes);
  all.read += taken.bytes;
  waiting_bytes.fetch_sub(taken.bytes, std::memory_order_relaxed);
  if (all.read == first.text.size()) {
    all.texts.pop_front();
    all.read = 0;
  }
  taken.more = !all.texts.empty() || all.dropped != 0;
  return taken;
}

}  // namespace isthmus::cuda
