// SPDX-License-Identifier: Apache-2.0

// Shared virtual memory, and devices that are parts of others. PoCL's device has both.

// NOLINTBEGIN(bugprone-multi-level-implicit-pointer-conversion, bugprone-sizeof-expression): the API takes
// addresses and sizes of its handles, which are pointers.

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <future>
#include <span>
#include <string>
#include <vector>

#include "test/opencl/device.hpp"

namespace isthmus::test {
namespace {

class Svm : public OpenCl {
 public:
  void SetUp() override {
    OpenCl::SetUp();
    cl_device_svm_capabilities can = 0;
    ASSERT_EQ(clGetDeviceInfo(device, CL_DEVICE_SVM_CAPABILITIES, sizeof can, &can, nullptr), CL_SUCCESS);
    ASSERT_EQ(can, static_cast<cl_device_svm_capabilities>(CL_DEVICE_SVM_COARSE_GRAIN_BUFFER |
                                                           CL_DEVICE_SVM_FINE_GRAIN_BUFFER | CL_DEVICE_SVM_ATOMICS));
  }
  void TearDown() override {
    EXPECT_EQ(clFinish(queue), CL_SUCCESS);
    for (void* one : blocks_) {
      clSVMFree(context, one);
    }
    OpenCl::TearDown();
  }
  template <class T>
  std::span<T> shared(std::size_t count, cl_svm_mem_flags flags = CL_MEM_READ_WRITE, cl_uint alignment = 0) {
    void* made = clSVMAlloc(context, flags, count * sizeof(T), alignment);
    EXPECT_NE(made, nullptr);
    blocks_.push_back(made);
    return {static_cast<T*>(made), made != nullptr ? count : 0};
  }

 private:
  std::vector<void*> blocks_;
};

struct Node {
  Node* next;
  cl_long value;
};

constexpr const char* list_source =
    "typedef struct node { __global struct node* next; long value; } node;"
    "__kernel void walk(__global node* first, __global long* sum) {"
    "  *sum = 0; for (__global node* n = first; n != 0; n = n->next) { *sum += n->value; n->value = -n->value; } }"
    "__kernel void append(__global node* last, __global node* more) { last->next = more; more->next = 0; }";

TEST_F(Svm, pointers_in_it_are_followed_by_kernels_and_by_the_program) {
  // A list across three allocations, of which the kernel is told one.
  const auto first = shared<Node>(100);
  const auto second = shared<Node>(100);
  const auto third = shared<Node>(1);
  const auto sum = shared<cl_long>(1);
  for (std::size_t i = 0; i < 100; ++i) {
    first[i] = {.next = &second[99 - i], .value = 1};
    second[99 - i] = {.next = i < 99 ? &first[i + 1] : nullptr, .value = 1000};
  }
  third[0] = {.next = &first[50], .value = 1'000'000};
  cl_program built = program(list_source);
  ASSERT_EQ(clBuildProgram(built, 1, &device, "", nullptr, nullptr), CL_SUCCESS) << log(built);
  cl_kernel append = kernel(built, "append");
  ASSERT_EQ(clSetKernelArgSVMPointer(append, 0, &second[0]), CL_SUCCESS);  // the last one
  ASSERT_EQ(clSetKernelArgSVMPointer(append, 1, third.data()), CL_SUCCESS);
  const std::array<void*, 2> reached{first.data(), second.data()};
  EXPECT_EQ(clSetKernelExecInfo(append, CL_KERNEL_EXEC_INFO_SVM_PTRS, sizeof reached, reached.data()), CL_SUCCESS);
  run(append, 1);
  cl_kernel walk = kernel(built, "walk");
  ASSERT_EQ(clSetKernelArgSVMPointer(walk, 0, first.data()), CL_SUCCESS);
  ASSERT_EQ(clSetKernelArgSVMPointer(walk, 1, sum.data()), CL_SUCCESS);
  run(walk, 1);
  ASSERT_EQ(clFinish(queue), CL_SUCCESS);
  EXPECT_EQ(sum[0], 100 * 1 + 100 * 1000 + 1'000'000);
  cl_long by_program = 0;
  for (const Node* node = first.data(); node != nullptr; node = node->next) {
    by_program += node->value;
  }
  EXPECT_EQ(by_program, -sum[0]) << "the kernel's links and values, read in place";
}

TEST_F(Svm, is_seen_by_a_running_kernel_where_it_is_fine_grained) {
  const auto flags = shared<cl_int>(2, CL_MEM_READ_WRITE | CL_MEM_SVM_FINE_GRAIN_BUFFER | CL_MEM_SVM_ATOMICS);
  std::ranges::fill(flags, 0);
  cl_kernel answer = kernel(
      "__kernel void answer(volatile __global int* f) { f[0] = 1; while (f[1] == 0) {} f[0] = f[1] + 1; }", "answer");
  ASSERT_EQ(clSetKernelArgSVMPointer(answer, 0, flags.data()), CL_SUCCESS);
  run(answer, 1);
  ASSERT_EQ(clFlush(queue), CL_SUCCESS);
  auto* const shared_words = static_cast<volatile cl_int*>(flags.data());
  while (shared_words[0] == 0) {
    usleep(100);
  }
  shared_words[1] = 41;
  ASSERT_EQ(clFinish(queue), CL_SUCCESS);
  EXPECT_EQ(flags[0], 42);
}

TEST_F(Svm, is_copied_filled_mapped_and_freed_in_the_queues_order) {
  constexpr std::size_t count = 10'000;
  const auto from = shared<cl_int>(count);
  const auto to = shared<cl_int>(count, CL_MEM_READ_WRITE, 64);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(to.data()) % 64, 0U);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(from.data()) % 128, 0U);
  cl_kernel add = kernel("__kernel void add(__global int* v) { v[get_global_id(0)] += (int)get_global_id(0); }", "add");
  ASSERT_EQ(clSetKernelArgSVMPointer(add, 0, from.data()), CL_SUCCESS);
  cl_int code = CL_SUCCESS;
  cl_event gate = clCreateUserEvent(context, &code);
  const cl_int seven = 7;
  // All of it waits for the gate, so nothing may have been done before it opens.
  ASSERT_EQ(clEnqueueSVMMemFill(queue, from.data(), &seven, sizeof seven, from.size_bytes(), 1, &gate, nullptr),
            CL_SUCCESS);
  run(add, count);
  ASSERT_EQ(clEnqueueSVMMemcpy(queue, CL_FALSE, to.data(), from.data(), from.size_bytes(), 0, nullptr, nullptr),
            CL_SUCCESS);
  std::vector<cl_int> own(count);
  ASSERT_EQ(clEnqueueSVMMemcpy(queue, CL_FALSE, own.data(), to.data(), to.size_bytes(), 0, nullptr, nullptr),
            CL_SUCCESS);
  cl_event mapped = nullptr;
  ASSERT_EQ(clEnqueueSVMMap(queue, CL_FALSE, CL_MAP_READ, to.data(), to.size_bytes(), 0, nullptr, &mapped), CL_SUCCESS);
  ASSERT_EQ(clFlush(queue), CL_SUCCESS);
  EXPECT_EQ(own[1], 0);
  cl_command_type type = 0;
  EXPECT_EQ(clGetEventInfo(mapped, CL_EVENT_COMMAND_TYPE, sizeof type, &type, nullptr), CL_SUCCESS);
  EXPECT_EQ(type, static_cast<cl_command_type>(CL_COMMAND_SVM_MAP));
  ASSERT_EQ(clSetUserEventStatus(gate, CL_COMPLETE), CL_SUCCESS);
  ASSERT_EQ(clWaitForEvents(1, &mapped), CL_SUCCESS);
  const std::vector<cl_int> expected = counted(count, seven);
  EXPECT_TRUE(std::ranges::equal(to, expected));
  EXPECT_EQ(own, expected);
  ASSERT_EQ(clEnqueueSVMUnmap(queue, to.data(), 0, nullptr, nullptr), CL_SUCCESS);
  EXPECT_EQ(clReleaseEvent(mapped), CL_SUCCESS);
  EXPECT_EQ(clReleaseEvent(gate), CL_SUCCESS);

  ASSERT_EQ(clEnqueueSVMMemcpy(queue, CL_TRUE, to.data(), own.data() + 1, sizeof(cl_int), 0, nullptr, nullptr),
            CL_SUCCESS);
  EXPECT_EQ(to[0], seven + 1) << "a blocking copy has ended when it returns";

  const void* moved = to.data();
  EXPECT_EQ(clEnqueueSVMMigrateMem(queue, 1, &moved, nullptr, 0, 0, nullptr, nullptr), CL_SUCCESS);
  void* freed = clSVMAlloc(context, CL_MEM_READ_WRITE, 4096, 0);
  ASSERT_NE(freed, nullptr);
  ASSERT_EQ(clEnqueueSVMFree(queue, 1, &freed, nullptr, nullptr, 0, nullptr, nullptr), CL_SUCCESS);
  std::promise<void*> told;
  const auto tell = [](cl_command_queue, cl_uint, void** pointers, void* data) {
    static_cast<std::promise<void*>*>(data)->set_value(pointers[0]);
  };
  void* own_freed = from.data();
  ASSERT_EQ(clEnqueueSVMFree(queue, 1, &own_freed, tell, &told, 0, nullptr, nullptr), CL_SUCCESS);
  EXPECT_EQ(told.get_future().get(), static_cast<void*>(from.data()));
  // A callback that takes its time keeps no other queue's copies waiting.
  cl_command_queue other = clCreateCommandQueue(context, device, 0, &code);
  ASSERT_EQ(code, CL_SUCCESS);
  std::promise<void> copied;
  const auto wait_for_copy = [](cl_command_queue, cl_uint, void**, void* data) {
    static_cast<std::promise<void>*>(data)->get_future().wait();
  };
  ASSERT_EQ(clEnqueueSVMFree(queue, 1, &own_freed, wait_for_copy, &copied, 0, nullptr, nullptr), CL_SUCCESS);
  ASSERT_EQ(clFlush(queue), CL_SUCCESS);
  cl_event by_other = nullptr;
  ASSERT_EQ(clEnqueueSVMMemcpy(other, CL_FALSE, to.data(), own.data(), 64, 0, nullptr, &by_other), CL_SUCCESS);
  EXPECT_EQ(clWaitForEvents(1, &by_other), CL_SUCCESS);
  copied.set_value();
  EXPECT_EQ(clReleaseEvent(by_other), CL_SUCCESS);
  EXPECT_EQ(clReleaseCommandQueue(other), CL_SUCCESS);
  ASSERT_EQ(clFinish(queue), CL_SUCCESS);
  EXPECT_EQ(clSetKernelArgSVMPointer(add, 0, freed), CL_INVALID_ARG_VALUE) << "it is none any more";
}

TEST_F(Svm, commands_that_wait_for_nothing_overtake_in_a_queue_out_of_order) {
  cl_int code = CL_SUCCESS;
  const std::array<cl_queue_properties, 3> any_order{CL_QUEUE_PROPERTIES, CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE, 0};
  cl_command_queue unordered = clCreateCommandQueueWithProperties(context, device, any_order.data(), &code);
  ASSERT_EQ(code, CL_SUCCESS);
  cl_event gate = clCreateUserEvent(context, &code);
  const auto values = shared<cl_int>(4);
  std::ranges::fill(values, 0);
  cl_kernel set = kernel("__kernel void set(__global int* v) { v[0] = 1; }", "set");
  ASSERT_EQ(clSetKernelArgSVMPointer(set, 0, values.data()), CL_SUCCESS);
  const std::size_t one = 1;
  ASSERT_EQ(clEnqueueNDRangeKernel(unordered, set, 1, nullptr, &one, nullptr, 1, &gate, nullptr), CL_SUCCESS);
  const cl_int five = 5;
  cl_event copied = nullptr;
  ASSERT_EQ(clEnqueueSVMMemcpy(unordered, CL_TRUE, &values[1], &five, sizeof five, 0, nullptr, &copied), CL_SUCCESS)
      << "would hang if it waited for the kernel";
  ASSERT_EQ(clEnqueueSVMMap(unordered, CL_TRUE, CL_MAP_READ, values.data(), values.size_bytes(), 0, nullptr, nullptr),
            CL_SUCCESS);
  ASSERT_EQ(clEnqueueSVMUnmap(unordered, values.data(), 0, nullptr, nullptr), CL_SUCCESS);
  ASSERT_EQ(clEnqueueSVMMemcpy(unordered, CL_TRUE, &values[1], &five, 0, 0, nullptr, nullptr), CL_SUCCESS);
  EXPECT_EQ(values[0], 0);
  EXPECT_EQ(values[1], five);
  ASSERT_EQ(clSetUserEventStatus(gate, CL_COMPLETE), CL_SUCCESS);
  ASSERT_EQ(clFinish(unordered), CL_SUCCESS);
  EXPECT_EQ(values[0], 1);
  EXPECT_EQ(clReleaseEvent(copied), CL_SUCCESS);
  EXPECT_EQ(clReleaseEvent(gate), CL_SUCCESS);
  EXPECT_EQ(clReleaseCommandQueue(unordered), CL_SUCCESS);
}

TEST_F(Svm, a_buffer_over_it_is_the_same_memory) {
  const auto values = shared<cl_int>(1024);
  std::ranges::fill(values, 3);
  cl_mem over = buffer(2048, CL_MEM_USE_HOST_PTR, values.data() + 256);
  cl_bool uses = CL_FALSE;
  EXPECT_EQ(clGetMemObjectInfo(over, CL_MEM_USES_SVM_POINTER, sizeof uses, &uses, nullptr), CL_SUCCESS);
  EXPECT_EQ(uses, static_cast<cl_bool>(CL_TRUE));
  void* host = nullptr;
  EXPECT_EQ(clGetMemObjectInfo(over, CL_MEM_HOST_PTR, sizeof host, &host, nullptr), CL_SUCCESS);
  EXPECT_EQ(host, static_cast<void*>(values.data() + 256));
  cl_kernel twice = kernel("__kernel void twice(__global int* v) { v[get_global_id(0)] *= 2; }", "twice");
  ASSERT_EQ(clSetKernelArg(twice, 0, sizeof over, &over), CL_SUCCESS);
  run(twice, 512);
  ASSERT_EQ(clFinish(queue), CL_SUCCESS);
  EXPECT_EQ(values[255], 3);
  EXPECT_EQ(values[256], 6) << "without a map";
  EXPECT_EQ(values[767], 6);
  EXPECT_EQ(values[768], 3);
}

TEST_F(Svm, what_is_wrong_is_refused) {
  EXPECT_EQ(clSVMAlloc(context, CL_MEM_READ_WRITE, 0, 0), nullptr);
  EXPECT_EQ(clSVMAlloc(context, CL_MEM_READ_WRITE, 64, 3), nullptr);
  EXPECT_EQ(clSVMAlloc(context, CL_MEM_READ_WRITE, 64, 256), nullptr);
  EXPECT_EQ(clSVMAlloc(context, CL_MEM_READ_WRITE, std::size_t{1} << 60, 0), nullptr);
  EXPECT_EQ(clSVMAlloc(context, CL_MEM_READ_WRITE | CL_MEM_SVM_ATOMICS, 64, 0), nullptr);
  EXPECT_EQ(clSVMAlloc(context, CL_MEM_USE_HOST_PTR, 64, 0), nullptr);
  clSVMFree(context, nullptr);
  const auto values = shared<cl_int>(64);
  cl_kernel set = kernel("__kernel void set(__global int* v, int x, __local int* t) { *v = x; }", "set");
  int own = 0;
  EXPECT_EQ(clSetKernelArgSVMPointer(set, 0, &own), CL_INVALID_ARG_VALUE);
  EXPECT_EQ(clSetKernelArgSVMPointer(set, 0, values.data() + 64), CL_INVALID_ARG_VALUE);
  EXPECT_EQ(clSetKernelArgSVMPointer(set, 1, values.data()), CL_INVALID_ARG_VALUE);
  EXPECT_EQ(clSetKernelArgSVMPointer(set, 2, values.data()), CL_INVALID_ARG_VALUE);
  EXPECT_EQ(clSetKernelArgSVMPointer(set, 3, values.data()), CL_INVALID_ARG_INDEX);
  EXPECT_EQ(clSetKernelArgSVMPointer(nullptr, 0, values.data()), CL_INVALID_KERNEL);
  cl_bool yes = CL_TRUE;
  EXPECT_EQ(clSetKernelExecInfo(set, CL_KERNEL_EXEC_INFO_SVM_FINE_GRAIN_SYSTEM, sizeof yes, &yes),
            CL_INVALID_OPERATION);
  EXPECT_EQ(clSetKernelExecInfo(set, CL_KERNEL_EXEC_INFO_SVM_PTRS, 7, values.data()), CL_INVALID_VALUE);
  EXPECT_EQ(clSetKernelExecInfo(set, 0, 8, values.data()), CL_INVALID_VALUE);
  EXPECT_EQ(clEnqueueSVMMap(queue, CL_TRUE, CL_MAP_READ, values.data(), 0, 0, nullptr, nullptr), CL_INVALID_VALUE);
  EXPECT_EQ(clEnqueueSVMMap(queue, CL_TRUE, 0, values.data(), 4, 0, nullptr, nullptr), CL_INVALID_VALUE);
  EXPECT_EQ(clEnqueueSVMUnmap(queue, nullptr, 0, nullptr, nullptr), CL_INVALID_VALUE);
  EXPECT_EQ(clEnqueueSVMMemcpy(queue, CL_TRUE, values.data(), nullptr, 4, 0, nullptr, nullptr), CL_INVALID_VALUE);
  EXPECT_EQ(clEnqueueSVMMemcpy(queue, CL_TRUE, values.data(), values.data() + 1, 8, 0, nullptr, nullptr),
            CL_MEM_COPY_OVERLAP);
  EXPECT_EQ(clEnqueueSVMMemFill(queue, values.data(), &own, 3, 12, 0, nullptr, nullptr), CL_INVALID_VALUE);
  EXPECT_EQ(clEnqueueSVMMemFill(queue, values.data(), &own, 4, 6, 0, nullptr, nullptr), CL_INVALID_VALUE);
  EXPECT_EQ(clEnqueueSVMFree(queue, 1, nullptr, nullptr, nullptr, 0, nullptr, nullptr), CL_INVALID_VALUE);
  const void* moved = &own;
  EXPECT_EQ(clEnqueueSVMMigrateMem(queue, 1, &moved, nullptr, 0, 0, nullptr, nullptr), CL_INVALID_VALUE);
  EXPECT_EQ(clEnqueueSVMMemcpy(nullptr, CL_TRUE, values.data(), &own, 4, 0, nullptr, nullptr),
            CL_INVALID_COMMAND_QUEUE);
}

class SubDevices : public OpenCl {
 public:
  cl_uint units() {
    cl_uint number = 0;
    EXPECT_EQ(clGetDeviceInfo(device, CL_DEVICE_MAX_COMPUTE_UNITS, sizeof number, &number, nullptr), CL_SUCCESS);
    return number;
  }
};

TEST_F(SubDevices, run_kernels) {
  if (units() < 2) {
    GTEST_SKIP() << "the device has one compute unit: nothing to divide";
  }
  const std::array<cl_device_partition_property, 4> one_unit{CL_DEVICE_PARTITION_BY_COUNTS, 1,
                                                             CL_DEVICE_PARTITION_BY_COUNTS_LIST_END, 0};
  cl_uint count = 0;
  ASSERT_EQ(clCreateSubDevices(device, one_unit.data(), 0, nullptr, &count), CL_SUCCESS);
  ASSERT_EQ(count, 1U);
  cl_device_id part = nullptr;
  ASSERT_EQ(clCreateSubDevices(device, one_unit.data(), 1, &part, &count), CL_SUCCESS);
  cl_device_id parent = nullptr;
  EXPECT_EQ(clGetDeviceInfo(part, CL_DEVICE_PARENT_DEVICE, sizeof parent, &parent, nullptr), CL_SUCCESS);
  EXPECT_EQ(parent, device);
  cl_uint its_units = 0;
  EXPECT_EQ(clGetDeviceInfo(part, CL_DEVICE_MAX_COMPUTE_UNITS, sizeof its_units, &its_units, nullptr), CL_SUCCESS);
  EXPECT_EQ(its_units, 1U);
  std::array<cl_device_partition_property, 8> type{};
  std::size_t size = 0;
  EXPECT_EQ(clGetDeviceInfo(part, CL_DEVICE_PARTITION_TYPE, sizeof type, type.data(), &size), CL_SUCCESS);
  EXPECT_EQ(type[0], one_unit[0]);
  EXPECT_EQ(type[1], 1);

  cl_int code = CL_SUCCESS;
  cl_context of_part = clCreateContext(nullptr, 1, &part, nullptr, nullptr, &code);
  ASSERT_EQ(code, CL_SUCCESS);
  cl_command_queue its_queue = clCreateCommandQueue(of_part, part, 0, &code);
  ASSERT_EQ(code, CL_SUCCESS);
  const char* source = "__kernel void set(__global int* v) { v[get_global_id(0)] = (int)get_global_id(0) + 1; }";
  cl_program built = clCreateProgramWithSource(of_part, 1, &source, nullptr, &code);
  ASSERT_EQ(clBuildProgram(built, 1, &part, "", nullptr, nullptr), CL_SUCCESS);
  cl_build_status status = CL_BUILD_NONE;
  EXPECT_EQ(clGetProgramBuildInfo(built, part, CL_PROGRAM_BUILD_STATUS, sizeof status, &status, nullptr), CL_SUCCESS);
  EXPECT_EQ(status, CL_BUILD_SUCCESS);
  cl_kernel set = clCreateKernel(built, "set", &code);
  ASSERT_EQ(code, CL_SUCCESS);
  cl_mem memory = clCreateBuffer(of_part, CL_MEM_READ_WRITE, 4096, nullptr, &code);
  ASSERT_EQ(clSetKernelArg(set, 0, sizeof memory, &memory), CL_SUCCESS);
  const std::size_t items = 1024;
  ASSERT_EQ(clEnqueueNDRangeKernel(its_queue, set, 1, nullptr, &items, nullptr, 0, nullptr, nullptr), CL_SUCCESS);
  std::vector<cl_int> values(items);
  ASSERT_EQ(clEnqueueReadBuffer(its_queue, memory, CL_TRUE, 0, 4096, values.data(), 0, nullptr, nullptr), CL_SUCCESS);
  EXPECT_EQ(values, counted(items, 1));

  std::size_t length = 0;
  ASSERT_EQ(clGetProgramInfo(built, CL_PROGRAM_BINARY_SIZES, sizeof length, &length, nullptr), CL_SUCCESS);
  std::vector<unsigned char> binary(length);
  std::array<unsigned char*, 1> into{binary.data()};
  ASSERT_EQ(clGetProgramInfo(built, CL_PROGRAM_BINARIES, sizeof into, into.data(), nullptr), CL_SUCCESS);
  const unsigned char* from = binary.data();
  cl_program again = clCreateProgramWithBinary(of_part, 1, &part, &length, &from, nullptr, &code);
  ASSERT_EQ(code, CL_SUCCESS);
  ASSERT_EQ(clBuildProgram(again, 1, &part, "", nullptr, nullptr), CL_SUCCESS);
  std::vector<unsigned char> same(length);
  into = {same.data()};
  EXPECT_EQ(clGetProgramInfo(again, CL_PROGRAM_BINARIES, sizeof into, into.data(), nullptr), CL_SUCCESS);
  EXPECT_EQ(same, binary);
  EXPECT_EQ(clReleaseProgram(again), CL_SUCCESS);
  EXPECT_EQ(clReleaseMemObject(memory), CL_SUCCESS);
  EXPECT_EQ(clReleaseKernel(set), CL_SUCCESS);
  EXPECT_EQ(clReleaseProgram(built), CL_SUCCESS);
  EXPECT_EQ(clReleaseCommandQueue(its_queue), CL_SUCCESS);
  EXPECT_EQ(clReleaseContext(of_part), CL_SUCCESS);
  EXPECT_EQ(clReleaseDevice(part), CL_SUCCESS);
}

TEST_F(SubDevices, are_counted_and_their_lists_are_checked) {
  const std::array<cl_device_partition_property, 3> single{CL_DEVICE_PARTITION_EQUALLY, 1, 0};
  std::vector<cl_device_id> parts(units());
  cl_uint count = 0;
  if (units() < 2) {
    EXPECT_NE(clCreateSubDevices(device, single.data(), 1, parts.data(), nullptr), CL_SUCCESS);
    return;
  }
  EXPECT_EQ(clCreateSubDevices(device, single.data(), 1, parts.data(), nullptr), CL_INVALID_VALUE) << "too little room";
  ASSERT_EQ(clCreateSubDevices(device, single.data(), units(), parts.data(), &count), CL_SUCCESS);
  ASSERT_EQ(count, units());
  EXPECT_EQ(clRetainDevice(parts[0]), CL_SUCCESS);
  cl_uint references = 0;
  EXPECT_EQ(clGetDeviceInfo(parts[0], CL_DEVICE_REFERENCE_COUNT, sizeof references, &references, nullptr), CL_SUCCESS);
  EXPECT_EQ(references, 2U);
  EXPECT_EQ(clReleaseDevice(parts[0]), CL_SUCCESS);
  for (cl_device_id part : parts) {
    EXPECT_EQ(clReleaseDevice(part), CL_SUCCESS);
  }
  EXPECT_EQ(clReleaseDevice(parts[0]), CL_INVALID_DEVICE);
  EXPECT_EQ(clReleaseDevice(device), CL_SUCCESS) << "whole devices stay";
  EXPECT_EQ(clCreateSubDevices(device, nullptr, 1, parts.data(), nullptr), CL_INVALID_VALUE);
  EXPECT_EQ(clCreateSubDevices(device, single.data(), 0, parts.data(), nullptr), CL_INVALID_VALUE);
  const std::array<cl_device_partition_property, 3> unknown{-1, 1, 0};
  EXPECT_EQ(clCreateSubDevices(device, unknown.data(), 1, parts.data(), nullptr), CL_INVALID_VALUE);
  const std::array<cl_device_partition_property, 4> too_many{CL_DEVICE_PARTITION_BY_COUNTS, 1'000'000, 0, 0};
  EXPECT_EQ(clCreateSubDevices(device, too_many.data(), 1, parts.data(), nullptr), CL_INVALID_DEVICE_PARTITION_COUNT);
}

}  // namespace
}  // namespace isthmus::test

// NOLINTEND(bugprone-multi-level-implicit-pointer-conversion, bugprone-sizeof-expression)
