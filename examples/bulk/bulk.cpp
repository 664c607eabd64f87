// SPDX-License-Identifier: Apache-2.0

// A producer and a consumer of bulk data, without a copy: the producer writes into frames of the slab and posts
// references to them, the consumer reads them where they are, and each frame comes back when it was consumed. Eight
// times as much goes through as the region holds.

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <isthmus/local_lane.hpp>
#include <isthmus/marshal/client.hpp>
#include <isthmus/marshal/dispatcher.hpp>

namespace {

struct Consume {
  static constexpr std::uint16_t api = 0x4255;
  static constexpr std::uint16_t opcode = 1;
  struct Request {
    isthmus::Reference chunk;
  };
  struct Reply {};
};

struct Total {
  static constexpr std::uint16_t api = 0x4255;
  static constexpr std::uint16_t opcode = 2;
  struct Request {};
  struct Reply {
    std::uint64_t sum = 0;
  };
};

std::unique_ptr<isthmus::Service> make_consumer() {
  auto consumer = std::make_unique<isthmus::marshal::Dispatcher>();
  auto sum = std::make_shared<std::atomic<std::uint64_t>>(0);
  consumer->on<Consume>([sum](const Consume::Request& request,
                              isthmus::marshal::Call& call) -> std::expected<Consume::Reply, std::int32_t> {
    // Nobody waits for a post, so nobody would see an error: what is refused here is missing in the total.
    if (const auto chunk = call.resolve(request.chunk)) {
      std::uint64_t mine = 0;
      for (const std::byte byte : *chunk) {
        mine += std::to_integer<std::uint64_t>(byte);
      }
      *sum += mine;
    }
    return Consume::Reply{};  // now the frame is free again
  });
  consumer->on<Total>(
      [sum](const Total::Request&, isthmus::marshal::Call&) -> std::expected<Total::Reply, std::int32_t> {
        return Total::Reply{.sum = *sum};
      });
  return consumer;
}

constexpr std::size_t chunk_bytes = 1 << 20;
constexpr std::uint64_t chunks = 256;

isthmus::Result<std::uint64_t> produce(isthmus::Lane& lane) {
  const auto channel = lane.channel();
  if (!channel) {
    return std::unexpected(channel.error());
  }
  isthmus::marshal::Client consumer(**channel);
  for (std::uint64_t number = 0; number < chunks;) {
    auto frame = lane.allocate(chunk_bytes);
    if (!frame && frame.error().code != isthmus::Errc::exhausted) {
      return std::unexpected(frame.error());
    }
    if (!frame) {
      // Every frame is under way. A call returns when everything before it was executed; the next post takes back the
      // frames of what was.
      if (const auto reply = consumer.call<Total>({}); !reply) {
        return std::unexpected(reply.error());
      }
      if (const auto posted = consumer.post<Consume>({}); !posted) {
        return std::unexpected(posted.error());
      }
      continue;
    }
    std::memset(frame->data(), static_cast<int>(number++), frame->size());
    const isthmus::Reference chunk = frame->reference();
    // The frame goes along, and is nobody's until the consumer is done with it.
    std::vector<isthmus::Frame> frames;
    frames.push_back(std::move(*frame));
    if (const auto posted = consumer.post<Consume>({.chunk = chunk}, std::move(frames)); !posted) {
      return std::unexpected(posted.error());
    }
  }
  const auto total = consumer.call<Total>({});
  return total ? isthmus::Result<std::uint64_t>(total->reply.sum) : std::unexpected(total.error());
}

}  // namespace

int main() {
  auto local = isthmus::LocalLane::in_child(make_consumer, {.region_size = chunk_bytes * 32});
  const auto sum = local ? produce(local->lane()) : std::unexpected(local.error());
  if (!sum) {
    std::fprintf(stderr, "%s\n", sum.error().message.c_str());
    return 1;
  }
  const std::uint64_t expected = chunks * (chunks - 1) / 2 * chunk_bytes;
  std::printf("256 MiB through a region of 32 MiB without a copy; the sum is %s\n",
              *sum == expected ? "right" : "wrong");
  return *sum == expected ? 0 : 1;
}
