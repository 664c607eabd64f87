// SPDX-License-Identifier: Apache-2.0
#include <dlfcn.h>

#include <atomic>
#include <string>
#include <thread>

#include "test/cuda/calls/device.hpp"

namespace isthmus::test {
namespace {

class Contexts : public Cuda {};

TEST_F(Contexts, are_each_threads_own_stack) {
  CUcontext other = nullptr;
  ASSERT_EQ(cuCtxCreate(&other, nullptr, 0, 0), CUDA_SUCCESS);
  CUcontext now = nullptr;
  ASSERT_EQ(cuCtxGetCurrent(&now), CUDA_SUCCESS);
  EXPECT_EQ(now, other);
  std::thread([] {
    CUcontext mine = reinterpret_cast<CUcontext>(1);  // NOLINT
    EXPECT_EQ(cuCtxGetCurrent(&mine), CUDA_SUCCESS);
    EXPECT_EQ(mine, nullptr);
    CUdeviceptr none = 0;
    EXPECT_EQ(cuMemAlloc(&none, 64), CUDA_ERROR_INVALID_CONTEXT);
  }).join();
  CUcontext popped = nullptr;
  ASSERT_EQ(cuCtxPopCurrent(&popped), CUDA_SUCCESS);
  EXPECT_EQ(popped, other);
  ASSERT_EQ(cuCtxGetCurrent(&now), CUDA_SUCCESS);
  EXPECT_EQ(now, context);
  EXPECT_EQ(cuCtxDestroy(other), CUDA_SUCCESS);
  EXPECT_EQ(cuCtxDestroy(other), CUDA_ERROR_INVALID_CONTEXT);
  EXPECT_EQ(cuCtxSetCurrent(other), CUDA_ERROR_INVALID_CONTEXT);
  EXPECT_EQ(cuCtxDestroy(context), CUDA_ERROR_INVALID_CONTEXT) << "a primary context is only released";
}

TEST_F(Contexts, take_their_streams_and_memory_with_them) {
  CUcontext other = nullptr;
  ASSERT_EQ(cuCtxCreate(&other, nullptr, 0, 0), CUDA_SUCCESS);
  const CUdeviceptr there = memory(64);
  CUstream in = stream();
  CUevent event = nullptr;
  ASSERT_EQ(cuEventCreate(&event, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuCtxDestroy(other), CUDA_SUCCESS);
  EXPECT_EQ(cuStreamSynchronize(in), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(cuEventRecord(event, nullptr), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(cuMemFree(there), CUDA_ERROR_INVALID_VALUE);
}

TEST_F(Contexts, begin_anew_after_a_reset) {
  const CUdeviceptr there = memory(64);
  ASSERT_EQ(cuDevicePrimaryCtxReset(0), CUDA_SUCCESS);
  CUdeviceptr none = 0;
  EXPECT_EQ(cuMemAlloc(&none, 64), CUDA_ERROR_CONTEXT_IS_DESTROYED);
  CUcontext again = nullptr;
  ASSERT_EQ(cuDevicePrimaryCtxRetain(&again, 0), CUDA_SUCCESS);
  EXPECT_EQ(again, context);
  EXPECT_EQ(cuMemFree(there), CUDA_ERROR_INVALID_VALUE);
  int* const here = pinned<int>(64);
  const CUdeviceptr anew = memory(256);
  EXPECT_EQ(cuMemcpyHtoD(anew, here, 256), CUDA_SUCCESS) << "the slab is registered again";
  EXPECT_EQ(cuDevicePrimaryCtxRelease(0), CUDA_SUCCESS);
}

TEST_F(Contexts, give_their_pinned_memory_back) {
  for (int i = 0; i < 40; ++i) {  // 640 MiB of a region of 256
    ASSERT_NE(pinned<char>(std::size_t{16} << 20), nullptr);
    ASSERT_EQ(cuDevicePrimaryCtxReset(0), CUDA_SUCCESS);
    CUcontext again = nullptr;
    ASSERT_EQ(cuDevicePrimaryCtxRetain(&again, 0), CUDA_SUCCESS);
    ASSERT_EQ(cuDevicePrimaryCtxRelease(0), CUDA_SUCCESS);
  }
}

TEST_F(Contexts, leave_the_pinned_memory_of_others_to_the_gpu) {
  CUcontext other = nullptr;
  ASSERT_EQ(cuCtxCreate(&other, nullptr, 0, 0), CUDA_SUCCESS);
  (void)pinned<int>(1);  // so the memory is registered under this one
  ASSERT_EQ(cuCtxSetCurrent(context), CUDA_SUCCESS);
  int* const here = pinned<int>(1);
  CUfunction writer = kernel("write_to");
  ASSERT_EQ(cuCtxDestroy(other), CUDA_SUCCESS);
  ASSERT_EQ(cuCtxSetCurrent(context), CUDA_SUCCESS);
  ASSERT_EQ(launch(writer, nullptr, reinterpret_cast<CUdeviceptr>(here), 78), CUDA_SUCCESS);
  ASSERT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);
  EXPECT_EQ(*here, 78);
}

class Devices : public Cuda {};

TEST_F(Devices, tell_what_they_are_and_hide_what_is_not_kept) {
  int count = 0;
  ASSERT_EQ(cuDeviceGetCount(&count), CUDA_SUCCESS);
  ASSERT_GE(count, 1);
  std::array<char, 100> name{};
  ASSERT_EQ(cuDeviceGetName(name.data(), name.size(), 0), CUDA_SUCCESS);
  EXPECT_NE(std::string(name.data()).find("test double"), std::string::npos);
  int value = 1;
  ASSERT_EQ(cuDeviceGetAttribute(&value, CU_DEVICE_ATTRIBUTE_DMA_BUF_SUPPORTED, 0), CUDA_SUCCESS);
  EXPECT_EQ(value, 0);
  ASSERT_EQ(cuDeviceGetAttribute(&value, CU_DEVICE_ATTRIBUTE_WARP_SIZE, 0), CUDA_SUCCESS);
  EXPECT_EQ(value, 32);
  EXPECT_EQ(cuDeviceGetAttribute(&value, static_cast<CUdevice_attribute>(250), 0), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuDeviceGetAttribute(&value, CU_DEVICE_ATTRIBUTE_WARP_SIZE, count), CUDA_ERROR_INVALID_DEVICE);
  CUdevice again = -1;
  std::array<char, 20> bus{};
  ASSERT_EQ(cuDeviceGetPCIBusId(bus.data(), bus.size(), 0), CUDA_SUCCESS);
  ASSERT_EQ(cuDeviceGetByPCIBusId(&again, bus.data()), CUDA_SUCCESS);
  EXPECT_EQ(again, 0);
  const char* text = nullptr;
  ASSERT_EQ(cuGetErrorString(CUDA_ERROR_INVALID_VALUE, &text), CUDA_SUCCESS);
  EXPECT_STREQ(text, "invalid argument");
  ASSERT_EQ(cuGetErrorName(CUDA_ERROR_NOT_READY, &text), CUDA_SUCCESS);
  EXPECT_STREQ(text, "CUDA_ERROR_NOT_READY");
  EXPECT_EQ(cuGetErrorName(static_cast<CUresult>(1000), &text), CUDA_ERROR_INVALID_VALUE);
}

TEST_F(Devices, have_functions_found_by_name) {
  void* found = nullptr;
  CUdriverProcAddressQueryResult result{};
  ASSERT_EQ(cuGetProcAddress("cuMemAlloc", &found, CUDA_VERSION, 0, &result), CUDA_SUCCESS);
  EXPECT_EQ(result, CU_GET_PROC_ADDRESS_SUCCESS);
  EXPECT_EQ(found, reinterpret_cast<void*>(&cuMemAlloc));
  ASSERT_EQ(
      cuGetProcAddress("cuLaunchKernel", &found, CUDA_VERSION, CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM, &result),
      CUDA_SUCCESS);
  EXPECT_NE(found, nullptr);
  EXPECT_NE(found, reinterpret_cast<void*>(&cuLaunchKernel));
  ASSERT_EQ(cuGetProcAddress("cuLibraryLoadData", &found, 11000, 0, &result), CUDA_SUCCESS);
  EXPECT_EQ(result, CU_GET_PROC_ADDRESS_VERSION_NOT_SUFFICIENT);
  EXPECT_EQ(found, nullptr);
  ASSERT_EQ(cuGetProcAddress("cuEGLApiInit", &found, CUDA_VERSION, 0, &result), CUDA_SUCCESS);
  EXPECT_EQ(result, CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND);
  EXPECT_EQ(found, nullptr);
}

TEST_F(Devices, refuse_what_is_there_for_those_alone_who_load_every_name) {
  for (const char* name : {"cuTexRefCreate", "cuLaunchGrid", "cuGraphicsMapResources", "cuCtxAttach"}) {
    void* const found = dlsym(RTLD_DEFAULT, name);
    ASSERT_NE(found, nullptr) << name;
    EXPECT_EQ(reinterpret_cast<CUresult (*)(void*)>(found)(nullptr), CUDA_ERROR_NOT_SUPPORTED) << name;
    void* asked = nullptr;
    EXPECT_EQ(cuGetProcAddress(name, &asked, CUDA_VERSION, 0, nullptr), CUDA_ERROR_NOT_FOUND) << name;
  }
  // Older forms do as the newer ones.
  CUcontext mine = nullptr;
  const auto pop = reinterpret_cast<CUresult (*)(CUcontext*)>(dlsym(RTLD_DEFAULT, "cuCtxPopCurrent"));
  ASSERT_EQ(pop(&mine), CUDA_SUCCESS);
  EXPECT_EQ(mine, context);
  EXPECT_EQ(cuCtxSetCurrent(mine), CUDA_SUCCESS);
}

TEST_F(Devices, refuse_tables_that_are_not_documented) {
  const auto* table = static_cast<const void*>(&context);
  const CUuuid which{};
  EXPECT_EQ(cuGetExportTable(&table, &which), CUDA_ERROR_NOT_FOUND);
  EXPECT_EQ(table, nullptr);
  EXPECT_EQ(cuGetExportTable(nullptr, &which), CUDA_ERROR_INVALID_VALUE);
}

class Work : public Cuda {};

// What cuLinkCreate is told, and what it tells.
class Linking {
 public:
  explicit Linking(std::size_t error_room = 200) : error_(error_room, '?') {
    values_ = {nullptr, info_.data(), number(info_.size()), error_.data(), number(error_.size())};
    EXPECT_EQ(cuLinkCreate(static_cast<unsigned>(names_.size()), names_.data(), values_.data(), &state), CUDA_SUCCESS);
  }
  CUresult add(const char* ptx) const {
    std::string text(ptx);
    return cuLinkAddData(state, CU_JIT_INPUT_PTX, text.data(), text.size() + 1, "part", 0, nullptr, nullptr);
  }
  [[nodiscard]] float time() const {
    float milliseconds = 0;
    std::memcpy(&milliseconds, static_cast<const void*>(values_.data()), sizeof milliseconds);
    return milliseconds;
  }
  [[nodiscard]] std::string info() const { return info_.data(); }
  [[nodiscard]] std::string error() const { return error_.data(); }

  CUlinkState state = nullptr;

 private:
  // NOLINTNEXTLINE(performance-no-int-to-ptr): the interface takes numbers in the form of pointers
  static void* number(std::size_t value) { return reinterpret_cast<void*>(value); }

  std::array<CUjit_option, 5> names_{CU_JIT_WALL_TIME, CU_JIT_INFO_LOG_BUFFER, CU_JIT_INFO_LOG_BUFFER_SIZE_BYTES,
                                     CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
  std::array<void*, 5> values_{};
  std::array<char, 100> info_{};
  std::vector<char> error_;
};

TEST_F(Work, is_linked_from_parts) {
  constexpr const char* first =
      ".version 8.0\n.target sm_90\n.address_size 64\n"
      ".visible .entry nothing() { ret; }\n";
  constexpr const char* second =
      ".version 8.0\n.target sm_90\n.address_size 64\n"
      ".visible .entry write_to(.param .u64 where, .param .u32 value) { ret; }\n";
  const Linking link;
  ASSERT_EQ(link.add(first), CUDA_SUCCESS);
  ASSERT_EQ(link.add(second), CUDA_SUCCESS);
  void* image = nullptr;
  std::size_t size = 0;
  ASSERT_EQ(cuLinkComplete(link.state, &image, &size), CUDA_SUCCESS);
  EXPECT_EQ(size, std::strlen(static_cast<const char*>(image)) + 1);
  EXPECT_EQ(link.info(), "stand-in: linked\n");
  EXPECT_EQ(link.time(), 0.25F);
  CUmodule linked = nullptr;
  ASSERT_EQ(cuModuleLoadData(&linked, image), CUDA_SUCCESS);
  EXPECT_EQ(cuLinkDestroy(link.state), CUDA_SUCCESS);
  CUfunction function = nullptr;
  ASSERT_EQ(cuModuleGetFunction(&function, linked, "nothing"), CUDA_SUCCESS);
  ASSERT_EQ(cuModuleGetFunction(&function, linked, "write_to"), CUDA_SUCCESS);
  const CUdeviceptr to = memory(4);
  EXPECT_EQ(launch(function, nullptr, to, 77), CUDA_SUCCESS);
  EXPECT_EQ(read<int>(to, 1).front(), 77);
  EXPECT_EQ(cuLinkComplete(link.state, &image, &size), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(cuLinkDestroy(link.state), CUDA_ERROR_INVALID_HANDLE);
}

TEST_F(Work, that_does_not_link_says_why) {
  const Linking link;
  EXPECT_EQ(link.add("no PTX"), CUDA_ERROR_INVALID_PTX);
  EXPECT_EQ(link.error(), "stand-in: part: no PTX\n");
  const Linking cut(10);  // as much as there is room for, with the NUL
  EXPECT_EQ(cut.add(".version 8.0 .entry a(.param .wrong x)"), CUDA_ERROR_INVALID_PTX);
  EXPECT_LT(cut.error().size(), 10U);
  void* image = nullptr;
  std::size_t size = 0;
  EXPECT_EQ(cuLinkComplete(link.state, &image, &size), CUDA_ERROR_INVALID_IMAGE);
  char byte = 0;
  EXPECT_EQ(cuLinkAddData(link.state, CU_JIT_INPUT_PTX, nullptr, 1, "", 0, nullptr, nullptr), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuLinkAddData(link.state, CU_JIT_INPUT_PTX, &byte, 0, "", 0, nullptr, nullptr), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuLinkAddData(link.state, CU_JIT_NUM_INPUT_TYPES, &byte, 1, "", 0, nullptr, nullptr),
            CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuLinkAddFile(link.state, CU_JIT_INPUT_PTX, "/nowhere/at/all", 0, nullptr, nullptr),
            CUDA_ERROR_FILE_NOT_FOUND);
  EXPECT_EQ(cuLinkCreate(1, nullptr, nullptr, nullptr), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuLinkDestroy(reinterpret_cast<CUlinkState>(context)), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(cuLinkDestroy(link.state), CUDA_SUCCESS);
  EXPECT_EQ(cuLinkDestroy(cut.state), CUDA_SUCCESS);
}

TEST_F(Work, of_a_stream_is_posted_while_it_is_busy) {
  CUstream busy = stream();
  const CUdeviceptr cell = memory(4);
  int* const here = pinned<int>(1);
  CUevent begun = nullptr;
  CUevent event = nullptr;
  ASSERT_EQ(cuEventCreate(&event, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuEventCreate(&begun, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuEventRecord(begun, busy), CUDA_SUCCESS);
  Gate gate;
  hold(busy, gate);
  dawdle(busy, 20);
  CUstream second = stream();
  ASSERT_EQ(cuMemsetD32Async(cell, 1, 1, busy), CUDA_SUCCESS);
  for (int i = 2; i < 5; ++i) {
    ASSERT_EQ(launch(kernel("scale_and_add"), busy, cell, 10, i, 1), CUDA_SUCCESS);
  }
  ASSERT_EQ(cuEventRecord(event, busy), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamWaitEvent(second, event, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuMemcpyDtoHAsync(here, cell, 4, second), CUDA_SUCCESS);
  // None of these has waited for the kernel.
  EXPECT_EQ(cuEventQuery(event), CUDA_ERROR_NOT_READY);
  EXPECT_EQ(cuStreamQuery(second), CUDA_ERROR_NOT_READY);
  gate.open();
  ASSERT_EQ(cuStreamSynchronize(second), CUDA_SUCCESS);
  EXPECT_EQ(*here, 1234);
  EXPECT_EQ(cuEventQuery(event), CUDA_SUCCESS);
  float milliseconds = 0;
  ASSERT_EQ(cuEventElapsedTime(&milliseconds, begun, event), CUDA_SUCCESS);
  EXPECT_GE(milliseconds, 19);
  EXPECT_EQ(cuStreamDestroy(second), CUDA_SUCCESS);
  EXPECT_EQ(cuEventDestroy(event), CUDA_SUCCESS);
}

TEST_F(Work, of_several_threads_keeps_its_order) {
  const CUdeviceptr cell = memory(4);
  ASSERT_EQ(cuMemsetD32(cell, 0, 1), CUDA_SUCCESS);
  CUfunction step = kernel("scale_and_add");
  std::atomic<int> baton{0};
  constexpr int threads = 4;
  constexpr int rounds = 200;
  std::vector<std::thread> all;
  for (int me = 0; me < threads; ++me) {
    all.emplace_back([&, me] {
      EXPECT_EQ(cuCtxSetCurrent(context), CUDA_SUCCESS);
      for (int turn = me; turn < rounds; turn += threads) {
        while (baton.load() != turn) {
          std::this_thread::yield();
        }
        EXPECT_EQ(launch(step, nullptr, cell, 3, turn, 1), CUDA_SUCCESS);
        baton.store(turn + 1);
      }
    });
  }
  for (std::thread& thread : all) {
    thread.join();
  }
  unsigned expected = 0;
  for (unsigned turn = 0; turn < rounds; ++turn) {
    expected = expected * 3 + turn;
  }
  EXPECT_EQ(read<unsigned>(cell, 1)[0], expected);
}

TEST_F(Work, takes_parameters_in_a_buffer_too) {
  const CUdeviceptr cell = memory(4);
  struct {
    CUdeviceptr where;
    int value;
    int padding;
  } packed{cell, 55, 0};
  std::size_t size = sizeof packed;
  std::array<void*, 5> extra{CU_LAUNCH_PARAM_BUFFER_POINTER, &packed, CU_LAUNCH_PARAM_BUFFER_SIZE, &size,
                             CU_LAUNCH_PARAM_END};
  ASSERT_EQ(cuLaunchKernel(kernel("write_to"), 1, 1, 1, 1, 1, 1, 0, nullptr, nullptr, extra.data()), CUDA_SUCCESS);
  EXPECT_EQ(read<int>(cell, 1)[0], 55);
  size = 8;
  EXPECT_EQ(cuLaunchKernel(kernel("write_to"), 1, 1, 1, 1, 1, 1, 0, nullptr, nullptr, extra.data()),
            CUDA_ERROR_INVALID_VALUE);
}

TEST_F(Work, is_launched_by_libraries_kernels_with_attributes_and_cooperatively) {
  CUlibrary library = nullptr;
  CUkernel writer = nullptr;
  ASSERT_EQ(cuLibraryLoadData(&library, kernels, nullptr, nullptr, 0, nullptr, nullptr, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuLibraryGetKernel(&writer, library, "write_to"), CUDA_SUCCESS);
  EXPECT_EQ(cuLibraryGetKernel(&writer, library, "no_such_kernel"), CUDA_ERROR_NOT_FOUND);
  CUfunction function = nullptr;
  ASSERT_EQ(cuKernelGetFunction(&function, writer), CUDA_SUCCESS);
  CUdeviceptr room = 0;
  std::size_t size = 0;
  ASSERT_EQ(cuLibraryGetGlobal(&room, &size, library, "room"), CUDA_SUCCESS);
  EXPECT_EQ(size, 64U);
  int value = 1;
  std::array<void*, 2> parameters{&room, &value};
  CUlaunchAttribute attribute{};
  attribute.id = CU_LAUNCH_ATTRIBUTE_PRIORITY;
  CUlaunchConfig config{};
  config.gridDimX = config.gridDimY = config.gridDimZ = 1;
  config.blockDimX = config.blockDimY = config.blockDimZ = 1;
  config.attrs = &attribute;
  config.numAttrs = 1;
  ASSERT_EQ(cuLaunchKernelEx(&config, reinterpret_cast<CUfunction>(writer), parameters.data(), nullptr), CUDA_SUCCESS);
  EXPECT_EQ(read<int>(room, 1)[0], 1);
  value = 2;
  ASSERT_EQ(cuLaunchCooperativeKernel(function, 1, 1, 1, 1, 1, 1, 0, nullptr, parameters.data()), CUDA_SUCCESS);
  EXPECT_EQ(read<int>(room, 1)[0], 2);
  const char* name = nullptr;
  ASSERT_EQ(cuKernelGetName(&name, writer), CUDA_SUCCESS);
  EXPECT_STREQ(name, "write_to");
  int blocks = 0;
  EXPECT_EQ(cuOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, function, 128, 0), CUDA_SUCCESS);
  EXPECT_GT(blocks, 0);
  ASSERT_EQ(cuLibraryUnload(library), CUDA_SUCCESS);
  EXPECT_EQ(cuLibraryGetKernel(&writer, library, "write_to"), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(cuLaunchKernel(function, 1, 1, 1, 1, 1, 1, 0, nullptr, parameters.data(), nullptr),
            CUDA_ERROR_INVALID_HANDLE);
}

struct Note {
  std::atomic<int>* order;
  int seen;
  CUresult inside;
};

void CUDA_CB take_number(void* data) {
  auto* const note = static_cast<Note*>(data);
  note->seen = note->order->fetch_add(1);
  CUdeviceptr none = 0;
  note->inside = cuMemAlloc(&none, 64);
}

TEST_F(Work, runs_the_programs_functions_in_its_order) {
  std::atomic<int> order{0};
  CUstream in = stream();
  const CUdeviceptr cell = memory(4);
  int* const here = pinned<int>(1);
  Note first{&order, -1, CUDA_SUCCESS};
  Note second{&order, -1, CUDA_SUCCESS};
  Gate gate;
  hold(in, gate);
  ASSERT_EQ(cuLaunchHostFunc(in, take_number, &first), CUDA_SUCCESS);
  EXPECT_EQ(order.load(), 0);
  ASSERT_EQ(cuMemsetD32Async(cell, 9, 1, in), CUDA_SUCCESS);
  ASSERT_EQ(cuMemcpyDtoHAsync(here, cell, 4, in), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamAddCallback(
                in,
                [](CUstream, CUresult status, void* data) {
                  if (status == CUDA_SUCCESS) {
                    take_number(data);
                  }
                },
                &second, 0),
            CUDA_SUCCESS);
  gate.open();
  ASSERT_EQ(cuStreamSynchronize(in), CUDA_SUCCESS);
  EXPECT_EQ(first.seen, 0);
  EXPECT_EQ(second.seen, 1);
  EXPECT_EQ(first.inside, CUDA_ERROR_NOT_PERMITTED);
  EXPECT_EQ(*here, 9);
}

TEST_F(Work, of_the_threads_own_stream_waits_for_nobody_else) {
  const CUdeviceptr cell = memory(4);
  CUstream busy = stream();
  Gate gate;
  hold(busy, gate);
  ASSERT_EQ(launch(kernel("write_to"), CU_STREAM_PER_THREAD, cell, 5), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamSynchronize(CU_STREAM_PER_THREAD), CUDA_SUCCESS);
  EXPECT_EQ(cuStreamQuery(busy), CUDA_ERROR_NOT_READY);
  gate.open();
  EXPECT_EQ(read<int>(cell, 1)[0], 5);
}

class BadInput : public Cuda {};

TEST_F(BadInput, handles_that_are_none) {
  const auto wild = [](std::uintptr_t value) { return reinterpret_cast<void*>(value); };  // NOLINT
  int local = 0;
  for (void* const bad : {wild(3), wild(0xdead'beef'dead'beef), static_cast<void*>(&local), wild(UINTPTR_MAX),
                          wild(0x0020'0000'0000'0000), static_cast<void*>(module), static_cast<void*>(context)}) {
    EXPECT_EQ(cuStreamSynchronize(static_cast<CUstream>(bad)), CUDA_ERROR_INVALID_HANDLE);
    EXPECT_EQ(cuStreamDestroy(static_cast<CUstream>(bad)), CUDA_ERROR_INVALID_HANDLE);
    EXPECT_EQ(cuEventQuery(static_cast<CUevent>(bad)), CUDA_ERROR_INVALID_HANDLE);
    EXPECT_EQ(cuEventRecord(static_cast<CUevent>(bad), nullptr), CUDA_ERROR_INVALID_HANDLE);
    EXPECT_EQ(cuLaunchKernel(static_cast<CUfunction>(bad), 1, 1, 1, 1, 1, 1, 0, nullptr, nullptr, nullptr),
              CUDA_ERROR_INVALID_HANDLE);
    EXPECT_EQ(cuLibraryUnload(static_cast<CUlibrary>(bad)), CUDA_ERROR_INVALID_HANDLE);
    if (bad != static_cast<void*>(context)) {
      EXPECT_EQ(cuCtxSetCurrent(static_cast<CUcontext>(bad)), CUDA_ERROR_INVALID_CONTEXT);
    }
  }
  CUstream once = stream();
  EXPECT_EQ(cuStreamDestroy(once), CUDA_SUCCESS);
  EXPECT_EQ(cuStreamDestroy(once), CUDA_ERROR_INVALID_HANDLE);
  CUstream again = stream();
  EXPECT_NE(again, once) << "a handle is not used again";
}

TEST_F(BadInput, launches_that_cannot_be) {
  const auto start = [](CUfunction function, std::array<unsigned, 6> shape, unsigned shared = 0) {
    return cuLaunchKernel(function, shape[0], shape[1], shape[2], shape[3], shape[4], shape[5], shared, nullptr,
                          nullptr, nullptr);
  };
  CUfunction nothing = kernel("nothing");
  EXPECT_EQ(start(nothing, {0, 1, 1, 1, 1, 1}), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(start(nothing, {1, 1, 1, 1025, 1, 1}), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(start(nothing, {1, 1, 1, 64, 64, 1}), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(start(nothing, {1, 70'000, 1, 1, 1, 1}), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(start(nothing, {1, 1, 1, UINT32_MAX, UINT32_MAX, UINT32_MAX}), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(start(nothing, {1, 1, 1, 1, 1, 1}, 1U << 30), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(start(kernel("write_to"), {1, 1, 1, 1, 1, 1}), CUDA_ERROR_INVALID_VALUE) << "no parameters";
  EXPECT_EQ(start(nothing, {1, 1, 1, 1, 1, 1}), CUDA_SUCCESS);
  EXPECT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);
}

TEST_F(BadInput, images_that_are_none) {
  CUmodule none = nullptr;
  const std::array<unsigned, 8> fatbin{0xba55ed50, 0x00100001, 0xffffffff, 0xffffffff};
  const std::array<unsigned, 32> elf{0x464c457f, 0x00010102};
  EXPECT_EQ(cuModuleLoadData(&none, nullptr), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuModuleLoadData(&none, fatbin.data()), CUDA_ERROR_INVALID_IMAGE);
  EXPECT_NE(cuModuleLoadData(&none, elf.data()), CUDA_SUCCESS);
  EXPECT_EQ(cuModuleLoadData(&none, ""), CUDA_ERROR_INVALID_IMAGE);
  EXPECT_NE(cuModuleLoadData(&none, "no ptx"), CUDA_SUCCESS);
  EXPECT_EQ(cuModuleLoad(&none, "/nonexistent"), CUDA_ERROR_FILE_NOT_FOUND);
  EXPECT_EQ(none, nullptr);
  CUfunction function = nullptr;
  EXPECT_EQ(cuModuleGetFunction(&function, module, "no_such_kernel"), CUDA_ERROR_NOT_FOUND);
}

TEST_F(BadInput, a_kernel_that_writes_elsewhere_ends_its_context_alone) {
  CUcontext doomed = nullptr;
  ASSERT_EQ(cuCtxCreate(&doomed, nullptr, 0, 0), CUDA_SUCCESS);
  CUmodule mine = nullptr;
  CUfunction writer = nullptr;
  ASSERT_EQ(cuModuleLoadData(&mine, kernels), CUDA_SUCCESS);
  ASSERT_EQ(cuModuleGetFunction(&writer, mine, "write_to"), CUDA_SUCCESS);
  int host = 0;
  ASSERT_EQ(launch(writer, nullptr, &host, 1), CUDA_SUCCESS);
  EXPECT_EQ(cuCtxSynchronize(), CUDA_ERROR_ILLEGAL_ADDRESS);
  EXPECT_EQ(launch(writer, nullptr, &host, 1), CUDA_ERROR_ILLEGAL_ADDRESS);
  CUdeviceptr none = 0;
  EXPECT_EQ(cuMemAlloc(&none, 64), CUDA_ERROR_ILLEGAL_ADDRESS);
  EXPECT_EQ(host, 0);
  ASSERT_EQ(cuCtxSetCurrent(context), CUDA_SUCCESS);
  EXPECT_EQ(read<int>(memory(4), 1).size(), 1U);
}

}  // namespace
}  // namespace isthmus::test
