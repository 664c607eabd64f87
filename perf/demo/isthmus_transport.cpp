// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <utility>

#include "isthmus/api/probe.hpp"
#include "isthmus/lane.hpp"
#include "isthmus/marshal/client.hpp"
#include "perf/demo/transport.hpp"

namespace isthmus::demo {
namespace {

class IsthmusTransport final : public Transport {
 public:
  IsthmusTransport(Lane lane, Channel& channel, Frame out, Frame in)
      : lane_(std::move(lane)), client_(channel), out_(std::move(out)), in_(std::move(in)) {}

  Result<std::uint32_t> crc32c(std::span<const std::byte> block) override {
    const auto outcome = checked(client_.call<probe::Crc32c>({}, block));
    return outcome ? Result<std::uint32_t>(outcome->reply.crc) : std::unexpected(outcome.error());
  }

  Result<void> transfer(std::span<const std::byte> chunk, std::span<std::byte> echo) override {
    std::ranges::copy(chunk, out_.bytes().begin());
    const auto outcome = checked(client_.call<probe::HashChunk>(
        {.data = out_.reference(0, chunk.size()), .echo = in_.reference(0, chunk.size())}));
    if (!outcome) {
      return std::unexpected(outcome.error());
    }
    std::ranges::copy(in_.bytes().first(chunk.size()), echo.begin());
    return {};
  }

  Result<Digest> finish() override {
    const auto outcome = checked(client_.call<probe::HashFinish>({}));
    return outcome ? Result<Digest>(outcome->reply.digest) : std::unexpected(outcome.error());
  }

 private:
  template <class M>
  static Result<marshal::Outcome<M>> checked(Result<marshal::Outcome<M>> outcome) {
    if (outcome && outcome->status != 0) {
      return fail(Errc::protocol_violation, "isthmus: the worker answered status " + std::to_string(outcome->status));
    }
    return outcome;
  }

  Lane lane_;
  marshal::Client client_;
  Frame out_;
  Frame in_;
};

}  // namespace

Result<std::unique_ptr<Transport>> open_isthmus(const std::string& endpoint) {
  auto lane = Lane::attach(endpoint);
  if (!lane) {
    return std::unexpected(std::move(lane.error()));
  }
  const auto channel = lane->channel();
  auto out = lane->allocate(Transport::largest_chunk);
  auto in = lane->allocate(Transport::largest_chunk);
  if (!channel || !out || !in) {
    return std::unexpected(!channel ? channel.error() : !out ? out.error() : in.error());
  }
  return std::make_unique<IsthmusTransport>(std::move(*lane), **channel, std::move(*out), std::move(*in));
}

}  // namespace isthmus::demo
