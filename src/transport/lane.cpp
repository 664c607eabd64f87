// SPDX-License-Identifier: Apache-2.0
#include "isthmus/lane.hpp"

#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <memory>
#include <utility>

#include "src/transport/lane_state.hpp"
#include "src/transport/text.hpp"

namespace isthmus {

Lane::Lane(std::shared_ptr<LaneState> state) noexcept : state_(std::move(state)) {}
Lane::~Lane() = default;

Result<Lane> Lane::attach(std::string_view endpoint, const AttachOptions& options) {
  const auto parsed = Endpoint::parse(endpoint);
  if (!parsed) {
    return std::unexpected(parsed.error());
  }
  auto state = parsed->kind == Endpoint::Kind::shm ? attach_shm(*parsed, options) : attach_ivshmem(*parsed, options);
  if (!state) {
    return std::unexpected(std::move(state.error()));
  }
  return Lane(std::move(*state));
}

Result<Channel*> Lane::channel() { return state_->channel(); }

Result<Frame> Lane::allocate(std::size_t bytes) {
  if (!state_->is_owner_process()) {
    return std::unexpected(state_->check().error());
  }
  const auto offset = state_->slab().allocate(bytes);
  if (!offset) {
    return std::unexpected(offset.error());
  }
  return Frame(state_, std::span(state_->region().data(*offset), bytes), Reference::make(0, *offset, bytes));
}

Result<void> Lane::map_again(const Frame& frame, std::byte* at) {
  if (!state_->is_owner_process()) {
    return std::unexpected(state_->check().error());
  }
  const auto page = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
  if (frame.size() == 0 ||
      (reinterpret_cast<std::uintptr_t>(frame.data()) | reinterpret_cast<std::uintptr_t>(at)) % page != 0) {
    return fail(Errc::invalid_argument, "map_again: not whole pages");
  }
  // Somewhere else first: what lies at `at` must stay if the kernel refuses. A mapping of size 0 to be enlarged is one
  // more of the same pages; the kernel makes none of a device's memory.
  const int file = state_->link().region_file();
  void* const again = file < 0 ? mremap(frame.data(), 0, frame.size(), MREMAP_MAYMOVE)
                               : mmap(nullptr, frame.size(), PROT_READ | PROT_WRITE, MAP_SHARED, file,
                                      static_cast<off_t>(frame.reference().offset()));
  if (again == MAP_FAILED) {
    return fail(Errc::system, text("map_again: ", errno_text(errno)));
  }
  if (mremap(again, frame.size(), frame.size(), MREMAP_MAYMOVE | MREMAP_FIXED, at) == MAP_FAILED) {
    const int error = errno;
    munmap(again, frame.size());
    return fail(Errc::system, text("map_again: ", errno_text(error)));
  }
  return {};
}

Result<void> Lane::serve_upcalls(Service& service) { return state_->serve_upcalls(service); }
Result<void> Lane::serve_upcalls(std::unique_ptr<Service> service) {
  Service& served = *service;
  return state_->serve_upcalls(served, std::move(service));
}
Result<void> Lane::check() { return state_->check(); }
const std::string& Lane::region_name() const noexcept { return state_->region().name(); }
std::uint32_t Lane::index() const noexcept { return state_->index(); }
SlabStatistics Lane::slab_statistics() const {
  // A child after fork must not wait for a lock that a thread of its parent held.
  return state_->is_owner_process() ? state_->slab().statistics() : SlabStatistics{};
}

Frame::Frame(std::shared_ptr<LaneState> lane, std::span<std::byte> bytes, Reference reference) noexcept
    : lane_(std::move(lane)), bytes_(bytes), reference_(reference) {}

Frame::Frame(Frame&& other) noexcept
    : lane_(std::move(other.lane_)),
      bytes_(std::exchange(other.bytes_, {})),
      reference_(std::exchange(other.reference_, {})) {}

Frame& Frame::operator=(Frame&& other) noexcept {
  std::swap(lane_, other.lane_);
  std::swap(bytes_, other.bytes_);
  std::swap(reference_, other.reference_);
  return *this;
}

Reference Frame::release() noexcept {
  lane_.reset();
  bytes_ = {};
  return std::exchange(reference_, {});
}

Frame::~Frame() {
  if (lane_ != nullptr && lane_->is_owner_process()) {
    lane_->slab().free(reference_.offset(), bytes_.size());
  }
}

}  // namespace isthmus
