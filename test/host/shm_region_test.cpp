// SPDX-License-Identifier: Apache-2.0
#include "host/shm_region.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace isthmus::host {
namespace {

constexpr std::uint64_t unit_mib = std::uint64_t{1} << 20U;

TEST(ShmRegion, has_its_size_and_takes_no_memory_yet) {
  const auto region = make_shm_region("local", 8 * unit_mib);
  ASSERT_TRUE(region) << region.error().message;
  struct stat status{};
  ASSERT_EQ(::fstat(region->get(), &status), 0);
  EXPECT_EQ(static_cast<std::uint64_t>(status.st_size), 8 * unit_mib);
  EXPECT_EQ(status.st_blocks, 0);
  EXPECT_NE(::fcntl(region->get(), F_GETFD) & FD_CLOEXEC, 0);
}

TEST(ShmRegion, can_neither_shrink_nor_grow_nor_be_sealed_further) {
  const auto region = make_shm_region("local", 8 * unit_mib);
  ASSERT_TRUE(region);
  EXPECT_EQ(::ftruncate(region->get(), 0), -1);
  EXPECT_EQ(errno, EPERM);
  EXPECT_EQ(::ftruncate(region->get(), static_cast<off_t>(16 * unit_mib)), -1);
  EXPECT_EQ(::fcntl(region->get(), F_ADD_SEALS, F_SEAL_WRITE), -1);
  EXPECT_EQ(errno, EPERM);
}

TEST(ShmRegion, can_be_mapped_and_written) {
  const auto region = make_shm_region("local", 8 * unit_mib);
  ASSERT_TRUE(region);
  void* mapping = ::mmap(nullptr, 8 * unit_mib, PROT_READ | PROT_WRITE, MAP_SHARED, region->get(), 0);
  ASSERT_NE(mapping, MAP_FAILED);
  *static_cast<volatile char*>(mapping) = 'x';
  ::munmap(mapping, 8 * unit_mib);
}

TEST(ShmRegion, more_than_the_machine_has_is_refused_before_it_is_taken) {
  const auto region = make_shm_region("local", std::uint64_t{1} << 46U);
  ASSERT_FALSE(region);
  EXPECT_EQ(region.error().code, Errc::exhausted);
  EXPECT_TRUE(region.error().message.starts_with("region shm:local: 67108864 MiB asked, ")) << region.error().message;
  EXPECT_NE(region.error().message.find("lower region_size"), std::string::npos);
}

}  // namespace
}  // namespace isthmus::host
