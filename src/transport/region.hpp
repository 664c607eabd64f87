// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "isthmus/abi.hpp"
#include "isthmus/error.hpp"
#include "isthmus/reference.hpp"
#include "src/transport/mapping.hpp"

namespace isthmus {

/// A mapped region and where its parts lie. The geometry is this side's own, never read back from shared memory.
/// Any thread, once made.
class Region {
 public:
  /// The client's way in: checks that the file is a region of this ABI and maps it, at the region's own address if that
  /// is free. `what` names the file in errors.
  [[nodiscard]] static Result<Region> open_as_client(int fd, std::uint64_t file_size, std::string_view what);

  /// The host's way in: the geometry comes from the daemon's configuration, not from the region.
  /// As LaneServer::use_huge_pages().
  [[nodiscard]] Result<void> use_huge_pages(std::string_view what) { return mapping_.use_huge_pages(what); }
  [[nodiscard]] static Result<Region> open_as_host(int fd, std::uint32_t lane_count, std::uint64_t address,
                                                   std::string_view what);

  [[nodiscard]] const abi::RegionGeometry& geometry() const noexcept { return geometry_; }
  [[nodiscard]] abi::RegionHeader& header() const noexcept { return *at<abi::RegionHeader>(0); }
  /// \pre index < geometry().lane_count
  [[nodiscard]] abi::LaneControl& lane(std::uint32_t index) const noexcept {
    return at<abi::LaneControl>(abi::page_size)[index];
  }
  /// One owner word for each extent.
  [[nodiscard]] std::span<SharedWord<std::uint64_t>> owners() const noexcept {
    return {at<SharedWord<std::uint64_t>>(geometry_.owners_offset), geometry_.extent_count};
  }
  [[nodiscard]] std::uint64_t extent_offset(std::uint64_t extent) const noexcept {
    return geometry_.extents_offset + extent * abi::extent_size;
  }
  /// The channel block at that offset, if a whole one lies there inside an extent, page aligned.
  [[nodiscard]] abi::ChannelBlock* channel_block(std::uint64_t offset) const noexcept;
  /// The bytes that a reference names, if they lie inside window 0, the region's extents. Overflow-safe.
  [[nodiscard]] std::optional<std::span<std::byte>> resolve(Reference reference) const noexcept;
  /// The address of a byte of the region. \pre offset <= region size
  [[nodiscard]] std::byte* data(std::uint64_t offset) const noexcept { return mapping_.data() + offset; }
  [[nodiscard]] std::uint64_t size() const noexcept { return mapping_.size(); }
  /// The region's name, as the header gave it at open; printable characters only.
  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  /// The region's epoch at open: another one means that the daemon made the region anew.
  [[nodiscard]] std::uint64_t epoch() const noexcept { return epoch_; }
  /// Whether magic and epoch are still the ones seen at open: false once somebody has destroyed the region's content.
  [[nodiscard]] bool intact() const noexcept;

 private:
  Region(Mapping mapping, const abi::RegionGeometry& geometry) noexcept;

  template <class T>
  [[nodiscard]] T* at(std::uint64_t offset) const noexcept {
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): the region is raw memory by nature
    return reinterpret_cast<T*>(mapping_.data() + offset);
  }

  Mapping mapping_;
  abi::RegionGeometry geometry_;
  std::uint64_t epoch_ = 0;
  std::string name_;
};

/// Copies a NUL-terminated text out of shared memory, once, and keeps its printable ASCII characters.
[[nodiscard]] std::string copy_text(std::span<const char> shared);

}  // namespace isthmus
