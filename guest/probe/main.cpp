// SPDX-License-Identifier: Apache-2.0

// isthmus-probe: does a lane work, and how fast is it? Runs in a guest or on the host; needs nothing but a kernel.

#include <boost/crc.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <random>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "isthmus/api/probe.hpp"
#include "isthmus/lane.hpp"
#include "isthmus/marshal/client.hpp"
#include "src/command_line/command_line.hpp"

namespace {

using Clock = std::chrono::steady_clock;
using isthmus::Result;

constexpr int exit_failure = 1;

// CRC-32C by another implementation than the worker's.
std::uint32_t crc32c(std::span<const std::byte> bytes) {
  boost::crc_optimal<32, 0x1edc6f41, 0xffffffff, 0xffffffff, true, true> crc;
  crc.process_bytes(bytes.data(), bytes.size());
  return static_cast<std::uint32_t>(crc.checksum());
}

std::string hex(std::span<const std::uint8_t> bytes) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string out;
  for (const std::uint8_t byte : bytes) {
    out += digits[byte >> 4];
    out += digits[byte & 15];
  }
  return out;
}

struct Options {
  std::string endpoint = "ivshmem:auto";
  std::uint32_t count = 10'000;
  std::uint32_t interval_ms = 100;
  std::uint32_t timeout_ms = 2000;
  std::string file;
};

Result<void> check_status(std::int32_t status, const char* what) {
  if (status != 0) {
    return isthmus::fail(isthmus::Errc::protocol_violation,
                         std::string(what) + ": the worker answered status " + std::to_string(status));
  }
  return {};
}

Result<void> info(isthmus::Lane& lane, const Options&) {
  const auto slab = lane.slab_statistics();
  std::printf("region %s\nlane %u\nslab_claimable_mib %llu\n", lane.region_name().c_str(), lane.index(),
              static_cast<unsigned long long>(slab.bytes_claimable >> 20));
  return lane.check();
}

Result<std::uint32_t> remote_crc(isthmus::marshal::Client& client, std::span<const std::byte> block) {
  const auto outcome = client.call<isthmus::probe::Crc32c>({}, block);
  if (!outcome) {
    return std::unexpected(outcome.error());
  }
  if (auto ok = check_status(outcome->status, "crc32c"); !ok) {
    return std::unexpected(ok.error());
  }
  return outcome->reply.crc;
}

Result<void> call_with_random_block(isthmus::marshal::Client& client, std::mt19937& random, Clock::duration& took) {
  std::vector<std::byte> block(1 + random() % 500);
  std::ranges::generate(block, [&] { return static_cast<std::byte>(random() & 0xff); });
  const auto start = Clock::now();
  const auto crc = remote_crc(client, block);
  took = Clock::now() - start;
  if (!crc) {
    return std::unexpected(crc.error());
  }
  if (*crc != crc32c(block)) {
    return isthmus::fail(isthmus::Errc::protocol_violation, "crc32c: the worker's checksum is wrong");
  }
  return {};
}

Result<void> ping(isthmus::Lane& lane, const Options& options) {
  const auto channel = lane.channel();
  if (!channel) {
    return std::unexpected(channel.error());
  }
  isthmus::marshal::Client client(**channel);
  std::mt19937 random(1);
  std::vector<double> microseconds;
  for (std::uint32_t i = 0; i < options.count; ++i) {
    Clock::duration took{};
    if (auto ok = call_with_random_block(client, random, took); !ok) {
      return ok;
    }
    microseconds.push_back(std::chrono::duration<double, std::micro>(took).count());
  }
  std::ranges::sort(microseconds);
  std::printf("calls %zu\nrtt_p50_us %.2f\nrtt_p99_us %.2f\n", microseconds.size(),
              microseconds.at(microseconds.size() / 2), microseconds.at(microseconds.size() * 99 / 100));
  return {};
}

// Calls at intervals for ever: something to kill, stop and reset in tests.
Result<void> hold(isthmus::Lane& lane, const Options& options) {
  const auto channel = lane.channel();
  if (!channel) {
    return std::unexpected(channel.error());
  }
  isthmus::marshal::Client client(**channel);
  std::mt19937 random(1);
  for (std::uint64_t i = 1;; ++i) {
    Clock::duration took{};
    if (auto ok = call_with_random_block(client, random, took); !ok) {
      return ok;
    }
    std::printf("call %llu\n", static_cast<unsigned long long>(i));
    std::fflush(stdout);
    std::this_thread::sleep_for(std::chrono::milliseconds(options.interval_ms));
  }
}

// Sends a file through the slab, compares the echo, prints the host's SHA-256.
Result<void> hash(isthmus::Lane& lane, const Options& options) {
  std::ifstream file(options.file, std::ios::binary);
  if (!file) {
    return isthmus::fail(isthmus::Errc::not_found, options.file + ": cannot be read");
  }
  const std::vector<char> content{std::istreambuf_iterator<char>(file), {}};
  constexpr std::size_t chunk = std::size_t{1} << 20;
  auto channel = lane.channel();
  auto out = lane.allocate(chunk);
  auto echo = lane.allocate(chunk);
  if (!channel || !out || !echo) {
    return std::unexpected(!channel ? channel.error() : !out ? out.error() : echo.error());
  }
  isthmus::marshal::Client client(**channel);
  for (std::size_t at = 0; at < content.size(); at += chunk) {
    const auto part = std::as_bytes(std::span(content)).subspan(at, std::min(chunk, content.size() - at));
    std::ranges::copy(part, out->bytes().begin());
    const auto sent = client.call<isthmus::probe::HashChunk>(
        {.data = out->reference(0, part.size()), .echo = echo->reference(0, part.size())});
    if (!sent) {
      return std::unexpected(sent.error());
    }
    if (auto ok = check_status(sent->status, "hash"); !ok) {
      return ok;
    }
    if (!std::ranges::equal(part, echo->bytes().first(part.size()))) {
      return isthmus::fail(isthmus::Errc::protocol_violation, "hash: the echo differs from what was sent");
    }
  }
  const auto finished = client.call<isthmus::probe::HashFinish>({});
  if (!finished) {
    return std::unexpected(finished.error());
  }
  if (auto ok = check_status(finished->status, "hash"); !ok) {
    return ok;
  }
  std::printf("bytes %llu\nsha256 %s\n", static_cast<unsigned long long>(finished->reply.bytes),
              hex(finished->reply.digest).c_str());
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  isthmus::CommandLine line("Tries an Isthmus lane.");
  Options options;
  Result<void> (*action)(isthmus::Lane&, const Options&) = nullptr;
  const auto verb = [&](const char* name, const char* help, Result<void> (*function)(isthmus::Lane&, const Options&)) {
    isthmus::CommandLine own = line.verb(name, help, [&action, function] { action = function; });
    own.option("-e,--endpoint", options.endpoint, "shm:NAME, ivshmem:auto[?region=NAME] or ivshmem:PCI-ADDRESS")
        .option("--timeout", options.timeout_ms, "milliseconds to wait for a worker");
    return own;
  };
  verb("info", "attach, and say to what", info);
  verb("ping", "small calls with checked answers; prints the round trip", ping)
      .option("-n,--count", options.count, "calls", {.least = 1, .most = 1'000'000'000});
  verb("hold", "call at intervals until told to stop", hold)
      .option("--interval", options.interval_ms, "milliseconds between calls");
  verb("hash", "send a file to the host and back; prints the host's SHA-256", hash)
      .required("file", options.file, "what to send");
  if (const auto status = line.parse(argc, argv)) {
    return *status;
  }

  auto lane = isthmus::Lane::attach(options.endpoint, {.timeout = std::chrono::milliseconds(options.timeout_ms)});
  const Result<void> outcome = lane ? action(*lane, options) : std::unexpected(lane.error());
  if (!outcome) {
    std::fprintf(stderr, "isthmus-probe: %s\n", outcome.error().message.c_str());
    return exit_failure;
  }
  return 0;
}
