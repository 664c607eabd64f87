// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <mutex>
#include <utility>

#include "src/gpu/opencl/backend.hpp"

namespace isthmus::opencl {
namespace {

constexpr std::size_t most_properties = 1024;
constexpr std::size_t most_parts = 4096;  // of one lane: they stay until its end

}  // namespace

std::optional<Driver::Device> LaneBackend::device(std::uint64_t number) const {
  const Driver* cl = driver();
  if (cl == nullptr) {
    return std::nullopt;
  }
  const auto& whole = cl->devices();
  if (number < whole.size()) {
    return whole[static_cast<std::size_t>(number)];
  }
  const std::shared_lock lock(parts_mutex_);
  const std::uint64_t part = number - whole.size();
  return part < parts_.size() ? std::optional(parts_[static_cast<std::size_t>(part)]) : std::nullopt;
}

std::optional<std::vector<cl_device_id>> LaneBackend::device_ids(const std::vector<std::uint32_t>& numbers) const {
  std::vector<cl_device_id> ids;
  for (const std::uint32_t number : numbers) {
    const auto found = device(number);
    if (!found) {
      return std::nullopt;
    }
    ids.push_back(found->id);
  }
  return ids;
}

std::optional<std::uint32_t> LaneBackend::number_of(cl_device_id id) const {
  const auto& whole = driver()->devices();
  const auto place = [id](const auto& list) {
    return static_cast<std::size_t>(std::ranges::find(list, id, &Driver::Device::id) - list.begin());
  };
  if (const std::size_t at = place(whole); at < whole.size()) {
    return static_cast<std::uint32_t>(at);
  }
  const std::shared_lock lock(parts_mutex_);
  const std::size_t at = place(parts_);
  return at < parts_.size() ? std::optional(static_cast<std::uint32_t>(whole.size() + at)) : std::nullopt;
}

Answer<CreateSubDevices::Reply> LaneBackend::create_sub_devices(const CreateSubDevices::Request& request,
                                                                marshal::Call& call) {
  const auto parent = device(request.device);
  if (!parent) {
    return refuse(CL_INVALID_DEVICE);
  }
  const std::size_t count = call.trailing().size() / sizeof(std::int64_t);
  const auto given = marshal::TrailingReader(call.trailing()).elements<std::int64_t>(count);
  if (!given || given->empty() || given->size() > most_properties) {
    return refuse(CL_INVALID_VALUE);
  }
  std::vector<cl_device_partition_property> properties(given->begin(), given->end());
  properties.insert(properties.end(), 3, 0);  // an end, whatever kind of list it is
  const Driver& cl = *driver();
  cl_uint parts = 0;
  if (const cl_int code = cl.clCreateSubDevices(parent->id, properties.data(), 0, nullptr, &parts);
      code != CL_SUCCESS || request.room == 0) {
    return code == CL_SUCCESS ? Answer<CreateSubDevices::Reply>({.count = parts}) : refuse(code);
  }
  const std::scoped_lock lock(parts_mutex_);
  if (parts == 0 || parts > request.room) {
    return refuse(CL_INVALID_VALUE);
  }
  if (parts > most_parts - parts_.size()) {
    return refuse(CL_OUT_OF_RESOURCES);
  }
  std::vector<cl_device_id> ids(parts);
  if (const cl_int code = cl.clCreateSubDevices(parent->id, properties.data(), parts, ids.data(), nullptr);
      code != CL_SUCCESS) {
    return refuse(code);
  }
  const auto first = static_cast<std::uint32_t>(cl.devices().size() + parts_.size());
  for (cl_device_id id : ids) {
    parts_.push_back(cl.describe(id, parent->platform, parent->root));
  }
  return CreateSubDevices::Reply{.count = parts, .first = first};
}

void LaneBackend::add_devices(marshal::Dispatcher& dispatcher) {
  const auto self = shared_from_this();
  dispatcher.on<CreateSubDevices>([self](const CreateSubDevices::Request& request, marshal::Call& call) {
    return self->create_sub_devices(request, call);
  });
  dispatcher.on<FindWindow>([self](const FindWindow::Request&, marshal::Call&) -> Answer<FindWindow::Reply> {
    const Driver* cl = self->driver();
    if (cl == nullptr || cl->clSetKernelArgSVMPointer == nullptr || self->window_.empty()) {
      return refuse(CL_INVALID_OPERATION);
    }
    return FindWindow::Reply{.address = reinterpret_cast<std::uintptr_t>(self->window_.data())};
  });
}

}  // namespace isthmus::opencl
