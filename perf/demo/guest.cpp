// SPDX-License-Identifier: Apache-2.0

// The demo's program in the VM:
//     demo_guest ENDPOINT PORT FILE CALLS
// Makes the same calls and transfers over Isthmus and over virtio-serial, checks every answer, and ends with one line
// of JSON. Times are medians and percentiles of single calls; the checks happen outside the timed parts.

#include <algorithm>
#include <boost/crc.hpp>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "perf/demo/transport.hpp"

namespace {

using isthmus::Result;
using isthmus::demo::Digest;
using isthmus::demo::Transport;
using Clock = std::chrono::steady_clock;

constexpr std::size_t smallest_block = 8;
constexpr std::size_t largest_block = 256;
constexpr int file_rounds = 5;

struct Measured {
  double p50_us = 0;
  double p99_us = 0;
  double gb_per_s = 0;
  Digest digest{};
};

void say(const std::string& line) {
  std::printf("%s\n", line.c_str());
  static_cast<void>(std::fflush(stdout));
}

// By another implementation than the host's.
std::uint32_t crc32c(std::span<const std::byte> bytes) {
  boost::crc_optimal<32, 0x1edc6f41, 0xffffffff, 0xffffffff, true, true> crc;
  crc.process_bytes(bytes.data(), bytes.size());
  return static_cast<std::uint32_t>(crc.checksum());
}

Result<void> measure_calls(Transport& transport, std::uint32_t calls, Measured& result) {
  std::mt19937_64 random(20'261'122);
  std::vector<std::byte> block;
  std::vector<double> times;
  times.reserve(calls);
  for (std::uint32_t i = 0; i < calls; ++i) {
    block.resize(smallest_block + random() % (largest_block - smallest_block + 1));
    std::ranges::generate(block, [&] { return static_cast<std::byte>(random() & 0xff); });
    const auto start = Clock::now();
    const auto crc = transport.crc32c(block);
    times.push_back(std::chrono::duration<double, std::micro>(Clock::now() - start).count());
    if (!crc) {
      return std::unexpected(crc.error());
    }
    if (*crc != crc32c(block)) {
      return isthmus::fail(isthmus::Errc::protocol_violation, "call " + std::to_string(i) + ": wrong checksum");
    }
  }
  std::ranges::sort(times);
  result.p50_us = times.at(times.size() / 2);
  result.p99_us = times.at(times.size() * 99 / 100);
  return {};
}

Result<void> measure_file(Transport& transport, std::span<const std::byte> content, Measured& result) {
  std::vector<std::byte> echo(content.size());
  std::vector<double> seconds;
  for (int round = 0; round < file_rounds; ++round) {
    std::ranges::fill(echo, std::byte{0});
    const auto start = Clock::now();
    for (std::size_t at = 0; at < content.size(); at += Transport::largest_chunk) {
      const std::size_t size = std::min(Transport::largest_chunk, content.size() - at);
      if (auto sent = transport.transfer(content.subspan(at, size), std::span(echo).subspan(at, size)); !sent) {
        return sent;
      }
    }
    const auto digest = transport.finish();
    seconds.push_back(std::chrono::duration<double>(Clock::now() - start).count());
    if (!digest) {
      return std::unexpected(digest.error());
    }
    if (!std::ranges::equal(content, echo)) {
      return isthmus::fail(isthmus::Errc::protocol_violation, "the echo differs from the file");
    }
    result.digest = *digest;
  }
  std::ranges::sort(seconds);
  // There and back.
  result.gb_per_s = 2 * static_cast<double>(content.size()) / seconds.at(seconds.size() / 2) / 1e9;
  return {};
}

Result<Measured> measure(const char* name, Transport& transport, std::span<const std::byte> content,
                         std::uint32_t calls) {
  Measured result;
  say(std::string(name) + ": " + std::to_string(calls) + " calls, each with " + std::to_string(smallest_block) +
      " to " + std::to_string(largest_block) + " random bytes whose CRC-32C comes back ...");
  if (auto ok = measure_calls(transport, calls, result); !ok) {
    return std::unexpected(ok.error());
  }
  say(std::string(name) + ": a file of " + std::to_string(content.size()) + " bytes to the host and back, " +
      std::to_string(file_rounds) + " times ...");
  if (auto ok = measure_file(transport, content, result); !ok) {
    return std::unexpected(ok.error());
  }
  return result;
}

std::string json(const char* name, const Measured& m) {
  std::string digest;
  for (const std::uint8_t byte : m.digest) {
    constexpr std::string_view digits = "0123456789abcdef";
    digest += digits[byte >> 4];
    digest += digits[byte & 15];
  }
  return std::string("\"") + name + "\": {\"rtt_p50_us\": " + std::to_string(m.p50_us) +
         ", \"rtt_p99_us\": " + std::to_string(m.p99_us) + ", \"copy_gb_per_s\": " + std::to_string(m.gb_per_s) +
         ", \"sha256\": \"" + digest + "\"}";
}

int give_up(const isthmus::Error& error) {
  static_cast<void>(std::fprintf(stderr, "demo_guest: %s\n", error.message.c_str()));
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  const std::span arguments(argv, static_cast<std::size_t>(argc));
  std::uint32_t calls = 0;
  if (arguments.size() == 5) {
    const std::string_view count = arguments[4];
    std::from_chars(count.data(), count.data() + count.size(), calls);
  }
  if (calls == 0) {
    static_cast<void>(std::fputs("usage: demo_guest ENDPOINT PORT FILE CALLS\n", stderr));
    return 2;
  }
  std::ifstream file(arguments[3], std::ios::binary);
  const std::vector<char> content{std::istreambuf_iterator<char>(file), {}};
  const auto bytes = std::as_bytes(std::span(content));
  if (bytes.empty()) {
    return give_up({isthmus::Errc::not_found, std::string(arguments[3]) + ": cannot be read, or is empty"});
  }
  auto isthmus_transport = isthmus::demo::open_isthmus(arguments[1]);
  if (!isthmus_transport) {
    return give_up(isthmus_transport.error());
  }
  const auto ours = measure("isthmus", **isthmus_transport, bytes, calls);
  if (!ours) {
    return give_up(ours.error());
  }
  isthmus_transport->reset();
  auto serial = isthmus::demo::open_serial(arguments[2]);
  if (!serial) {
    return give_up(serial.error());
  }
  const auto rival = measure("virtio-serial", **serial, bytes, calls);
  if (!rival) {
    return give_up(rival.error());
  }
  say("{" + json("isthmus", *ours) + ", " + json("virtio_serial", *rival) + "}");
  return 0;
}
