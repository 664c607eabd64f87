// SPDX-License-Identifier: Apache-2.0

// A driver like a block device's: 128 reads in flight on one channel, answered in another order than they were made.
// Some time out. Their buffers must not be used again while the device may still write there, so they are handed to the
// channel, which keeps them until the late answers have come.

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <isthmus/local_lane.hpp>
#include <isthmus/marshal/message.hpp>

#include "device.hpp"
#include "messages.hpp"

namespace {

using namespace block_device;
using Clock = isthmus::Channel::Clock;

struct Read {
  isthmus::CallId id{};
  std::uint64_t block = 0;
  isthmus::Frame buffer;
  ReadReply reply;
};

isthmus::Result<void> start(isthmus::Lane& lane, isthmus::Channel& channel, Read& read, std::uint64_t block) {
  auto buffer = lane.allocate(block_size);
  if (!buffer) {
    return std::unexpected(buffer.error());
  }
  read.block = block;
  read.buffer = std::move(*buffer);
  const ReadRequest request{.block = block, .buffer = read.buffer.reference()};
  const auto id =
      channel.submit({.api = api_id, .opcode = op_read, .fixed = isthmus::marshal::bytes_of(request), .trailing = {}},
                     std::as_writable_bytes(std::span(&read.reply, 1)));
  if (!id) {
    return std::unexpected(id.error());
  }
  read.id = *id;
  return {};
}

bool holds_its_block(const Read& read) {
  return std::ranges::all_of(read.buffer.bytes(), [&](std::byte b) { return b == std::byte(read.block % 251); });
}

int run(isthmus::Lane& lane, isthmus::Channel& channel) {
  const std::uint64_t at_first = lane.slab_statistics().bytes_in_use;
  std::array<Read, 128> reads;
  for (std::uint64_t i = 0; i < reads.size(); ++i) {
    // Every sixteenth hits the damaged track.
    if (const auto ok = start(lane, channel, reads.at(i), i % 16 == 7 ? first_bad_block + i / 16 : i); !ok) {
      std::fprintf(stderr, "%s\n", ok.error().message.c_str());
      return 1;
    }
  }

  int done = 0;
  int timed_out = 0;
  int overtaken = 0;
  std::uint64_t newest = 0;
  for (Read& read : reads) {
    const bool doomed = read.block >= first_bad_block;
    const auto reply = channel.wait(read.id, Clock::now() + std::chrono::milliseconds(doomed ? 10 : 10'000));
    if (reply && reply->status == ok && holds_its_block(read)) {
      ++done;
      overtaken += read.reply.order < newest ? 1 : 0;
      newest = std::max(newest, read.reply.order);
    } else if (!reply && reply.error().code == isthmus::Errc::timed_out) {
      // Given up: the late reply will be dropped, and `read.reply` is never written.
      const auto may_still_come = channel.cancel(read.id);
      if (may_still_come && *may_still_come) {
        channel.keep(std::move(read.buffer));
        ++timed_out;
      }
    }
    read.buffer = {};  // back to the slab, unless the channel keeps it
  }
  const std::uint64_t kept = lane.slab_statistics().bytes_in_use - at_first;

  // The reset answers what was stuck. Late replies are taken along with those of later calls, and free the buffers.
  for (int i = 0; i < 100 && lane.slab_statistics().bytes_in_use != at_first; ++i) {
    if (!channel.call({.api = api_id, .opcode = op_reset, .fixed = {}, .trailing = {}})) {
      return 1;
    }
  }
  const std::uint64_t left = lane.slab_statistics().bytes_in_use - at_first;
  std::printf("%d reads done, %s; %d timed out, %llu bytes kept for them, %llu after the reset\n", done,
              overtaken > 0 ? "out of order" : "in order", timed_out, static_cast<unsigned long long>(kept),
              static_cast<unsigned long long>(left));
  return done == 120 && timed_out == 8 && kept == 8 * block_size && left == 0 && overtaken > 0 ? 0 : 1;
}

}  // namespace

int main() {
  auto local = isthmus::LocalLane::in_child(make_device);
  const auto channel = local ? local->lane().channel() : std::unexpected(local.error());
  if (!channel) {
    std::fprintf(stderr, "%s\n", channel.error().message.c_str());
    return 1;
  }
  return run(local->lane(), **channel);
}
