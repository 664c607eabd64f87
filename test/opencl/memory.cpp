// SPDX-License-Identifier: Apache-2.0

// NOLINTBEGIN(bugprone-multi-level-implicit-pointer-conversion, bugprone-sizeof-expression): the API takes
// addresses and sizes of its handles, which are pointers.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <numeric>
#include <sstream>
#include <string>

#include "test/opencl/device.hpp"

namespace isthmus::test {
namespace {

class Memory : public OpenCl {};

// A place in a mapped file: the same place has the same values in every process that maps it.
struct Place {
  unsigned long long inode = 0;
  std::uint64_t offset = 0;  // in the file
  std::string line;          // of /proc/PID/maps

  friend bool operator==(const Place& a, const Place& b) { return a.inode == b.inode && a.offset == b.offset; }
};
Place place_of(const std::string& pid, std::uint64_t address) {
  std::ifstream maps("/proc/" + pid + "/maps");
  for (std::string line; std::getline(maps, line);) {
    std::istringstream words(line);
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
    std::uint64_t offset = 0;
    char dash = 0;
    std::string rights;
    std::string device;
    Place place;
    words >> std::hex >> begin >> dash >> end >> rights >> offset >> device >> std::dec >> place.inode;
    if (address >= begin && address < end) {
      place.offset = address - begin + offset;
      place.line = line;
      return place;
    }
  }
  return {};
}

TEST_F(Memory, what_is_written_is_read_whether_it_is_short_or_long) {
  for (const std::size_t count : {1UL, 7UL, 1000UL, 1025UL, 100'000UL, 3'000'000UL}) {
    const auto values = counted(count, 5);
    cl_mem memory = buffer(count * sizeof(cl_int));
    write(memory, values);
    EXPECT_EQ(read<cl_int>(memory, count), values) << count;
  }
}

TEST_F(Memory, a_buffer_is_the_same_memory_for_program_and_kernel) {
  // The kernel says at which address it finds the buffer, in the worker; the map says where the program has it. Both
  // must be the same place in the region: then nothing is copied on the way.
  cl_kernel tell = kernel("__kernel void tell(__global ulong* out) { out[1] = (ulong)out; }", "tell");
  cl_mem memory = buffer(1 << 20);
  ASSERT_EQ(clSetKernelArg(tell, 0, sizeof memory, &memory), CL_SUCCESS);
  run(tell, 1);
  cl_int code = CL_SUCCESS;
  void* mapped = clEnqueueMapBuffer(queue, memory, CL_TRUE, CL_MAP_READ, 0, 1 << 20, 0, nullptr, nullptr, &code);
  ASSERT_EQ(code, CL_SUCCESS);
  const std::uint64_t in_worker = static_cast<const cl_ulong*>(mapped)[1];
  const Place ours = place_of("self", reinterpret_cast<std::uint64_t>(mapped));
  EXPECT_NE(ours.line.find("memfd"), std::string::npos) << ours.line;
  EXPECT_NE(ours.inode, 0U);
  const char* workers = std::getenv("ISTHMUS_TEST_WORKERS");  // a file of /proc: the daemon's children
  ASSERT_NE(workers, nullptr) << "to be run by test_opencl.py";
  std::ifstream children(workers);
  std::string seen;
  bool found = false;
  for (std::string pid; children >> pid;) {
    const Place theirs = place_of(pid, in_worker);
    seen += pid + ": " + theirs.line + "\n";
    found = found || theirs == ours;
  }
  EXPECT_TRUE(found) << "ours: " << ours.line << "\nat " << std::hex << in_worker << " in the workers:\n" << seen;
  EXPECT_EQ(clEnqueueUnmapMemObject(queue, memory, mapped, 0, nullptr, nullptr), CL_SUCCESS);
}

TEST_F(Memory, a_map_is_the_same_place_each_time_and_what_is_written_there_reaches_the_kernel) {
  cl_kernel twice = kernel("__kernel void twice(__global int* v) { v[get_global_id(0)] *= 2; }", "twice");
  constexpr std::size_t count = 4096;
  cl_mem memory = buffer(count * sizeof(cl_int));
  ASSERT_EQ(clSetKernelArg(twice, 0, sizeof memory, &memory), CL_SUCCESS);
  void* first = nullptr;
  for (cl_int round = 1; round < 4; ++round) {
    cl_int code = CL_SUCCESS;
    void* mapped = clEnqueueMapBuffer(queue, memory, CL_TRUE, CL_MAP_READ | CL_MAP_WRITE, 0, count * sizeof(cl_int), 0,
                                      nullptr, nullptr, &code);
    ASSERT_EQ(code, CL_SUCCESS);
    first = first != nullptr ? first : mapped;
    EXPECT_EQ(mapped, first);
    auto* values = static_cast<cl_int*>(mapped);
    if (round > 1) {
      EXPECT_EQ(values[10], 2 * (10 + round - 1));
    }
    std::iota(values, values + count, round);
    cl_uint maps = 0;
    EXPECT_EQ(clGetMemObjectInfo(memory, CL_MEM_MAP_COUNT, sizeof maps, &maps, nullptr), CL_SUCCESS);
    EXPECT_EQ(maps, 1U);
    ASSERT_EQ(clEnqueueUnmapMemObject(queue, memory, mapped, 0, nullptr, nullptr), CL_SUCCESS);
    EXPECT_EQ(clEnqueueUnmapMemObject(queue, memory, mapped, 0, nullptr, nullptr), CL_INVALID_VALUE);
    run(twice, count);
  }
  EXPECT_EQ(read<cl_int>(memory, count)[7], 2 * (7 + 3));
}

TEST_F(Memory, a_buffer_over_the_programs_own_memory_is_up_to_date_while_it_is_mapped) {
  cl_kernel twice = kernel("__kernel void twice(__global int* v) { v[get_global_id(0)] *= 2; }", "twice");
  auto values = counted(1000);
  const std::size_t bytes = values.size() * sizeof(cl_int);
  cl_mem memory = buffer(bytes, CL_MEM_USE_HOST_PTR, values.data());
  ASSERT_EQ(clSetKernelArg(twice, 0, sizeof memory, &memory), CL_SUCCESS);
  run(twice, values.size());
  cl_int code = CL_SUCCESS;
  void* mapped =
      clEnqueueMapBuffer(queue, memory, CL_TRUE, CL_MAP_READ | CL_MAP_WRITE, 0, bytes, 0, nullptr, nullptr, &code);
  ASSERT_EQ(code, CL_SUCCESS);
  EXPECT_EQ(mapped, values.data());
  EXPECT_EQ(values[999], 1998);
  values[3] = 50;
  ASSERT_EQ(clEnqueueUnmapMemObject(queue, memory, mapped, 0, nullptr, nullptr), CL_SUCCESS);
  run(twice, values.size());
  const auto after = read<cl_int>(memory, values.size());
  EXPECT_EQ(after[3], 100);
  EXPECT_EQ(after[999], 3996);
}

TEST_F(Memory, copies_fills_and_boxes_go_where_they_should) {
  cl_mem from = buffer(4096);
  cl_mem to = buffer(4096);
  write(from, counted(1024));
  const cl_int pattern = 77;
  ASSERT_EQ(clEnqueueFillBuffer(queue, to, &pattern, sizeof pattern, 0, 4096, 0, nullptr, nullptr), CL_SUCCESS);
  ASSERT_EQ(clEnqueueCopyBuffer(queue, from, to, 40, 80, 400, 0, nullptr, nullptr), CL_SUCCESS);
  auto values = read<cl_int>(to, 1024);
  EXPECT_EQ(values[19], 77);
  EXPECT_EQ(values[20], 10);
  EXPECT_EQ(values[119], 109);
  EXPECT_EQ(values[120], 77);

  // Rows of 16 numbers: a box of 4 x 3 from (2, 1) to (8, 5).
  const std::array<std::size_t, 3> from_origin{8, 1, 0};
  const std::array<std::size_t, 3> to_origin{32, 5, 0};
  const std::array<std::size_t, 3> region{16, 3, 1};
  ASSERT_EQ(clEnqueueCopyBufferRect(queue, from, to, from_origin.data(), to_origin.data(), region.data(), 64, 0, 64, 0,
                                    0, nullptr, nullptr),
            CL_SUCCESS);
  std::vector<cl_int> box(12, -1);
  const std::array<std::size_t, 3> origin{0, 0, 0};
  ASSERT_EQ(clEnqueueReadBufferRect(queue, to, CL_TRUE, to_origin.data(), origin.data(), region.data(), 64, 0, 0, 0,
                                    box.data(), 0, nullptr, nullptr),
            CL_SUCCESS);
  EXPECT_EQ(box, (std::vector<cl_int>{18, 19, 20, 21, 34, 35, 36, 37, 50, 51, 52, 53}));
  std::ranges::reverse(box);
  ASSERT_EQ(clEnqueueWriteBufferRect(queue, to, CL_FALSE, to_origin.data(), origin.data(), region.data(), 64, 0, 0, 0,
                                     box.data(), 0, nullptr, nullptr),
            CL_SUCCESS);
  ASSERT_EQ(clFinish(queue), CL_SUCCESS);
  values = read<cl_int>(to, 1024);
  EXPECT_EQ(values[5 * 16 + 8], 53);
  EXPECT_EQ(values[7 * 16 + 11], 18);
  EXPECT_EQ(values[7 * 16 + 12], 77);
}

TEST_F(Memory, a_sub_buffer_is_a_part_of_its_buffer) {
  cl_mem whole = buffer(4096);
  write(whole, counted(1024));
  const cl_buffer_region region{.origin = 1024, .size = 512};
  cl_int code = CL_SUCCESS;
  cl_mem part = clCreateSubBuffer(whole, CL_MEM_READ_WRITE, CL_BUFFER_CREATE_TYPE_REGION, &region, &code);
  ASSERT_EQ(code, CL_SUCCESS);
  EXPECT_EQ(read<cl_int>(part, 128).front(), 256);
  cl_kernel set = kernel("__kernel void set(__global int* v) { v[get_global_id(0)] = -1; }", "set");
  ASSERT_EQ(clSetKernelArg(set, 0, sizeof part, &part), CL_SUCCESS);
  run(set, 128);
  const auto values = read<cl_int>(whole, 1024);
  EXPECT_EQ(values[255], 255);
  EXPECT_EQ(values[256], -1);
  EXPECT_EQ(values[383], -1);
  EXPECT_EQ(values[384], 384);
  cl_mem parent = nullptr;
  EXPECT_EQ(clGetMemObjectInfo(part, CL_MEM_ASSOCIATED_MEMOBJECT, sizeof(cl_mem), &parent, nullptr), CL_SUCCESS);
  EXPECT_EQ(parent, whole);
  const cl_buffer_region crooked{.origin = 4, .size = 16};
  EXPECT_EQ(clCreateSubBuffer(whole, 0, CL_BUFFER_CREATE_TYPE_REGION, &crooked, &code), nullptr);
  EXPECT_EQ(code, CL_MISALIGNED_SUB_BUFFER_OFFSET);
  EXPECT_EQ(clReleaseMemObject(part), CL_SUCCESS);
}

TEST_F(Memory, memory_of_released_buffers_is_used_again_while_their_commands_still_run) {
  // Ten times what the slab holds; each buffer is released as soon as its commands are enqueued.
  cl_ulong largest = 0;
  ASSERT_EQ(clGetDeviceInfo(device, CL_DEVICE_MAX_MEM_ALLOC_SIZE, sizeof largest, &largest, nullptr), CL_SUCCESS);
  const std::size_t bytes = largest / 2;
  cl_kernel twice = kernel("__kernel void twice(__global int* v) { v[get_global_id(0)] *= 2; }", "twice");
  for (int i = 0; i < 40; ++i) {
    cl_int code = CL_SUCCESS;
    cl_mem memory = clCreateBuffer(context, CL_MEM_READ_WRITE, bytes, nullptr, &code);
    ASSERT_EQ(code, CL_SUCCESS) << "buffer " << i;
    ASSERT_EQ(clSetKernelArg(twice, 0, sizeof memory, &memory), CL_SUCCESS);
    run(twice, bytes / sizeof(cl_int));
    ASSERT_EQ(clReleaseMemObject(memory), CL_SUCCESS);
  }
}

}  // namespace
}  // namespace isthmus::test

// NOLINTEND(bugprone-multi-level-implicit-pointer-conversion, bugprone-sizeof-expression)
