// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "perf/demo/serial_protocol.hpp"
#include "perf/demo/transport.hpp"
#include "src/transport/text.hpp"
#include "src/transport/unique_fd.hpp"

namespace isthmus::demo {
namespace {

class SerialTransport final : public Transport {
 public:
  explicit SerialTransport(UniqueFd port) noexcept : port_(std::move(port)) {}

  Result<std::uint32_t> crc32c(std::span<const std::byte> block) override {
    std::uint32_t crc = 0;
    const auto answered = exchange(SerialHeader::Op::crc32c, block, std::as_writable_bytes(std::span(&crc, 1)));
    return answered ? Result<std::uint32_t>(crc) : std::unexpected(answered.error());
  }

  Result<void> transfer(std::span<const std::byte> chunk, std::span<std::byte> echo) override {
    return exchange(SerialHeader::Op::hash_chunk, chunk, echo.first(chunk.size()));
  }

  Result<Digest> finish() override {
    Digest digest{};
    const auto answered = exchange(SerialHeader::Op::hash_finish, {}, std::as_writable_bytes(std::span(digest)));
    return answered ? Result<Digest>(digest) : std::unexpected(answered.error());
  }

 private:
  // One request and its answer, which must be as long as `answer`.
  Result<void> exchange(SerialHeader::Op op, std::span<const std::byte> request, std::span<std::byte> answer) {
    const SerialHeader header{.op = op, .length = static_cast<std::uint32_t>(request.size())};
    frame_.resize(sizeof header + request.size());
    std::memcpy(frame_.data(), &header, sizeof header);
    if (!request.empty()) {
      std::memcpy(frame_.data() + sizeof header, request.data(), request.size());
    }
    for (std::span<const std::byte> rest(frame_); !rest.empty();) {
      const ssize_t put = write(port_.get(), rest.data(), rest.size());
      if (put <= 0) {
        return fail(Errc::system, text("virtio-serial: write: ", errno_text(errno)));
      }
      rest = rest.subspan(static_cast<std::size_t>(put));
    }
    SerialHeader reply;
    if (!read_all(std::as_writable_bytes(std::span(&reply, 1))) || reply.length != answer.size() || !read_all(answer)) {
      return fail(Errc::protocol_violation, "virtio-serial: the host's answer is not what was asked for");
    }
    return {};
  }

  bool read_all(std::span<std::byte> target) {
    while (!target.empty()) {
      const ssize_t got = read(port_.get(), target.data(), target.size());
      if (got <= 0) {
        return false;
      }
      target = target.subspan(static_cast<std::size_t>(got));
    }
    return true;
  }

  UniqueFd port_;
  std::vector<std::byte> frame_;
};

}  // namespace

Result<std::unique_ptr<Transport>> open_serial(const std::string& device) {
  UniqueFd port(open(device.c_str(), O_RDWR | O_CLOEXEC));
  if (!port) {
    return fail(Errc::not_found, text("virtio-serial port ", device, ": ", errno_text(errno)));
  }
  return std::make_unique<SerialTransport>(std::move(port));
}

}  // namespace isthmus::demo
