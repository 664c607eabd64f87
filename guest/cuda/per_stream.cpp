// SPDX-License-Identifier: Apache-2.0

// What works in a stream, and so depends on what no stream means. This file is compiled twice: as it is, for the legacy
// default stream, and by per_thread_stream.cpp, where cuda.h gives each function its second name (_ptds, _ptsz).

#include <algorithm>
#include <array>
#include <cstring>
#include <iterator>
#include <span>
#include <vector>

#include "guest/cuda/copies.hpp"
#include "guest/cuda/device_memory.hpp"
#include "guest/cuda/functions.hpp"
#include "guest/cuda/graph.hpp"
#include "guest/cuda/pools.hpp"
#include "guest/cuda/proc_address.hpp"

using namespace isthmus::cuda;  // NOLINT(google-build-using-namespace): the names below are C's

namespace {

#ifdef CUDA_API_PER_THREAD_DEFAULT_STREAM
constexpr Id implied_stream = per_thread_stream;
#else
constexpr Id implied_stream = legacy_stream;
#endif

// `function(Here, Place)` in a stream, or in the default one.
template <class F>
CUresult on(CUstream stream, F function) {
  return entry_in(stream, implied_stream, function);
}
template <class F>
CUresult on_default(F function) {
  return on(nullptr, function);
}

CUresult fill_rows(CUstream stream, CUdeviceptr to, std::size_t pitch, FillValue value, std::size_t width,
                   std::size_t height) {
  return on(stream,
            [&](const Here& here, const Place& place) { return fill(here, place, to, pitch, value, width, height); });
}

CUresult copy_boxes(CUstream stream, const CUDA_MEMCPY3D* box, When when) {
  return on(stream, [&](const Here& here, const Place& place) {
    return box == nullptr ? CUDA_ERROR_INVALID_VALUE : copy_box(here, place, *box, when);
  });
}
CUresult copy_flat(CUstream stream, const CUDA_MEMCPY2D* flat, When when) {
  if (flat == nullptr) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  const CUDA_MEMCPY3D box = box_of(*flat);
  return copy_boxes(stream, &box, when);
}

// One-dimensional copies with an array on one side or both: offsets in bytes, in the array's first row.
CUDA_MEMCPY2D line_into(CUarray array, std::size_t offset) {
  CUDA_MEMCPY2D line{};
  line.dstMemoryType = CU_MEMORYTYPE_ARRAY;
  line.dstArray = array;
  line.dstXInBytes = offset;
  return line;
}
CUDA_MEMCPY2D line_from(CUarray array, std::size_t offset, CUDA_MEMCPY2D line = {}) {
  line.srcMemoryType = CU_MEMORYTYPE_ARRAY;
  line.srcArray = array;
  line.srcXInBytes = offset;
  return line;
}
CUresult copy_line(CUstream stream, CUDA_MEMCPY2D line, std::size_t bytes, When when) {
  line.WidthInBytes = bytes;
  line.Height = 1;
  return copy_flat(stream, &line, when);
}
CUresult copy_line_in(CUstream stream, CUarray to, std::size_t offset, const void* from, std::size_t bytes, When when) {
  CUDA_MEMCPY2D line = line_into(to, offset);
  line.srcMemoryType = CU_MEMORYTYPE_HOST;
  line.srcHost = from;
  return copy_line(stream, line, bytes, when);
}
CUresult copy_line_out(CUstream stream, void* to, CUarray from, std::size_t offset, std::size_t bytes, When when) {
  CUDA_MEMCPY2D line = line_from(from, offset);
  line.dstMemoryType = CU_MEMORYTYPE_HOST;
  line.dstHost = to;
  return copy_line(stream, line, bytes, when);
}

CUresult copy_peer(CUstream stream, CUdeviceptr to, CUcontext to_context, CUdeviceptr from, CUcontext from_context,
                   std::size_t bytes) {
  return on(stream, [&](const Here& here, const Place& place) -> CUresult {
    for (CUcontext context : {to_context, from_context}) {
      if (const auto record = here.cuda.context(reinterpret_cast<std::uintptr_t>(context)); !record) {
        return record.error();
      }
    }
    return copy_device(here, place, to, from, bytes);  // addresses are unified
  });
}

// A function of the program's that is to run in a stream.
CUresult launch_host(CUstream stream, std::function<void(CUresult)> function, bool callback) {
  return on(stream, [&](const Here& here, const Place& place) -> CUresult {
    const std::uint64_t token = here.lane().expect_function(std::move(function));
    const CUresult code = here.lane().send<LaunchHost>(
        !here.cuda.captures.any(), {.place = place, .token = token, .callback = callback ? 1U : 0U});
    if (code != CUDA_SUCCESS) {
      here.lane().forget_function(token);
    }
    return code;
  });
}

// What is known of a stream; the default ones have no record.
StreamRecord record_of(const Here& here, const Place& place) {
  const StreamRecord* const record = here.cuda.streams.find(place.stream);
  return record != nullptr ? *record : StreamRecord{.context = here.context};
}

CUresult record_event(CUevent event, CUstream stream, unsigned flags) {
  return on(stream, [&](const Here& here, const Place& place) -> CUresult {
    const EventRecord* const record = here.cuda.events.find(event);
    if (record == nullptr || record->context != place.context) {
      return CUDA_ERROR_INVALID_HANDLE;
    }
    if ((flags & ~unsigned{CU_EVENT_RECORD_EXTERNAL}) != 0) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    record->count_recording();
    if (flags != 0) {
      record->note_elsewhere();
    }
    return here.lane().send<RecordEvent>(
        flags == 0 && !record->is_shared(),
        {.place = place, .event = reinterpret_cast<std::uintptr_t>(event), .flags = flags});
  });
}

CUresult begin_capture(CUstream stream, CUstreamCaptureMode mode, const Edges* into) {
  return on(stream, [&](const Here& here, const Place& place) -> CUresult {
    const Edges edges = into != nullptr ? *into : Edges{};
    if (const CUresult code = into != nullptr ? check_edges(here.cuda, edges) : CUDA_SUCCESS; code != CUDA_SUCCESS) {
      return code;
    }
    const auto names = names_of(std::span(edges.nodes, edges.count));
    const bool is_new = here.cuda.captures.begin(place);
    const CUresult code = here.lane().tell<BeginCapture>({.place = place,
                                                          .mode = static_cast<std::uint32_t>(mode),
                                                          .nodes = static_cast<std::uint32_t>(names.size()),
                                                          .graph = handle_name(edges.graph)},
                                                         std::as_bytes(std::span(names)));
    if (code != CUDA_SUCCESS && is_new) {
      here.cuda.captures.end(place);
    }
    return code;
  });
}

}  // namespace

// ---- copies --------------------------------------------------------------------------------------------------------

CUresult CUDAAPI cuMemcpy(CUdeviceptr to, CUdeviceptr from, std::size_t bytes) {
  return on_default(
      [&](const Here& here, const Place& place) { return copy_any(here, place, to, from, bytes, When::at_once); });
}

CUresult CUDAAPI cuMemcpyAsync(CUdeviceptr to, CUdeviceptr from, std::size_t bytes, CUstream stream) {
  return on(stream,
            [&](const Here& here, const Place& place) { return copy_any(here, place, to, from, bytes, When::later); });
}

CUresult CUDAAPI cuMemcpyHtoD(CUdeviceptr to, const void* from, std::size_t bytes) {
  return on_default(
      [&](const Here& here, const Place& place) { return copy_in(here, place, to, from, bytes, When::at_once); });
}

CUresult CUDAAPI cuMemcpyHtoDAsync(CUdeviceptr to, const void* from, std::size_t bytes, CUstream stream) {
  return on(stream,
            [&](const Here& here, const Place& place) { return copy_in(here, place, to, from, bytes, When::later); });
}

CUresult CUDAAPI cuMemcpyDtoH(void* to, CUdeviceptr from, std::size_t bytes) {
  return on_default(
      [&](const Here& here, const Place& place) { return copy_out(here, place, to, from, bytes, When::at_once); });
}

CUresult CUDAAPI cuMemcpyDtoHAsync(void* to, CUdeviceptr from, std::size_t bytes, CUstream stream) {
  return on(stream,
            [&](const Here& here, const Place& place) { return copy_out(here, place, to, from, bytes, When::later); });
}

CUresult CUDAAPI cuMemcpyDtoD(CUdeviceptr to, CUdeviceptr from, std::size_t bytes) {
  return on_default([&](const Here& here, const Place& place) { return copy_device(here, place, to, from, bytes); });
}

CUresult CUDAAPI cuMemcpyDtoDAsync(CUdeviceptr to, CUdeviceptr from, std::size_t bytes, CUstream stream) {
  return on(stream, [&](const Here& here, const Place& place) { return copy_device(here, place, to, from, bytes); });
}

CUresult CUDAAPI cuMemcpyPeer(CUdeviceptr to, CUcontext to_context, CUdeviceptr from, CUcontext from_context,
                              std::size_t bytes) {
  return copy_peer(nullptr, to, to_context, from, from_context, bytes);
}

CUresult CUDAAPI cuMemcpyPeerAsync(CUdeviceptr to, CUcontext to_context, CUdeviceptr from, CUcontext from_context,
                                   std::size_t bytes, CUstream stream) {
  return copy_peer(stream, to, to_context, from, from_context, bytes);
}

CUresult CUDAAPI cuMemcpy2D(const CUDA_MEMCPY2D* box) { return copy_flat(nullptr, box, When::at_once); }

CUresult CUDAAPI cuMemcpy2DUnaligned(const CUDA_MEMCPY2D* box) { return copy_flat(nullptr, box, When::at_once); }

CUresult CUDAAPI cuMemcpy2DAsync(const CUDA_MEMCPY2D* box, CUstream stream) {
  return copy_flat(stream, box, When::later);
}

CUresult CUDAAPI cuMemcpy3D(const CUDA_MEMCPY3D* box) { return copy_boxes(nullptr, box, When::at_once); }

CUresult CUDAAPI cuMemcpy3DAsync(const CUDA_MEMCPY3D* box, CUstream stream) {
  return copy_boxes(stream, box, When::later);
}

CUresult CUDAAPI cuMemcpyHtoA(CUarray to, std::size_t offset, const void* from, std::size_t bytes) {
  return copy_line_in(nullptr, to, offset, from, bytes, When::at_once);
}

CUresult CUDAAPI cuMemcpyHtoAAsync(CUarray to, std::size_t offset, const void* from, std::size_t bytes,
                                   CUstream stream) {
  return copy_line_in(stream, to, offset, from, bytes, When::later);
}

CUresult CUDAAPI cuMemcpyAtoH(void* to, CUarray from, std::size_t offset, std::size_t bytes) {
  return copy_line_out(nullptr, to, from, offset, bytes, When::at_once);
}

CUresult CUDAAPI cuMemcpyAtoHAsync(void* to, CUarray from, std::size_t offset, std::size_t bytes, CUstream stream) {
  return copy_line_out(stream, to, from, offset, bytes, When::later);
}

CUresult CUDAAPI cuMemcpyDtoA(CUarray to, std::size_t offset, CUdeviceptr from, std::size_t bytes) {
  CUDA_MEMCPY2D line = line_into(to, offset);
  line.srcMemoryType = CU_MEMORYTYPE_DEVICE;
  line.srcDevice = from;
  return copy_line(nullptr, line, bytes, When::at_once);
}

CUresult CUDAAPI cuMemcpyAtoD(CUdeviceptr to, CUarray from, std::size_t offset, std::size_t bytes) {
  CUDA_MEMCPY2D line = line_from(from, offset);
  line.dstMemoryType = CU_MEMORYTYPE_DEVICE;
  line.dstDevice = to;
  return copy_line(nullptr, line, bytes, When::at_once);
}

CUresult CUDAAPI cuMemcpyAtoA(CUarray to, std::size_t to_offset, CUarray from, std::size_t from_offset,
                              std::size_t bytes) {
  return copy_line(nullptr, line_from(from, from_offset, line_into(to, to_offset)), bytes, When::at_once);
}

// ---- setting memory ------------------------------------------------------------------------------------------------

CUresult CUDAAPI cuMemsetD8(CUdeviceptr to, unsigned char value, std::size_t count) {
  return fill_rows(nullptr, to, 0, {.element = 1, .value = value}, count, 1);
}

CUresult CUDAAPI cuMemsetD16(CUdeviceptr to, unsigned short value, std::size_t count) {
  return fill_rows(nullptr, to, 0, {.element = 2, .value = value}, count, 1);
}

CUresult CUDAAPI cuMemsetD32(CUdeviceptr to, unsigned int value, std::size_t count) {
  return fill_rows(nullptr, to, 0, {.element = 4, .value = value}, count, 1);
}

CUresult CUDAAPI cuMemsetD8Async(CUdeviceptr to, unsigned char value, std::size_t count, CUstream stream) {
  return fill_rows(stream, to, 0, {.element = 1, .value = value}, count, 1);
}

CUresult CUDAAPI cuMemsetD16Async(CUdeviceptr to, unsigned short value, std::size_t count, CUstream stream) {
  return fill_rows(stream, to, 0, {.element = 2, .value = value}, count, 1);
}

CUresult CUDAAPI cuMemsetD32Async(CUdeviceptr to, unsigned int value, std::size_t count, CUstream stream) {
  return fill_rows(stream, to, 0, {.element = 4, .value = value}, count, 1);
}

CUresult CUDAAPI cuMemsetD2D8(CUdeviceptr to, std::size_t pitch, unsigned char value, std::size_t width,
                              std::size_t height) {
  return fill_rows(nullptr, to, pitch, {.element = 1, .value = value}, width, height);
}

CUresult CUDAAPI cuMemsetD2D16(CUdeviceptr to, std::size_t pitch, unsigned short value, std::size_t width,
                               std::size_t height) {
  return fill_rows(nullptr, to, pitch, {.element = 2, .value = value}, width, height);
}

CUresult CUDAAPI cuMemsetD2D32(CUdeviceptr to, std::size_t pitch, unsigned int value, std::size_t width,
                               std::size_t height) {
  return fill_rows(nullptr, to, pitch, {.element = 4, .value = value}, width, height);
}

CUresult CUDAAPI cuMemsetD2D8Async(CUdeviceptr to, std::size_t pitch, unsigned char value, std::size_t width,
                                   std::size_t height, CUstream stream) {
  return fill_rows(stream, to, pitch, {.element = 1, .value = value}, width, height);
}

CUresult CUDAAPI cuMemsetD2D16Async(CUdeviceptr to, std::size_t pitch, unsigned short value, std::size_t width,
                                    std::size_t height, CUstream stream) {
  return fill_rows(stream, to, pitch, {.element = 2, .value = value}, width, height);
}

CUresult CUDAAPI cuMemsetD2D32Async(CUdeviceptr to, std::size_t pitch, unsigned int value, std::size_t width,
                                    std::size_t height, CUstream stream) {
  return fill_rows(stream, to, pitch, {.element = 4, .value = value}, width, height);
}

// ---- managed memory, which stays where it is ------------------------------------------------------------------------

CUresult CUDAAPI cuMemPrefetchAsync(CUdeviceptr address, std::size_t bytes, CUmemLocation location, unsigned int flags,
                                    CUstream stream) {
  return on(stream, [&](const Here& here, const Place&) -> CUresult {
    const auto range = here.cuda.memory.find(address);
    if (location.type == CU_MEM_LOCATION_TYPE_DEVICE && here.cuda.device(location.id) == nullptr) {
      return CUDA_ERROR_INVALID_DEVICE;
    }
    return flags == 0 && range && is_managed(range->value) && range->holds(address, bytes) ? CUDA_SUCCESS
                                                                                           : CUDA_ERROR_INVALID_VALUE;
  });
}

CUresult CUDAAPI cuStreamAttachMemAsync(CUstream stream, CUdeviceptr address, std::size_t /*bytes*/,
                                        unsigned int /*flags*/) {
  return on(stream, [&](const Here& here, const Place&) {
    const auto range = here.cuda.memory.find(address);
    return range && is_managed(range->value) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
  });
}

// ---- memory in the order of streams, from pools ---------------------------------------------------------------------

CUresult CUDAAPI cuMemAllocAsync(CUdeviceptr* address, std::size_t bytes, CUstream stream) {
  return on(stream, [&](const Here& here, const Place& place) -> CUresult {
    return address == nullptr
               ? CUDA_ERROR_INVALID_VALUE
               : allocate_in_order(here, place, bytes, pool_in_use(here.cuda, here.record.device), address);
  });
}

CUresult CUDAAPI cuMemAllocFromPoolAsync(CUdeviceptr* address, std::size_t bytes, CUmemoryPool pool, CUstream stream) {
  return on(stream, [&](const Here& here, const Place& place) -> CUresult {
    const auto from = find_pool(here.cuda, pool);
    return address == nullptr || !from ? CUDA_ERROR_INVALID_VALUE
                                       : allocate_in_order(here, place, bytes, *from, address);
  });
}

CUresult CUDAAPI cuMemFreeAsync(CUdeviceptr address, CUstream stream) {
  return on(stream, [&](const Here& here, const Place& place) -> CUresult {
    if (address == 0) {
      return CUDA_SUCCESS;
    }
    const auto range = here.cuda.memory.find(address);
    if (!range || range->base != address || !range->value.is_allocation() || range->value.pooled) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    if (range->value.of_graph) {
      return here.lane().tell<FreeInOrder>({.place = place, .address = address});
    }
    // Forgotten first: another thread's allocation may get the address as soon as the driver has it back.
    here.cuda.memory.remove(address);
    here.cuda.unshare_memory(address);
    return here.lane().post<FreeInOrder>({.place = place, .address = address});
  });
}

// ---- launches ------------------------------------------------------------------------------------------------------

CUresult CUDAAPI cuLaunchKernel(CUfunction function, unsigned int grid_x, unsigned int grid_y, unsigned int grid_z,
                                unsigned int block_x, unsigned int block_y, unsigned int block_z, unsigned int shared,
                                CUstream stream, void** parameters, void** extra) {
  return on(stream, [&](const Here& here, const Place& place) {
    return launch(
        here, place, function,
        {.grid = {grid_x, grid_y, grid_z}, .block = {block_x, block_y, block_z}, .shared = shared, .attributes = {}},
        parameters, extra);
  });
}

CUresult CUDAAPI cuLaunchCooperativeKernel(CUfunction function, unsigned int grid_x, unsigned int grid_y,
                                           unsigned int grid_z, unsigned int block_x, unsigned int block_y,
                                           unsigned int block_z, unsigned int shared, CUstream stream,
                                           void** parameters) {
  return on(stream, [&](const Here& here, const Place& place) {
    return launch(here, place, function,
                  {.grid = {grid_x, grid_y, grid_z},
                   .block = {block_x, block_y, block_z},
                   .shared = shared,
                   .cooperative = true,
                   .attributes = {}},
                  parameters, nullptr);
  });
}

CUresult CUDAAPI cuLaunchKernelEx(const CUlaunchConfig* config, CUfunction function, void** parameters, void** extra) {
  if (config == nullptr || (config->attrs == nullptr && config->numAttrs != 0)) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  return on(config->hStream, [&](const Here& here, const Place& place) {
    return launch(here, place, function,
                  {.grid = {config->gridDimX, config->gridDimY, config->gridDimZ},
                   .block = {config->blockDimX, config->blockDimY, config->blockDimZ},
                   .shared = config->sharedMemBytes,
                   .attributes = std::span(config->attrs, config->numAttrs)},
                  parameters, extra);
  });
}

CUresult CUDAAPI cuLaunchHostFunc(CUstream stream, CUhostFn function, void* data) {
  if (function == nullptr) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  return launch_host(stream, [function, data](CUresult) { function(data); }, false);
}

CUresult CUDAAPI cuStreamAddCallback(CUstream stream, CUstreamCallback callback, void* data, unsigned int flags) {
  if (callback == nullptr || flags != 0) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  return launch_host(stream, [stream, callback, data](CUresult status) { callback(stream, status, data); }, true);
}

// ---- streams and events --------------------------------------------------------------------------------------------

CUresult CUDAAPI cuStreamSynchronize(CUstream stream) {
  return on(stream,
            [](const Here& here, const Place& place) { return here.lane().tell<SyncStream>({.place = place}); });
}

CUresult CUDAAPI cuStreamQuery(CUstream stream) {
  return on(stream,
            [](const Here& here, const Place& place) { return here.lane().tell<QueryStream>({.place = place}); });
}

CUresult CUDAAPI cuStreamWaitEvent(CUstream stream, CUevent event, unsigned int flags) {
  return on(stream, [&](const Here& here, const Place& place) -> CUresult {
    const EventRecord* const record = here.cuda.events.find(event);
    if (record == nullptr) {
      return CUDA_ERROR_INVALID_HANDLE;
    }
    return here.lane().send<WaitEvent>(
        flags == 0 && !record->is_shared(),
        {.place = place, .event = reinterpret_cast<std::uintptr_t>(event), .flags = flags});
  });
}

CUresult CUDAAPI cuEventRecord(CUevent event, CUstream stream) { return record_event(event, stream, 0); }

CUresult CUDAAPI cuEventRecordWithFlags(CUevent event, CUstream stream, unsigned int flags) {
  return record_event(event, stream, flags);
}

CUresult CUDAAPI cuStreamGetFlags(CUstream stream, unsigned int* flags) {
  return on(stream, [&](const Here& here, const Place& place) { return give(flags, record_of(here, place).flags); });
}

CUresult CUDAAPI cuStreamGetPriority(CUstream stream, int* priority) {
  return on(stream,
            [&](const Here& here, const Place& place) { return give(priority, record_of(here, place).priority); });
}

CUresult CUDAAPI cuStreamGetCtx(CUstream stream, CUcontext* context) {
  return on(stream,
            [&](const Here&, const Place& place) { return give(context, handle_of<CUcontext>(place.context)); });
}

CUresult CUDAAPI cuStreamGetDevice(CUstream stream, CUdevice* device) {
  return on(stream, [&](const Here& here, const Place& place) -> CUresult {
    const auto record = here.cuda.context(place.context);
    return record ? give(device, (*record)->device) : record.error();
  });
}

CUresult CUDAAPI cuStreamGetId(CUstream stream, unsigned long long* number) {
  return on(stream, [&](const Here& here, const Place& place) -> CUresult {
    const auto asked = here.lane().call<Query>(
        {.question = {.subject = Subject::stream_number, .context = place.context, .object = place.stream}});
    return asked ? give(number, asked->reply.values[0]) : asked.error();
  });
}

CUresult CUDAAPI cuStreamSetAttribute(CUstream stream, CUstreamAttrID attribute, const CUstreamAttrValue* value) {
  return on(stream, [&](const Here& here, const Place& place) -> CUresult {
    if (value == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    SetStreamAttribute::Request request{.place = place, .attribute = static_cast<std::uint32_t>(attribute)};
    std::memcpy(request.value.data(), value, sizeof *value);
    return here.lane().tell<SetStreamAttribute>(request);
  });
}

CUresult CUDAAPI cuStreamGetAttribute(CUstream stream, CUstreamAttrID attribute, CUstreamAttrValue* value) {
  return on(stream, [&](const Here& here, const Place& place) -> CUresult {
    const auto asked =
        here.lane().call<GetStreamAttribute>({.place = place, .attribute = static_cast<std::uint32_t>(attribute)});
    if (value == nullptr || !asked) {
      return value == nullptr ? CUDA_ERROR_INVALID_VALUE : asked.error();
    }
    std::memcpy(value, asked->reply.value.data(), sizeof *value);
    return CUDA_SUCCESS;
  });
}

// ---- capture and graphs ---------------------------------------------------------------------------------------------

CUresult CUDAAPI cuStreamIsCapturing(CUstream stream, CUstreamCaptureStatus* status) {
  return on(stream, [&](const Here& here, const Place& place) -> CUresult {
    if (!here.cuda.captures.any()) {
      return give(status, CU_STREAM_CAPTURE_STATUS_NONE);
    }
    const auto asked = here.lane().call<Query>(
        {.question = {.subject = Subject::capture_status, .context = place.context, .object = place.stream}});
    return asked ? give(status, asked->reply.values[0]) : asked.error();
  });
}

CUresult CUDAAPI cuStreamBeginCapture(CUstream stream, CUstreamCaptureMode mode) {
  return begin_capture(stream, mode, nullptr);
}

CUresult CUDAAPI cuStreamBeginCaptureToGraph(CUstream stream, CUgraph graph, const CUgraphNode* nodes,
                                             const CUgraphEdgeData* data, std::size_t count, CUstreamCaptureMode mode) {
  const Edges edges{.graph = graph, .nodes = nodes, .count = count};
  return data != nullptr && count != 0 ? CUDA_ERROR_NOT_SUPPORTED : begin_capture(stream, mode, &edges);
}

CUresult CUDAAPI cuStreamGetCaptureInfo(CUstream stream, CUstreamCaptureStatus* status, cuuint64_t* number,
                                        CUgraph* graph, const CUgraphNode** nodes, const CUgraphEdgeData** edges,
                                        std::size_t* count) {
  return on(stream, [&](const Here& here, const Place& place) -> CUresult {
    constexpr std::size_t most_known = 256;  // nodes that one comes after
    if (status == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    if (!here.cuda.captures.any()) {  // allocators ask all the time
      return give(status, CU_STREAM_CAPTURE_STATUS_NONE);
    }
    const auto id = here.cuda.graphs.reserve();
    if (!id) {
      return CUDA_ERROR_OUT_OF_MEMORY;
    }
    FreshNodes fresh(here.cuda, most_known);
    std::vector<Id> names(fresh.count());
    const auto asked = here.lane().call<CaptureInfo>({.place = place, .graph = *id, .names = fresh.count()},
                                                     fresh.bytes(), std::as_writable_bytes(std::span(names)));
    const bool is_new = asked && asked->reply.graph == *id;
    if (is_new) {
      here.cuda.graphs.publish(*id, {.id = *id});
    } else {
      here.cuda.graphs.cancel(*id);
    }
    if (!asked) {
      return asked.error();
    }
    *status = static_cast<CUstreamCaptureStatus>(asked->reply.status);
    if (*status != CU_STREAM_CAPTURE_STATUS_ACTIVE) {
      return CUDA_SUCCESS;
    }
    names.resize(asked->trailing / sizeof(Id));
    fresh.take(names, asked->reply.graph);
    // Valid until the next call about the stream.
    thread_local std::vector<CUgraphNode> of_thread;
    const std::scoped_lock lock(here.cuda.capture_nodes_mutex);
    auto& known_nodes =
        place.stream == per_thread_stream ? of_thread : here.cuda.capture_nodes[{place.context, place.stream}];
    known_nodes.clear();
    std::ranges::transform(names, std::back_inserter(known_nodes),
                           [](Id name) { return handle_of<CUgraphNode>(name); });
    const auto tell = [](auto* to, auto value) {
      if (to != nullptr) {
        *to = value;
      }
    };
    tell(number, cuuint64_t{asked->reply.number});
    tell(graph, handle_of<CUgraph>(asked->reply.graph));
    tell(nodes, static_cast<const CUgraphNode*>(known_nodes.data()));
    tell(edges, static_cast<const CUgraphEdgeData*>(nullptr));
    tell(count, known_nodes.size());
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuStreamUpdateCaptureDependencies(CUstream stream, CUgraphNode* nodes, const CUgraphEdgeData* data,
                                                   std::size_t count, unsigned int flags) {
  return on(stream, [&](const Here& here, const Place& place) -> CUresult {
    if ((nodes == nullptr && count != 0) || count > most_nodes) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    if (data != nullptr && count != 0) {
      return CUDA_ERROR_NOT_SUPPORTED;
    }
    const auto names = names_of(std::span(nodes, count));
    return here.lane().tell<SetCaptureNodes>(
        {.place = place, .flags = flags, .nodes = static_cast<std::uint32_t>(count)}, std::as_bytes(std::span(names)));
  });
}

CUresult CUDAAPI cuStreamEndCapture(CUstream stream, CUgraph* graph) {
  return on(stream, [&](const Here& here, const Place& place) -> CUresult {
    if (graph != nullptr) {  // a graph that the work was recorded into is known without it
      *graph = nullptr;
    }
    const auto id = here.cuda.graphs.reserve();
    if (!id) {
      return CUDA_ERROR_OUT_OF_MEMORY;
    }
    const auto ended = here.lane().call<EndCapture>({.place = place, .graph = *id});
    const CUresult code = ended ? CUDA_SUCCESS : ended.error();
    const bool still_captured = code == CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD ||
                                code == CUDA_ERROR_STREAM_CAPTURE_UNMATCHED || code == CUDA_ERROR_ILLEGAL_STATE;
    if (!still_captured) {
      here.cuda.captures.end(place);
    }
    if (!ended || ended->reply.graph != *id) {
      here.cuda.graphs.cancel(*id);
    } else {
      here.cuda.graphs.publish(*id, {.id = *id});
    }
    if (graph != nullptr && ended) {
      *graph = handle_of<CUgraph>(ended->reply.graph);
    }
    return code;
  });
}

CUresult CUDAAPI cuGraphLaunch(CUgraphExec executable, CUstream stream) {
  return on(stream, [&](const Here& here, const Place& place) -> CUresult {
    if (here.cuda.executables.find(executable) == nullptr) {
      return CUDA_ERROR_INVALID_HANDLE;
    }
    return here.lane().post<LaunchGraph>({.place = place, .executable = reinterpret_cast<std::uintptr_t>(executable)});
  });
}

CUresult CUDAAPI cuGraphUpload(CUgraphExec executable, CUstream stream) {
  // The first launch does it.
  return on(stream, [&](const Here& here, const Place&) {
    return here.cuda.executables.find(executable) == nullptr ? CUDA_ERROR_INVALID_HANDLE : CUDA_SUCCESS;
  });
}

// ---- for cuGetProcAddress ------------------------------------------------------------------------------------------

namespace {
constexpr EntryPoint stream_entries[] = {
// NOLINTNEXTLINE(bugprone-macro-parentheses): a name
#define ISTHMUS_CUDA_ENTRY(name, since) {#name, since, [] { return reinterpret_cast<void*>(&name); }},
    ISTHMUS_CUDA_STREAM_ENTRIES(ISTHMUS_CUDA_ENTRY)
#undef ISTHMUS_CUDA_ENTRY
};
}  // namespace

namespace isthmus::cuda {
#ifdef CUDA_API_PER_THREAD_DEFAULT_STREAM
std::span<const EntryPoint> per_thread_entries() noexcept { return stream_entries; }
#else
std::span<const EntryPoint> legacy_entries() noexcept { return stream_entries; }
#endif
}  // namespace isthmus::cuda
