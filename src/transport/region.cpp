// SPDX-License-Identifier: Apache-2.0
#include "src/transport/region.hpp"

#include <sys/stat.h>

#include <bit>
#include <cerrno>
#include <utility>
#include <vector>

#include "src/transport/text.hpp"

namespace isthmus {
namespace {

Result<void> check_size(std::uint64_t size, std::string_view what) {
  if (!std::has_single_bit(size)) {
    return fail(Errc::invalid_argument,
                text(what, ": ", Bytes{size}, " is not a power of two, as every region's size is"));
  }
  if (size < abi::min_region_size || size > abi::max_region_size) {
    return fail(Errc::invalid_argument, text(what, ": ", Bytes{size}, " is no region size; ",
                                             Bytes{abi::min_region_size}, " to ", Bytes{abi::max_region_size}, " are"));
  }
  return {};
}

}  // namespace

Region::Region(Mapping mapping, const abi::RegionGeometry& geometry) noexcept
    : mapping_(std::move(mapping)), geometry_(geometry) {}

Result<Region> Region::open_as_client(int fd, std::uint64_t file_size, std::string_view what) {
  if (auto size_ok = check_size(file_size, what); !size_ok) {
    return std::unexpected(size_ok.error());
  }
  auto header_page = Mapping::map(fd, abi::page_size, 0, what);
  if (!header_page) {
    return std::unexpected(header_page.error());
  }
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): the region is raw memory by nature
  const auto& header = *reinterpret_cast<const abi::RegionHeader*>(header_page->data());
  const Untrusted<std::uint64_t> magic = header.magic.load_acquire();  // M2: acquires M1
  if (!magic.equals(abi::region_magic)) {
    return fail(Errc::version_mismatch, text(what, ": no Isthmus region: magic ", Hex{magic.any()}, " instead of ",
                                             Hex{abi::region_magic}, "; does isthmusd on the host serve this device?"));
  }
  const std::uint32_t abi_version = header.abi.load_relaxed().any();
  if (abi_version != abi::abi_version) {
    return fail(Errc::version_mismatch, text(what, ": the host speaks ABI ", abi_version, ", this library ABI ",
                                             abi::abi_version, "; install matching versions"));
  }
  const std::optional<std::uint32_t> lanes = header.lane_count.load_relaxed().at_most(abi::max_lanes);
  const abi::RegionGeometry geometry = abi::RegionGeometry::of(file_size, lanes.value_or(1));
  if (lanes.value_or(0) == 0 || !header.region_size.load_relaxed().equals(file_size) ||
      !header.extents_offset.load_relaxed().equals(geometry.extents_offset) ||
      !header.extent_count.load_relaxed().equals(geometry.extent_count)) {
    return fail(Errc::protocol_violation, text(what, ": the region's header contradicts its size of ", Bytes{file_size},
                                               "; the device must have the size of the daemon's region_size"));
  }
  const std::uint64_t address = header.base_address.load_relaxed().any();
  auto mapping = Mapping::map(fd, file_size, address % abi::extent_size == 0 ? address : 0, what);
  if (!mapping) {
    return std::unexpected(mapping.error());
  }
  Region region(std::move(*mapping), geometry);
  region.epoch_ = region.header().epoch.load_relaxed().any();
  region.name_ = copy_text(region.header().name);
  return region;
}

Result<Region> Region::open_as_host(int fd, std::uint32_t lane_count, std::uint64_t address, std::string_view what) {
  struct stat status{};
  if (fstat(fd, &status) != 0) {
    return fail(Errc::system, text(what, ": ", errno_text(errno)));
  }
  const auto size = static_cast<std::uint64_t>(status.st_size);
  if (auto size_ok = check_size(size, what); !size_ok) {
    return std::unexpected(size_ok.error());
  }
  if (lane_count == 0 || lane_count > abi::max_lanes) {
    return fail(Errc::invalid_argument,
                text(what, ": ", lane_count, " lanes asked, 1 to ", abi::max_lanes, " are possible"));
  }
  auto mapping = Mapping::map(fd, size, address, what);
  if (!mapping) {
    return std::unexpected(mapping.error());
  }
  Region region(std::move(*mapping), abi::RegionGeometry::of(size, lane_count));
  region.epoch_ = region.header().epoch.load_relaxed().any();
  region.name_ = copy_text(region.header().name);
  if (!region.intact()) {
    return fail(Errc::protocol_violation, text(what, ": no Isthmus region: the magic is missing"));
  }
  return region;
}

abi::ChannelBlock* Region::channel_block(std::uint64_t offset) const noexcept {
  if (offset < geometry_.extents_offset || offset >= geometry_.region_size || offset % abi::page_size != 0) {
    return nullptr;
  }
  const std::uint64_t inside = (offset - geometry_.extents_offset) % abi::extent_size;
  return inside <= abi::extent_size - sizeof(abi::ChannelBlock) ? at<abi::ChannelBlock>(offset) : nullptr;
}

std::optional<std::span<std::byte>> Region::resolve(Reference reference) const noexcept {
  const std::uint64_t offset = reference.offset();
  if (reference.window() != 0 || offset < geometry_.extents_offset || offset > geometry_.region_size ||
      reference.length > geometry_.region_size - offset) {
    return std::nullopt;
  }
  return std::span(mapping_.data() + offset, reference.length);
}

bool Region::intact() const noexcept {
  return header().magic.load_relaxed().equals(abi::region_magic) && header().epoch.load_relaxed().equals(epoch_);
}

std::string copy_text(std::span<const char> shared) {
  // One private copy first: the other side may change the memory while it is looked at.
  const std::vector<char> copy(shared.begin(), shared.end());
  std::string result;
  for (const char c : copy) {
    if (c == '\0') {
      break;
    }
    result.push_back(c >= ' ' && c <= '~' ? c : '?');
  }
  return result;
}

}  // namespace isthmus
