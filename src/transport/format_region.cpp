// SPDX-License-Identifier: Apache-2.0
#include "src/transport/format_region.hpp"

#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <span>

#include "src/transport/text.hpp"

namespace isthmus {
namespace {

constexpr std::uint64_t lane_offset(std::uint32_t lane) {  // of its host page
  return abi::page_size + lane * sizeof(abi::LaneControl) + offsetof(abi::LaneControl, host);
}

constexpr std::uint64_t claim_offset(std::uint32_t lane) {
  return abi::page_size + lane * sizeof(abi::LaneControl) + offsetof(abi::LaneControl, client) +
         offsetof(abi::LaneClientPage, claim);
}

Result<void> write_at(int fd, std::uint64_t offset, std::span<const std::byte> bytes) {
  const ssize_t written = pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
  if (written != static_cast<ssize_t>(bytes.size())) {
    return fail(Errc::system, text("region: cannot write ", bytes.size(), " bytes at ", Hex{offset}, ": ",
                                   written < 0 ? errno_text(errno) : "file too short"));
  }
  return {};
}

template <class T>
Result<void> write_value(int fd, std::uint64_t offset, T value) {
  return write_at(fd, offset, std::as_bytes(std::span(&value, 1)));
}

template <class T>
Result<T> read_value(int fd, std::uint64_t offset) {
  T value{};
  if (pread(fd, &value, sizeof value, static_cast<off_t>(offset)) != static_cast<ssize_t>(sizeof value)) {
    return fail(Errc::system, text("region: cannot read ", sizeof value, " bytes at ", Hex{offset}));
  }
  return value;
}

Result<void> check(const RegionSpec& spec) {
  if (!std::has_single_bit(spec.size) || spec.size < abi::min_region_size || spec.size > abi::max_region_size) {
    return fail(Errc::invalid_argument,
                text("region ", spec.name, ": size ", Bytes{spec.size}, "; a power of two from ",
                     Bytes{abi::min_region_size}, " to ", Bytes{abi::max_region_size}, " is needed"));
  }
  if (spec.lane_count == 0 || spec.lane_count > abi::max_lanes) {
    return fail(Errc::invalid_argument,
                text("region ", spec.name, ": ", spec.lane_count, " lanes; 1 to ", abi::max_lanes, " are possible"));
  }
  if (spec.name.empty() || spec.name.size() >= abi::name_size ||
      !std::ranges::all_of(spec.name, [](char c) { return c > ' ' && c <= '~'; })) {
    return fail(Errc::invalid_argument, text("region name \"", spec.name, "\": 1 to ", abi::name_size - 1,
                                             " printable characters are possible"));
  }
  return {};
}

Result<std::uint64_t> random_epoch() {
  std::uint64_t epoch = 0;
  if (getrandom(&epoch, sizeof epoch, 0) != static_cast<ssize_t>(sizeof epoch)) {
    return fail(Errc::system, text("region: no random epoch: ", errno_text(errno)));
  }
  return epoch;
}

Result<void> write_header(int fd, const RegionSpec& spec, std::uint64_t epoch) {
  const abi::RegionGeometry geometry = abi::RegionGeometry::of(spec.size, spec.lane_count);
  std::array<char, abi::name_size> name{};
  std::ranges::copy(spec.name, name.begin());
  using H = abi::RegionHeader;
  Result<void> ok = write_value(fd, offsetof(H, abi), abi::abi_version);
  const auto then = [&](std::uint64_t offset, auto value) {
    if (ok) {
      ok = write_value(fd, offset, value);
    }
  };
  then(offsetof(H, lane_count), spec.lane_count);
  then(offsetof(H, region_size), spec.size);
  then(offsetof(H, epoch), epoch);
  then(offsetof(H, base_address), spec.base_address);
  then(offsetof(H, extents_offset), geometry.extents_offset);
  then(offsetof(H, extent_count), geometry.extent_count);
  then(offsetof(H, name), name);
  then(offsetof(H, magic), abi::region_magic);  // M1: last, so that a header with the magic is complete
  return ok;
}

}  // namespace

Result<void> format_region(int fd, const RegionSpec& spec) {
  if (auto ok = check(spec); !ok) {
    return ok;
  }
  const auto epoch = random_epoch();
  if (!epoch) {
    return std::unexpected(epoch.error());
  }
  for (std::uint32_t lane = 0; lane < spec.lane_count; ++lane) {
    const std::uint64_t at = lane_offset(lane) + offsetof(abi::LaneHostPage, epoch);
    if (auto ok = write_value(fd, at, *epoch + lane); !ok) {
      return ok;
    }
  }
  return write_header(fd, spec, *epoch);
}

Result<void> adopt_region(int fd, const RegionSpec& spec) {
  if (auto ok = check(spec); !ok) {
    return ok;
  }
  using H = abi::RegionHeader;
  const auto magic = read_value<std::uint64_t>(fd, offsetof(H, magic));
  const auto version = read_value<std::uint32_t>(fd, offsetof(H, abi));
  const auto lanes = read_value<std::uint32_t>(fd, offsetof(H, lane_count));
  if (!magic || !version || !lanes || *magic != abi::region_magic) {
    return fail(Errc::version_mismatch, text("region ", spec.name, ": the existing file is no Isthmus region (magic ",
                                             Hex{magic.value_or(0)}, "); remove it while no VM uses it"));
  }
  if (*version != abi::abi_version || *lanes != spec.lane_count) {
    return fail(Errc::version_mismatch, text("region ", spec.name, ": the existing file has ABI ", *version, " and ",
                                             *lanes, " lanes, this daemon ABI ", abi::abi_version, " and ",
                                             spec.lane_count, "; stop the VM and remove the file"));
  }
  if (const auto size = read_value<std::uint64_t>(fd, offsetof(H, region_size)); !size || *size != spec.size) {
    return fail(Errc::version_mismatch,
                text("region ", spec.name, ": the existing file was made for ", Bytes{size.value_or(0)},
                     ", this daemon's region_size is ", Bytes{spec.size}, "; stop the VM and remove the file"));
  }
  for (std::uint32_t lane = 0; lane < spec.lane_count; ++lane) {
    const auto state = read_value<std::uint8_t>(fd, lane_offset(lane) + offsetof(abi::LaneHostPage, state));
    if (state && *state != static_cast<std::uint8_t>(abi::HostState::free)) {
      if (auto ok = close_lane(fd, lane, "isthmusd was started anew"); !ok) {
        return ok;
      }
    }
  }
  const auto epoch = random_epoch();
  if (!epoch) {
    return std::unexpected(epoch.error());
  }
  return write_header(fd, spec, *epoch);
}

Result<void> set_daemon_present(int fd, bool present) {
  return write_value(fd, offsetof(abi::RegionHeader, daemon), static_cast<std::uint8_t>(present ? 1 : 0));
}

Result<void> close_lane(int fd, std::uint32_t lane, std::string_view reason) {
  std::array<char, abi::text_size> line{};
  std::ranges::copy(reason.substr(0, abi::text_size - 1), line.begin());
  if (auto ok = write_value(fd, lane_offset(lane) + offsetof(abi::LaneHostPage, reason), line); !ok) {
    return ok;
  }
  return write_value(fd, lane_offset(lane) + offsetof(abi::LaneHostPage, state),
                     static_cast<std::uint8_t>(abi::HostState::closed));
}

Result<bool> is_lane_served(int fd, std::uint32_t lane) {
  const auto state = read_value<std::uint8_t>(fd, lane_offset(lane) + offsetof(abi::LaneHostPage, state));
  return state ? Result<bool>(*state == static_cast<std::uint8_t>(abi::HostState::serving))
               : std::unexpected(state.error());
}

Result<bool> is_lane_waiting(int fd, std::uint32_t lane) {
  const auto state = read_value<std::uint8_t>(fd, lane_offset(lane) + offsetof(abi::LaneHostPage, state));
  const auto claim = read_value<std::uint32_t>(fd, claim_offset(lane));
  if (!state || !claim) {
    return std::unexpected(state ? claim.error() : state.error());
  }
  return *state == static_cast<std::uint8_t>(abi::HostState::free) &&
         *claim == static_cast<std::uint32_t>(abi::ClaimState::claimed);
}

Result<void> mark_all_clients_dead(int fd, std::uint32_t lane_count) {
  for (std::uint32_t lane = 0; lane < lane_count; ++lane) {
    const auto claim = read_value<std::uint32_t>(fd, claim_offset(lane));
    if (claim && *claim != static_cast<std::uint32_t>(abi::ClaimState::free)) {
      if (auto ok = write_value(fd, claim_offset(lane), abi::ClaimState::dead); !ok) {
        return ok;
      }
    }
  }
  return {};
}

}  // namespace isthmus
