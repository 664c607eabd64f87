// SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <tuple>
#include <utility>
#include <vector>

#include "src/gpu/opencl/backend.hpp"
#include "src/gpu/opencl/bounds.hpp"

namespace isthmus::opencl {

using marshal::TrailingReader;

void LaneBackend::add_commands(marshal::Dispatcher& dispatcher) {
  on_enqueue<EnqueueWrite>(
      dispatcher,
      [](LaneBackend& self, const EnqueueWrite::Request& request, TrailingReader& trailing,
         const Place& place) -> cl_int {
        const auto bytes = trailing.rest();
        const auto memory = self.range(request.memory, request.offset, bytes.size());
        if (!memory) {
          return memory.error();
        }
        const Driver& cl = *self.driver();
        // The message is gone when the driver writes.
        auto copy = std::make_shared<std::vector<std::byte>>(bytes.begin(), bytes.end());
        cl_event written = nullptr;
        const cl_int code =
            cl.clEnqueueWriteBuffer(place.queue.handle.get(), (*memory)->handle.get(), CL_FALSE, request.offset,
                                    copy->size(), copy->data(), place.waits, place.events, &written);
        if (code != CL_SUCCESS) {
          return code;
        }
        if (self.when(written, CL_COMPLETE, [copy](cl_int) { std::ignore = copy; }) != CL_SUCCESS) {
          // Nobody will say when the driver is done with it: better lost than used after its end.
          std::ignore = new std::shared_ptr<std::vector<std::byte>>(std::move(copy));
        }
        if (place.made != nullptr) {
          *place.made = written;
        } else {
          cl.clReleaseEvent(written);
        }
        return CL_SUCCESS;
      });

  on_enqueue<EnqueueCopy>(
      dispatcher,
      [](LaneBackend& self, const EnqueueCopy::Request& request, TrailingReader&, const Place& place) -> cl_int {
        const auto from = self.range(request.from, request.from_offset, request.size);
        const auto to = self.range(request.to, request.to_offset, request.size);
        if (!from || !to) {
          return from ? to.error() : from.error();
        }
        return self.driver()->clEnqueueCopyBuffer(place.queue.handle.get(), (*from)->handle.get(), (*to)->handle.get(),
                                                  request.from_offset, request.to_offset, request.size, place.waits,
                                                  place.events, place.made);
      });

  on_enqueue<EnqueueCopyBox>(
      dispatcher,
      [](LaneBackend& self, const EnqueueCopyBox::Request& request, TrailingReader&, const Place& place) -> cl_int {
        const auto reads = extent_of(request.from_box, request.region);
        const auto writes = extent_of(request.to_box, request.region);
        if (!reads || !writes) {
          return CL_INVALID_VALUE;
        }
        const auto from = self.range(request.from, reads->begin, reads->size);
        const auto to = self.range(request.to, writes->begin, writes->size);
        if (!from || !to) {
          return from ? to.error() : from.error();
        }
        return self.driver()->clEnqueueCopyBufferRect(
            place.queue.handle.get(), (*from)->handle.get(), (*to)->handle.get(), request.from_box.origin.data(),
            request.to_box.origin.data(), request.region.data(), request.from_box.row_pitch,
            request.from_box.slice_pitch, request.to_box.row_pitch, request.to_box.slice_pitch, place.waits,
            place.events, place.made);
      });

  on_enqueue<EnqueueFill>(
      dispatcher,
      [](LaneBackend& self, const EnqueueFill::Request& request, TrailingReader&, const Place& place) -> cl_int {
        const auto memory = self.range(request.memory, request.offset, request.size);
        if (!memory) {
          return memory.error();
        }
        if (!is_pattern_size(request.pattern_size) || request.offset % request.pattern_size != 0 ||
            request.size % request.pattern_size != 0) {
          return CL_INVALID_VALUE;
        }
        return self.driver()->clEnqueueFillBuffer(place.queue.handle.get(), (*memory)->handle.get(),
                                                  request.pattern.data(), request.pattern_size, request.offset,
                                                  request.size, place.waits, place.events, place.made);
      });

  on_enqueue<EnqueueMarker>(
      dispatcher,
      [](LaneBackend& self, const EnqueueMarker::Request& request, TrailingReader&, const Place& place) -> cl_int {
        const Driver& cl = *self.driver();
        const auto enqueue = request.barrier != 0 ? cl.clEnqueueBarrierWithWaitList : cl.clEnqueueMarkerWithWaitList;
        return enqueue(place.queue.handle.get(), place.waits, place.events, place.made);
      });

  on_enqueue<EnqueueMap>(
      dispatcher,
      [](LaneBackend& self, const EnqueueMap::Request& request, TrailingReader&, const Place& place) -> cl_int {
        const auto memory = self.any_range(request.memory, request.offset, request.size);
        if (!memory) {
          return memory.error();
        }
        cl_int code = CL_SUCCESS;
        const std::byte* mapped =
            self.map(place, **memory, request.flags, request.offset, request.size, place.made, code);
        // What lies in given memory is mapped into that memory: the client counts on it.
        return code != CL_SUCCESS || mapped == (*memory)->bytes + request.offset ? code : CL_MAP_FAILURE;
      });

  on_enqueue<EnqueueUnmap>(
      dispatcher,
      [](LaneBackend& self, const EnqueueUnmap::Request& request, TrailingReader&, const Place& place) -> cl_int {
        const auto memory = self.any_range(request.memory, request.offset, 1);
        if (!memory) {
          return memory.error();
        }
        return self.driver()->clEnqueueUnmapMemObject(place.queue.handle.get(), (*memory)->handle.get(),
                                                      (*memory)->bytes + ((*memory)->image ? 0 : request.offset),
                                                      place.waits, place.events, place.made);
      });
}

}  // namespace isthmus::opencl
