// SPDX-License-Identifier: Apache-2.0
#include "host/worker/probe_service.hpp"

#include <isa-l/crc.h>
#include <openssl/evp.h>

#include <cstring>
#include <memory>
#include <vector>

#include "isthmus/api/probe.hpp"

namespace isthmus::host {
namespace {

using probe::Status;

std::unexpected<std::int32_t> failed(Status status) { return std::unexpected(static_cast<std::int32_t>(status)); }

std::uint32_t crc32c(std::span<const std::byte> bytes) {
  // ISA-L leaves the inversions before and after to its caller, and does not write through its non-const pointer.
  auto* data = reinterpret_cast<unsigned char*>(const_cast<std::byte*>(bytes.data()));
  return ~crc32_iscsi(data, static_cast<int>(bytes.size()), ~0U);
}

// A running SHA-256, one for each twin: a channel's requests come in order, on one thread.
class RunningHash {
 public:
  static RunningHash& of_this_channel() {
    static thread_local RunningHash hash;
    return hash;
  }

  void add(std::span<const std::byte> bytes) {
    if (!begun_) {
      EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr);
      begun_ = true;
    }
    EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size());
    total_ += bytes.size();
  }
  std::expected<probe::HashFinish::Reply, std::int32_t> finish() {
    if (!begun_) {
      return failed(Status::no_hash);
    }
    probe::HashFinish::Reply reply{.digest = {}, .bytes = std::exchange(total_, 0)};
    EVP_DigestFinal_ex(context_.get(), reply.digest.data(), nullptr);
    begun_ = false;
    return reply;
  }
  /// Host memory for what arrives.
  std::vector<std::byte>& arrived() noexcept { return arrived_; }

 private:
  std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> context_{EVP_MD_CTX_new(), EVP_MD_CTX_free};
  std::vector<std::byte> arrived_;
  std::uint64_t total_ = 0;
  bool begun_ = false;
};

/// One function for each message of the API. Stateless but for the running hash of each thread.
class ProbeBackend {
 public:
  template <class M>
  using Answer = std::expected<typename M::Reply, std::int32_t>;

  Answer<probe::Echo> handle(const probe::Echo::Request& /*request*/, marshal::Call& call) const {
    call.reply_trailing(call.trailing());
    return probe::Echo::Reply{};
  }
  Answer<probe::Crc32c> handle(const probe::Crc32c::Request& /*request*/, marshal::Call& call) const {
    return probe::Crc32c::Reply{.crc = crc32c(call.trailing())};
  }
  Answer<probe::HashChunk> handle(const probe::HashChunk::Request& request, marshal::Call& call) const {
    const auto data = call.resolve(request.data);
    const auto echo = call.resolve(request.echo);
    if (!data || (request.echo.length != 0 && !echo)) {
      return failed(Status::bad_reference);
    }
    if (request.echo.length != 0 && request.echo.length != request.data.length) {
      return failed(Status::bad_size);
    }
    RunningHash& hash = RunningHash::of_this_channel();
    // The guest may change the payload at any time: what is hashed and what is echoed must be the same private copy.
    std::vector<std::byte>& arrived = hash.arrived();
    arrived.assign(data->begin(), data->end());
    hash.add(arrived);
    if (request.echo.length != 0) {
      std::memcpy(echo->data(), arrived.data(), arrived.size());
    }
    return probe::HashChunk::Reply{};
  }
  Answer<probe::HashFinish> handle(const probe::HashFinish::Request& /*request*/, marshal::Call& /*call*/) const {
    return RunningHash::of_this_channel().finish();
  }
};

}  // namespace

void add_probe_service(marshal::Dispatcher& dispatcher) {
  static constexpr ProbeBackend backend;
  dispatcher.serve<probe::ProbeApi>(backend);
}

}  // namespace isthmus::host
