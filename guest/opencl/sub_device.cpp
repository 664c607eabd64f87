// SPDX-License-Identifier: Apache-2.0

// Devices that are parts of others. Whole devices are there for ever; parts are counted.

#include <algorithm>
#include <cstdint>
#include <vector>

#include "guest/opencl/entry.hpp"
#include "guest/opencl/types.hpp"

namespace isthmus::opencl {
namespace {

constexpr std::size_t most_counts = 1000;  // of CL_DEVICE_PARTITION_BY_COUNTS; no device has so many units

// The list without its end; empty when it is none.
std::vector<std::int64_t> read_partition(const cl_device_partition_property* list) {
  if (list == nullptr) {
    return {};
  }
  switch (list[0]) {
    case CL_DEVICE_PARTITION_EQUALLY:
    case CL_DEVICE_PARTITION_BY_AFFINITY_DOMAIN:
      return {list[0], list[1], list[2]};  // the last must be the end: the driver looks
    case CL_DEVICE_PARTITION_BY_COUNTS: {
      std::vector<std::int64_t> counts{list[0]};
      while (list[counts.size()] != CL_DEVICE_PARTITION_BY_COUNTS_LIST_END && counts.size() <= most_counts) {
        counts.push_back(list[counts.size()]);
      }
      return counts.size() <= most_counts ? counts : std::vector<std::int64_t>();
    }
    default:
      return {};
  }
}

cl_int change_count(cl_device_id handle, bool (*change)(const void*, Kindred)) {
  const auto device = find<Device>(handle);
  if (device == nullptr) {
    return CL_INVALID_DEVICE;
  }
  return device->parent == nullptr || change(handle, Device::kind) ? CL_SUCCESS : CL_INVALID_DEVICE;
}

}  // namespace

namespace entry {

cl_int CL_API_CALL retain_device(cl_device_id handle) { return change_count(handle, Object::retain); }

cl_int CL_API_CALL release_device(cl_device_id handle) { return change_count(handle, Object::release); }

cl_int CL_API_CALL create_sub_devices(cl_device_id handle, const cl_device_partition_property* properties, cl_uint room,
                                      cl_device_id* out, cl_uint* count_ret) {
  const auto parent = find<Device>(handle);
  Connection* connection = Connection::get();
  if (parent == nullptr || connection == nullptr) {
    return CL_INVALID_DEVICE;
  }
  const std::vector<std::int64_t> partition = read_partition(properties);
  if (partition.empty() || (out == nullptr) != (room == 0)) {
    return CL_INVALID_VALUE;
  }
  const auto made =
      connection->call<CreateSubDevices>({.device = parent->number, .room = room}, std::as_bytes(std::span(partition)));
  if (!made) {
    return made.error();
  }
  for (cl_uint i = 0; i < std::min<cl_uint>(room, made->reply.count); ++i) {
    auto device = std::make_shared<Device>();
    device->number = made->reply.first + i;
    device->type = parent->type;
    device->platform = parent->platform;
    device->parent = parent;
    if (!publish(device)) {
      std::for_each(out, out + i, release_device);
      return CL_OUT_OF_HOST_MEMORY;
    }
    out[i] = handle_of(device);
  }
  if (count_ret != nullptr) {
    *count_ret = made->reply.count;
  }
  return CL_SUCCESS;
}

}  // namespace entry
}  // namespace isthmus::opencl
