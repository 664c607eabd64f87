// SPDX-License-Identifier: Apache-2.0

// Memory and events that processes share. Openers and strangers are started by the others' tests.

#include <fcntl.h>
#include <signal.h>  // NOLINT(modernize-deprecated-headers): raise and kill are POSIX, not C++
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "test/cuda/calls/device.hpp"

namespace isthmus::test {
namespace {

constexpr const char* handles_variable = "ISTHMUS_TEST_HANDLES";
constexpr std::size_t many = 1000;

// What one process tells the other.
struct Handles {
  CUipcMemHandle first;
  CUipcMemHandle second;
  CUipcEventHandle event;
  int goes_on = -1;  ///< a pipe: a byte in it lets the first one's stream go on
  CUmemPoolPtrExportData piece;
  int physical = -1;  ///< descriptors that the other process inherits
  int pool = -1;
};

std::string in_hex(const Handles& handles) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string text;
  std::array<unsigned char, sizeof handles> bytes{};
  std::memcpy(bytes.data(), &handles, sizeof handles);
  for (const unsigned char byte : bytes) {
    text += digits[byte / 16];
    text += digits[byte % 16];
  }
  return text;
}

Handles from_environment() {
  const std::string_view text = std::getenv(handles_variable);
  std::array<unsigned char, sizeof(Handles)> bytes{};
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<unsigned char>(std::stoi(std::string(text.substr(2 * i, 2)), nullptr, 16));
  }
  Handles handles{};
  std::memcpy(&handles, bytes.data(), bytes.size());
  return handles;
}

// Runs tests of this program in another process, with the handles; its exit status.
int run(const std::string& tests, const Handles& handles, const char* endpoint = nullptr) {
  setenv(handles_variable, in_hex(handles).c_str(), 1);
  const std::string before = std::getenv("ISTHMUS_ENDPOINT");
  if (endpoint != nullptr) {
    setenv("ISTHMUS_ENDPOINT", endpoint, 1);
  }
  std::string program = "/proc/self/exe";
  std::string filter = "--gtest_filter=" + tests;
  std::string hidden = "--gtest_also_run_disabled_tests";
  std::array<char*, 4> arguments{program.data(), filter.data(), hidden.data(), nullptr};
  pid_t process = 0;
  const int code = posix_spawn(&process, program.c_str(), nullptr, nullptr, arguments.data(), environ);
  setenv("ISTHMUS_ENDPOINT", before.c_str(), 1);
  int status = -1;
  return code == 0 && waitpid(process, &status, 0) == process ? status : -1;
}

class Sharing : public Cuda {
 public:
  static CUipcMemHandle handle_for(CUdeviceptr memory) {
    CUipcMemHandle handle{};
    EXPECT_EQ(cuIpcGetMemHandle(&handle, memory), CUDA_SUCCESS);
    return handle;
  }
  static CUevent shared_event(CUipcEventHandle& handle) {
    CUevent event = nullptr;
    EXPECT_EQ(cuEventCreate(&event, CU_EVENT_INTERPROCESS | CU_EVENT_DISABLE_TIMING), CUDA_SUCCESS);
    EXPECT_EQ(cuIpcGetEventHandle(&handle, event), CUDA_SUCCESS);
    return event;
  }
  static CUdeviceptr open(const CUipcMemHandle& handle) {
    CUdeviceptr at = 0;
    EXPECT_EQ(cuIpcOpenMemHandle(&at, handle, CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS), CUDA_SUCCESS);
    return at;
  }
};
class Opener : public Sharing {};
class Stranger : public Sharing {};

TEST_F(Sharing, reaches_another_process_of_the_vm_and_no_other) {
  // Two pieces of what the driver gave once, at most: each has its own borders there.
  const CUdeviceptr first = memory(many * sizeof(int));
  const CUdeviceptr second = memory(2 * many * sizeof(int));
  write(first, numbers(many, 1));
  write(second, numbers(2 * many, 7));
  Handles handles{.first = handle_for(first), .second = handle_for(second), .event = {}, .goes_on = -1, .piece = {}};
  EXPECT_EQ(std::memcmp(&handles.first, &handles.second, sizeof handles.first) == 0, false);
  const CUipcMemHandle again = handle_for(first);
  EXPECT_EQ(std::memcmp(&handles.first, &again, sizeof again), 0);
  CUevent event = shared_event(handles.event);
  CUstream in = stream();
  ASSERT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);
  std::array<int, 2> pipe_ends{};
  ASSERT_EQ(pipe(pipe_ends.data()), 0);
  handles.goes_on = pipe_ends[1];
  const auto wait_for_byte = [](void* end) {
    char byte = 0;
    EXPECT_EQ(::read(*static_cast<int*>(end), &byte, 1), 1);
  };
  ASSERT_EQ(cuLaunchHostFunc(in, wait_for_byte, pipe_ends.data()), CUDA_SUCCESS);
  ASSERT_EQ(launch(kernel("write_to"), in, first, 99), CUDA_SUCCESS);
  ASSERT_EQ(cuEventRecord(event, in), CUDA_SUCCESS);
  EXPECT_EQ(run("Opener.DISABLED_uses*", handles), 0);
  close(pipe_ends[1]);  // where nobody has written, it goes on all the same
  ASSERT_EQ(cuEventSynchronize(event), CUDA_SUCCESS) << "the other recorded it since";
  EXPECT_EQ(read<int>(second, 2 * many), numbers(2 * many, 1000));
  EXPECT_EQ(run("Stranger.DISABLED_of*", handles, "shm:other"), 0);
  ASSERT_EQ(cuMemFree(first), CUDA_SUCCESS);
  ASSERT_EQ(cuEventDestroy(event), CUDA_SUCCESS);
  EXPECT_EQ(run("Opener.DISABLED_finds*", handles), 0);
  EXPECT_EQ(cuMemFree(second), CUDA_SUCCESS);
}

TEST_F(Opener, DISABLED_uses_what_another_process_shares) {
  const Handles handles = from_environment();
  const CUdeviceptr first = open(handles.first);
  const CUdeviceptr second = open(handles.second);
  CUevent event = nullptr;
  ASSERT_EQ(cuIpcOpenEventHandle(&event, handles.event), CUDA_SUCCESS);
  EXPECT_EQ(cuEventQuery(event), CUDA_ERROR_NOT_READY) << "the other's stream has not come so far";
  CUstream in = stream();
  ASSERT_EQ(cuStreamWaitEvent(in, event, 0), CUDA_SUCCESS);
  int* const landed = pinned<int>(many);
  ASSERT_EQ(cuMemcpyDtoHAsync(landed, first, many * sizeof(int), in), CUDA_SUCCESS);
  EXPECT_EQ(cuStreamQuery(in), CUDA_ERROR_NOT_READY);
  ASSERT_EQ(::write(handles.goes_on, "", 1), 1);
  ASSERT_EQ(cuStreamSynchronize(in), CUDA_SUCCESS);
  const std::vector<int> values(landed, landed + many);
  auto expected = numbers(many, 1);
  expected.front() = 99;
  EXPECT_EQ(values, expected);
  EXPECT_EQ(read<int>(second, 2 * many), numbers(2 * many, 7));
  CUdeviceptr base = 0;
  std::size_t bytes = 0;
  ASSERT_EQ(cuMemGetAddressRange(&base, &bytes, first + 4), CUDA_SUCCESS);
  EXPECT_EQ(base, first);
  EXPECT_EQ(bytes, many * sizeof(int));
  EXPECT_EQ(cuMemsetD8(first, 0, bytes + 1), CUDA_ERROR_INVALID_VALUE);
  unsigned type = 0;
  ASSERT_EQ(cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, first), CUDA_SUCCESS);
  EXPECT_EQ(type, CU_MEMORYTYPE_DEVICE);
  CUipcMemHandle handle{};
  EXPECT_EQ(cuIpcGetMemHandle(&handle, first), CUDA_ERROR_INVALID_VALUE) << "it is another's to share";
  EXPECT_EQ(cuMemFree(first), CUDA_ERROR_INVALID_VALUE);
  // What is open twice has to be closed twice.
  EXPECT_EQ(open(handles.first), first);
  ASSERT_EQ(cuIpcCloseMemHandle(first), CUDA_SUCCESS);
  EXPECT_EQ(read<int>(first, 1), std::vector<int>{99});
  ASSERT_EQ(cuIpcCloseMemHandle(first), CUDA_SUCCESS);
  EXPECT_EQ(cuIpcCloseMemHandle(first), CUDA_ERROR_INVALID_VALUE);
  const auto answer = numbers(2 * many, 1000);
  ASSERT_EQ(cuMemcpyHtoDAsync(second, answer.data(), answer.size() * sizeof(int), in), CUDA_SUCCESS);
  ASSERT_EQ(cuEventRecord(event, in), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamSynchronize(in), CUDA_SUCCESS);
  EXPECT_EQ(cuIpcCloseMemHandle(second), CUDA_SUCCESS);
  EXPECT_EQ(cuMemsetD8(second, 0, 1), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuEventDestroy(event), CUDA_SUCCESS);
}

TEST_F(Opener, DISABLED_finds_what_was_freed_no_more) {
  const Handles handles = from_environment();
  CUdeviceptr at = 0;
  CUevent event = nullptr;
  EXPECT_EQ(cuIpcOpenMemHandle(&at, handles.first, CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuIpcOpenEventHandle(&event, handles.event), CUDA_ERROR_MAP_FAILED);
  at = open(handles.second);
  EXPECT_EQ(cuIpcCloseMemHandle(at), CUDA_SUCCESS);
}

TEST_F(Stranger, DISABLED_of_another_vm_finds_nothing) {
  const Handles handles = from_environment();
  CUdeviceptr at = 0;
  CUevent event = nullptr;
  EXPECT_EQ(cuIpcOpenMemHandle(&at, handles.first, CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuIpcOpenEventHandle(&event, handles.event), CUDA_ERROR_MAP_FAILED);
}

// A descriptor in the form in which it is taken.
void* as_taken(int descriptor) {
  return reinterpret_cast<void*>(static_cast<std::uintptr_t>(descriptor));  // NOLINT(performance-no-int-to-ptr)
}

constexpr auto by_descriptor = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;

TEST_F(Sharing, by_descriptors_reaches_another_process_of_the_vm_and_no_other) {
  int types = 0;
  ASSERT_EQ(cuDeviceGetAttribute(&types, CU_DEVICE_ATTRIBUTE_MEMPOOL_SUPPORTED_HANDLE_TYPES, 0), CUDA_SUCCESS);
  EXPECT_EQ(types, by_descriptor) << "and not what the driver has beside";
  CUmemAllocationProp about{};
  about.type = CU_MEM_ALLOCATION_TYPE_PINNED;
  about.location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = 0};
  about.requestedHandleTypes = by_descriptor;
  std::size_t unit = 0;
  ASSERT_EQ(cuMemGetAllocationGranularity(&unit, &about, CU_MEM_ALLOC_GRANULARITY_MINIMUM), CUDA_SUCCESS);
  CUmemGenericAllocationHandle physical = 0;
  CUdeviceptr mapped = 0;
  ASSERT_EQ(cuMemCreate(&physical, unit, &about, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuMemAddressReserve(&mapped, unit, 0, 0, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuMemMap(mapped, unit, 0, physical, 0), CUDA_SUCCESS);
  const CUmemAccessDesc access{.location = about.location, .flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE};
  ASSERT_EQ(cuMemSetAccess(mapped, unit, &access, 1), CUDA_SUCCESS);
  write(mapped, numbers(many, 3));
  CUmemPoolProps properties{};
  properties.allocType = CU_MEM_ALLOCATION_TYPE_PINNED;
  properties.handleTypes = by_descriptor;
  properties.location = about.location;
  CUmemoryPool pool = nullptr;
  CUdeviceptr piece = 0;
  ASSERT_EQ(cuMemPoolCreate(&pool, &properties), CUDA_SUCCESS);
  ASSERT_EQ(cuMemAllocFromPoolAsync(&piece, many * sizeof(int), pool, nullptr), CUDA_SUCCESS);
  write(piece, numbers(many, 5));
  ASSERT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);

  Handles handles{.first = {}, .second = {}, .event = {}, .piece = {}};
  ASSERT_EQ(cuMemExportToShareableHandle(&handles.physical, physical, by_descriptor, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuMemPoolExportToShareableHandle(&handles.pool, pool, by_descriptor, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuMemPoolExportPointer(&handles.piece, piece), CUDA_SUCCESS);
  EXPECT_EQ(cuMemPoolExportPointer(&handles.piece, piece + 4), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemPoolExportPointer(&handles.piece, mapped), CUDA_ERROR_INVALID_VALUE);
  for (const int descriptor : {handles.physical, handles.pool}) {
    EXPECT_EQ(fcntl(descriptor, F_GETFD), FD_CLOEXEC);
    EXPECT_NE(::write(descriptor, "", 1), 1) << "nobody changes what it says";
    fcntl(descriptor, F_SETFD, 0);
  }
  EXPECT_EQ(run("Opener.DISABLED_takes*", handles), 0);
  EXPECT_EQ(read<int>(mapped, many), numbers(many, 33));
  EXPECT_EQ(read<int>(piece, many), numbers(many, 55));
  EXPECT_EQ(run("Stranger.DISABLED_takes*", handles, "shm:other"), 0);
  // What is gone is not shared any more.
  ASSERT_EQ(cuMemUnmap(mapped, unit), CUDA_SUCCESS);
  ASSERT_EQ(cuMemRelease(physical), CUDA_SUCCESS);
  ASSERT_EQ(cuMemFreeAsync(piece, nullptr), CUDA_SUCCESS);
  ASSERT_EQ(cuMemPoolDestroy(pool), CUDA_SUCCESS);
  EXPECT_EQ(run("Stranger.DISABLED_takes*", handles), 0);
  EXPECT_EQ(cuMemAddressFree(mapped, unit), CUDA_SUCCESS);

  CUmemGenericAllocationHandle plain = 0;
  int none = -1;
  about.requestedHandleTypes = CU_MEM_HANDLE_TYPE_NONE;
  ASSERT_EQ(cuMemCreate(&plain, unit, &about, 0), CUDA_SUCCESS);
  EXPECT_EQ(cuMemExportToShareableHandle(&none, plain, by_descriptor, 0), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemRelease(plain), CUDA_SUCCESS);
  EXPECT_EQ(cuMemExportToShareableHandle(&none, plain, by_descriptor, 0), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemImportFromShareableHandle(&plain, as_taken(-1), by_descriptor), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemImportFromShareableHandle(&plain, as_taken(handles.pool), by_descriptor), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemPoolImportFromShareableHandle(&pool, as_taken(0), by_descriptor, 0), CUDA_ERROR_INVALID_VALUE);
  close(handles.physical);
  close(handles.pool);
}

// In a VM that has 64 MiB of device memory.
class SharedQuota : public Sharing {
 public:
  static std::size_t free_memory() {
    std::size_t free = 0;
    std::size_t total = 0;
    EXPECT_EQ(cuMemGetInfo(&free, &total), CUDA_SUCCESS);
    return free;
  }
};

constexpr std::size_t mib = std::size_t{1} << 20;

TEST_F(SharedQuota, counts_what_is_open_until_its_process_is_gone) {
  const CUdeviceptr there = memory(20 * mib);
  const Handles handles{.first = handle_for(there), .second = {}, .event = {}, .piece = {}};
  ASSERT_EQ(free_memory(), 44 * mib);
  EXPECT_EQ(run("SharedQuota.DISABLED_*", handles), SIGKILL);
  const auto patience = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (free_memory() != 44 * mib && std::chrono::steady_clock::now() < patience) {
  }
  EXPECT_EQ(free_memory(), 44 * mib);
  EXPECT_EQ(cuMemFree(there), CUDA_SUCCESS);
}

TEST_F(SharedQuota, DISABLED_opens_and_is_killed) {
  const Handles handles = from_environment();
  const CUdeviceptr there = open(handles.first);
  ASSERT_EQ(open(handles.first), there);
  ASSERT_EQ(free_memory(), 16 * mib) << "once, however often it is open; and another context";
  CUdeviceptr none = 0;
  ASSERT_EQ(cuMemAlloc(&none, 17 * mib), CUDA_ERROR_OUT_OF_MEMORY);
  ASSERT_EQ(cuIpcCloseMemHandle(there), CUDA_SUCCESS);
  ASSERT_EQ(free_memory(), 16 * mib);
  ASSERT_EQ(cuIpcCloseMemHandle(there), CUDA_SUCCESS);
  ASSERT_EQ(free_memory(), 36 * mib);
  ASSERT_EQ(open(handles.first) != 0, true);
  raise(SIGKILL);
}

TEST_F(Opener, DISABLED_takes_descriptors) {
  Handles handles = from_environment();
  CUmemGenericAllocationHandle physical = 0;
  CUmemAllocationProp about{};
  ASSERT_EQ(cuMemImportFromShareableHandle(&physical, as_taken(handles.physical), by_descriptor), CUDA_SUCCESS);
  ASSERT_EQ(cuMemGetAllocationPropertiesFromHandle(&about, physical), CUDA_SUCCESS);
  EXPECT_EQ(about.location.type, CU_MEM_LOCATION_TYPE_DEVICE);
  std::size_t unit = 0;
  ASSERT_EQ(cuMemGetAllocationGranularity(&unit, &about, CU_MEM_ALLOC_GRANULARITY_MINIMUM), CUDA_SUCCESS);
  CUdeviceptr mapped = 0;
  ASSERT_EQ(cuMemAddressReserve(&mapped, unit, 0, 0, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuMemMap(mapped, unit, 0, physical, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuMemRelease(physical), CUDA_SUCCESS);
  const CUmemAccessDesc access{.location = about.location, .flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE};
  ASSERT_EQ(cuMemSetAccess(mapped, unit, &access, 1), CUDA_SUCCESS);
  EXPECT_EQ(read<int>(mapped, many), numbers(many, 3));
  write(mapped, numbers(many, 33));
  CUmemoryPool pool = nullptr;
  CUdeviceptr piece = 0;
  ASSERT_EQ(cuMemPoolImportFromShareableHandle(&pool, as_taken(handles.pool), by_descriptor, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuMemPoolImportPointer(&piece, pool, &handles.piece), CUDA_SUCCESS);
  EXPECT_EQ(read<int>(piece, many), numbers(many, 5));
  write(piece, numbers(many, 55));
  EXPECT_EQ(cuMemsetD8(piece, 0, many * sizeof(int) + 1), CUDA_ERROR_INVALID_VALUE);
  CUdeviceptr none = 0;
  EXPECT_EQ(cuMemAllocFromPoolAsync(&none, 64, pool, nullptr), CUDA_ERROR_INVALID_VALUE) << "it is another's";
  ASSERT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);
  EXPECT_EQ(cuMemFreeAsync(piece, nullptr), CUDA_SUCCESS);
  EXPECT_EQ(cuMemUnmap(mapped, unit), CUDA_SUCCESS);
  EXPECT_EQ(cuMemAddressFree(mapped, unit), CUDA_SUCCESS);
  EXPECT_EQ(cuMemPoolDestroy(pool), CUDA_SUCCESS);
}

TEST_F(Stranger, DISABLED_takes_descriptors_that_lead_nowhere) {
  Handles handles = from_environment();
  CUmemGenericAllocationHandle physical = 0;
  CUmemoryPool pool = nullptr;
  EXPECT_EQ(cuMemImportFromShareableHandle(&physical, as_taken(handles.physical), by_descriptor),
            CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemPoolImportFromShareableHandle(&pool, as_taken(handles.pool), by_descriptor, 0),
            CUDA_ERROR_INVALID_VALUE);
}

TEST_F(Sharing, of_what_cannot_be_shared_is_refused) {
  CUipcMemHandle handle{};
  CUipcEventHandle event_handle{};
  CUdeviceptr at = 0;
  CUevent event = nullptr;
  const CUdeviceptr there = memory(64);
  EXPECT_EQ(cuIpcGetMemHandle(nullptr, there), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuIpcGetMemHandle(&handle, 4096), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuIpcGetMemHandle(&handle, reinterpret_cast<CUdeviceptr>(pinned<int>(4))), CUDA_ERROR_INVALID_VALUE);
  ASSERT_EQ(cuMemAllocAsync(&at, 64, nullptr), CUDA_SUCCESS);
  EXPECT_EQ(cuIpcGetMemHandle(&handle, at), CUDA_ERROR_INVALID_VALUE) << "of a pool";
  EXPECT_EQ(cuMemFree(at), CUDA_SUCCESS);
  EXPECT_EQ(cuIpcCloseMemHandle(there), CUDA_ERROR_INVALID_VALUE);
  constexpr unsigned flags = CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS;
  EXPECT_EQ(cuIpcOpenMemHandle(&at, handle, flags), CUDA_ERROR_INVALID_VALUE) << "no handle";
  handle = handle_for(there);
  EXPECT_EQ(cuIpcOpenMemHandle(&at, handle, flags), CUDA_ERROR_INVALID_CONTEXT) << "the process's own";
  EXPECT_EQ(cuIpcOpenMemHandle(nullptr, handle, flags), CUDA_ERROR_INVALID_VALUE);
  std::memcpy(&event_handle, &handle, sizeof handle);
  EXPECT_EQ(cuIpcOpenEventHandle(&event, event_handle), CUDA_ERROR_MAP_FAILED) << "it is memory";
  handle.reserved[30] = static_cast<char>(handle.reserved[30] ^ 1);
  EXPECT_EQ(cuIpcOpenMemHandle(&at, handle, flags), CUDA_ERROR_INVALID_VALUE) << "one bit";
  EXPECT_EQ(cuEventCreate(&event, CU_EVENT_INTERPROCESS), CUDA_ERROR_INVALID_VALUE) << "it would keep time";
  ASSERT_EQ(cuEventCreate(&event, CU_EVENT_DISABLE_TIMING), CUDA_SUCCESS);
  EXPECT_EQ(cuIpcGetEventHandle(&event_handle, event), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(cuIpcGetEventHandle(&event_handle, nullptr), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuEventDestroy(event), CUDA_SUCCESS);
  EXPECT_EQ(cuMemFree(there), CUDA_SUCCESS);
}

}  // namespace
}  // namespace isthmus::test
