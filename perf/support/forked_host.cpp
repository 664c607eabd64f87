// SPDX-License-Identifier: Apache-2.0
#include "perf/support/forked_host.hpp"

#include <atomic>
#include <chrono>
#include <cstring>
#include <limits>
#include <memory>
#include <optional>
#include <stdexcept>
#include <thread>
#include <tuple>

#include "isthmus/abi.hpp"
#include "isthmus/service.hpp"
#include "perf/support/must.hpp"
#include "perf/support/placement.hpp"

namespace isthmus::perf {
namespace {

template <class T>
std::optional<T> body(const Request& request) {
  T value;
  if (request.fixed().size() != sizeof value) {
    return std::nullopt;
  }
  std::memcpy(&value, request.fixed().data(), sizeof value);
  return value;
}

class BenchService final : public Service {
 public:
  void handle(Request& request) override {
    switch (request.opcode()) {
      case wire::echo:
        std::ignore = request.reply(0, request.fixed(), request.trailing());
        break;
      case wire::acknowledge:
        std::ignore = request.reply(take(request) ? 0 : -1);
        break;
      case wire::count:
        std::ignore = take(request);
        break;
      case wire::swallow: {
        const wire::OneSlot answer;
        std::ignore = request.reply(0, std::as_bytes(std::span(&answer, 1)));
        break;
      }
      case wire::pin:
        if (const auto pin = body<wire::Pin>(request)) {
          pin_to(pin->cpu);
          std::ignore = request.reply(0);
        }
        break;
      default:
        break;  // answered as unhandled
    }
  }

 private:
  static bool take(const Request& request) {
    const auto payload = body<wire::Payload>(request);
    if (!payload || !request.resolve(payload->data)) {
      return false;
    }
    if (payload->counter.length == 0) {
      return true;
    }
    const auto counter = request.resolve(payload->counter);
    if (!counter || counter->size() != sizeof(std::uint64_t) ||
        payload->counter.offset() % sizeof(std::uint64_t) != 0) {
      return false;
    }
    std::atomic_ref(*reinterpret_cast<std::uint64_t*>(counter->data())).fetch_add(1, std::memory_order_release);
    return true;
  }
};

}  // namespace

ForkedHost::ForkedHost(std::uint64_t region_size)
    : local_(must(LocalLane::in_child(
          [] {
            unpin();
            return std::make_unique<BenchService>();
          },
          {.region_size = region_size, .timeout = std::chrono::seconds(10)}))) {
  unpin();
  // How many threads may spin is found out at the first long wait, by the processors that the waiting thread may use:
  // to be had before any is pinned.
  for (int i = 0; i < 3; ++i) {
    wire::OneSlot answer;
    must(channel().call(wire::request(wire::swallow), std::as_writable_bytes(std::span(&answer, 1))));
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

Channel& ForkedHost::channel() { return *must(lane().channel()); }

void ForkedHost::pin() {
  const wire::Pin request{.cpu = placement().host_cpu};
  const auto reply = must(channel().call(wire::request(wire::pin, std::as_bytes(std::span(&request, 1)))));
  if (reply.status != 0) {
    throw std::runtime_error("the worker could not be pinned");
  }
  pin_to(placement().client_cpu);
}

std::uint64_t ForkedHost::doorbells() {
  // A reference counts from the region's start: so a frame tells where that is.
  const Frame frame = must(lane().allocate(1));
  std::byte* const region = frame.data() - frame.reference().offset();
  const auto& control = *reinterpret_cast<const abi::LaneControl*>(region + abi::page_size);
  std::uint64_t sum = 0;
  for (const auto& entry : control.client.directory) {
    const std::uint64_t value = *entry.load_acquire().at_most(std::numeric_limits<std::uint64_t>::max());
    if (value != 0) {
      const auto& block = *reinterpret_cast<const abi::ChannelBlock*>(region + (value & ~abi::channel_present));
      for (const auto* word : {&block.words.request_doorbell, &block.words.reply_doorbell}) {
        sum += *word->word.load_relaxed().at_most(std::numeric_limits<std::uint32_t>::max());
      }
    }
  }
  return sum;
}

}  // namespace isthmus::perf
