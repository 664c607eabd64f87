// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cstring>
#include <mutex>
#include <ranges>
#include <string>
#include <string_view>
#include <vector>

#include "guest/opencl/dispatch.hpp"
#include "guest/opencl/entry.hpp"
#include "guest/opencl/info.hpp"
#include "guest/opencl/types.hpp"

namespace isthmus::opencl {
namespace {

// What a kernel may use of the device's language, and what of the host's side of the API we offer, too.
constexpr std::array<std::string_view, 14> kept_extensions{"cl_khr_il_program",
                                                           "cl_khr_global_int32_base_atomics",
                                                           "cl_khr_global_int32_extended_atomics",
                                                           "cl_khr_local_int32_base_atomics",
                                                           "cl_khr_local_int32_extended_atomics",
                                                           "cl_khr_int64_base_atomics",
                                                           "cl_khr_int64_extended_atomics",
                                                           "cl_khr_byte_addressable_store",
                                                           "cl_khr_3d_image_writes",
                                                           "cl_khr_fp64",
                                                           "cl_khr_fp16",
                                                           "cl_khr_select_fprounding_mode",
                                                           "cl_amd_media_ops",
                                                           "cl_nv_pragma_unroll"};

std::string text_of(const std::vector<std::byte>& bytes) {
  std::string text;
  for (const std::byte byte : bytes) {
    if (byte == std::byte{0}) {
      break;
    }
    text += static_cast<char>(byte);
  }
  return text;
}

bool is_kept(std::string_view name) { return std::ranges::find(kept_extensions, name) != kept_extensions.end(); }

// Of the optional parts of the kernel language: without what needs functions that we do not have.
bool is_feature_kept(std::string_view name) {
  return name != "__opencl_c_device_enqueue" && name != "__opencl_c_pipes" && name != "__opencl_c_subgroups";
}

// A list of names and versions, without those that are not kept.
std::vector<cl_name_version> kept_of(const std::vector<std::byte>& bytes, bool (*keeps)(std::string_view)) {
  std::vector<cl_name_version> list(bytes.size() / sizeof(cl_name_version));
  if (!list.empty()) {
    std::memcpy(list.data(), bytes.data(), list.size() * sizeof(cl_name_version));
  }
  std::erase_if(list, [keeps](cl_name_version& entry) {
    std::ranges::end(entry.name)[-1] = '\0';
    return !keeps(static_cast<const char*>(entry.name));
  });
  return list;
}

cl_name_version name_and_version(std::string_view name, cl_version version) {
  cl_name_version made{.version = version, .name = {}};
  std::ranges::copy(name.substr(0, sizeof made.name - 1), static_cast<char*>(made.name));
  return made;
}

// The host's, with our version: programs look for the driver's name and version in it.
std::string version_text(cl_version version, const std::string& of_host) {
  const std::size_t rest = of_host.find(' ', std::string_view("OpenCL ").size());
  return "OpenCL " + std::to_string(CL_VERSION_MAJOR(version)) + "." + std::to_string(CL_VERSION_MINOR(version)) +
         (rest == std::string::npos ? "" : of_host.substr(rest)) + " (Isthmus)";
}

// "OpenCL C X.Y " of the host's, or what a device of 1.2 has.
std::string language_text(cl_version version, const std::string& of_host) {
  const std::size_t end = of_host.find(' ', std::string_view("OpenCL C ").size());
  const bool is_known = version >= CL_MAKE_VERSION(3, 0, 0) && of_host.starts_with("OpenCL C ");
  return (is_known ? of_host.substr(0, end) : "OpenCL C 1.2") + " Isthmus";
}

std::string kept(const std::string& extensions) {
  std::string out;
  for (const auto word : std::views::split(extensions, ' ')) {
    const std::string_view name(word.begin(), word.end());
    if (is_kept(name)) {
      out += out.empty() ? "" : " ";
      out += name;
    }
  }
  return out;
}

std::vector<std::shared_ptr<Platform>> find_platforms(const Connection& connection) {
  std::vector<std::shared_ptr<Platform>> platforms;
  std::uint32_t number = 0;
  for (const DeviceRow& row : connection.devices()) {
    if (platforms.empty() || platforms.back()->number != row.platform) {
      auto platform = std::make_shared<Platform>();
      platform->number = row.platform;
      if (!publish(platform)) {
        break;
      }
      platforms.push_back(std::move(platform));
    }
    auto device = std::make_shared<Device>();
    device->number = number++;
    device->type = row.type;
    device->platform = platforms.back();
    if (!publish(device)) {
      break;
    }
    platforms.back()->devices.push_back(std::move(device));
  }
  return platforms;
}

std::shared_ptr<Platform> platform_of(cl_platform_id handle) {
  if (handle != nullptr) {
    return find<Platform>(handle);
  }
  const auto& all = Platform::all();
  return all.empty() ? nullptr : all.front();
}

// A platform's version is the highest of its devices'.
cl_version version_of(const Platform& platform) {
  cl_version highest = CL_MAKE_VERSION(1, 2, 0);
  for (const auto& device : platform.devices) {
    highest = std::max(highest, device->version());
  }
  return highest;
}

cl_int asked(const Expected<std::vector<std::byte>>& answer, const InfoTarget& target) {
  return answer ? target.list(*answer) : answer.error();
}

// The same of what OpenCL 3.0 added.
cl_int masked_newer_info(Device& device, cl_device_info parameter, const InfoTarget& target, bool& is_masked) {
  const bool is_newer = device.version() >= CL_MAKE_VERSION(3, 0, 0);
  // The question for languages is also an extension's (cl_khr_il_program), which the host's device has or has not.
  if (!is_newer && parameter > CL_DEVICE_PRINTF_BUFFER_SIZE && parameter != CL_DEVICE_IL_VERSION) {
    return CL_INVALID_VALUE;
  }
  switch (parameter) {
    case CL_DEVICE_NUMERIC_VERSION:
      return target.value(device.version());
    case CL_DEVICE_EXTENSIONS_WITH_VERSION:
    case CL_DEVICE_OPENCL_C_FEATURES: {
      const auto answer = device.ask(parameter);
      const bool are_features = parameter == CL_DEVICE_OPENCL_C_FEATURES;
      return answer ? target.list(kept_of(*answer, are_features ? is_feature_kept : is_kept)) : answer.error();
    }
    case CL_DEVICE_IL_VERSION:
      return is_newer && !device.takes_il() ? target.text("") : asked(device.ask(parameter), target);
    case CL_DEVICE_ILS_WITH_VERSION:
      return device.takes_il() ? asked(device.ask(parameter), target) : target.bytes({});
    case CL_DEVICE_BUILT_IN_KERNELS_WITH_VERSION:
      return target.bytes({});
    case CL_DEVICE_SVM_CAPABILITIES:
      return target.value(device.shared_memory());
    case CL_DEVICE_QUEUE_ON_DEVICE_PROPERTIES:
    case CL_DEVICE_DEVICE_ENQUEUE_CAPABILITIES:
      return target.value(cl_bitfield{0});
    case CL_DEVICE_QUEUE_ON_DEVICE_PREFERRED_SIZE:
    case CL_DEVICE_QUEUE_ON_DEVICE_MAX_SIZE:
    case CL_DEVICE_MAX_ON_DEVICE_QUEUES:
    case CL_DEVICE_MAX_ON_DEVICE_EVENTS:
    case CL_DEVICE_PIPE_SUPPORT:
    case CL_DEVICE_MAX_PIPE_ARGS:
    case CL_DEVICE_PIPE_MAX_ACTIVE_RESERVATIONS:
    case CL_DEVICE_PIPE_MAX_PACKET_SIZE:
    case CL_DEVICE_MAX_NUM_SUB_GROUPS:
    case CL_DEVICE_SUB_GROUP_INDEPENDENT_FORWARD_PROGRESS:
      return target.value(cl_uint{0});
    default:
      is_masked = false;
      return CL_SUCCESS;
  }
}

// What the driver says and we cannot keep, or what must be in our own words.
cl_int masked_info(Device& device, cl_device_info parameter, const InfoTarget& target, bool& is_masked) {
  is_masked = true;
  switch (parameter) {
    case CL_DEVICE_PLATFORM:
      return target.value(handle_of(device.platform.lock()));
    case CL_DEVICE_PARENT_DEVICE:
      return target.value(handle_of(device.parent));
    case CL_DEVICE_REFERENCE_COUNT:
      return target.value(device.parent != nullptr ? device.references() : cl_uint{1});
    case CL_DEVICE_VERSION: {
      const auto answer = device.ask(parameter);
      return answer ? target.text(version_text(device.version(), text_of(*answer))) : answer.error();
    }
    case CL_DEVICE_OPENCL_C_VERSION: {
      const auto answer = device.ask(parameter);
      return answer ? target.text(language_text(device.version(), text_of(*answer))) : answer.error();
    }
    case CL_DEVICE_EXTENSIONS: {
      const auto answer = device.ask(parameter);
      return answer ? target.text(kept(text_of(*answer))) : answer.error();
    }
    case CL_DEVICE_EXECUTION_CAPABILITIES:
      return target.value(cl_device_exec_capabilities{CL_EXEC_KERNEL});
    case CL_DEVICE_BUILT_IN_KERNELS:
      return target.text("");
    case CL_DEVICE_GLOBAL_MEM_SIZE: {
      const Connection* connection = Connection::get();
      return target.value(
          std::min<cl_ulong>(device.value<cl_ulong>(parameter, 0), connection != nullptr ? connection->memory() : 0));
    }
    case CL_DEVICE_MAX_MEM_ALLOC_SIZE:
      return target.value(device.largest_buffer());
    default:
      return masked_newer_info(device, parameter, target, is_masked);
  }
}

}  // namespace

const std::vector<std::shared_ptr<Platform>>& Platform::all() {
  static std::mutex mutex;
  static auto* const platforms = new std::vector<std::shared_ptr<Platform>>;
  static const std::vector<std::shared_ptr<Platform>> none;
  const Connection* connection = Connection::open();
  if (connection == nullptr) {
    return none;
  }
  const std::scoped_lock lock(mutex);
  if (platforms->empty()) {
    *platforms = find_platforms(*connection);
  }
  return *platforms;
}

Expected<std::vector<std::byte>> Device::ask(cl_device_info parameter) {
  {
    const std::scoped_lock lock(mutex_);
    if (const auto known = answers_.find(parameter); known != answers_.end()) {
      return known->second;
    }
  }
  Connection* connection = Connection::get();
  if (connection == nullptr) {
    return std::unexpected(CL_OUT_OF_RESOURCES);
  }
  auto answer = connection->query(Subject::device, parameter, number);
  if (answer) {
    const std::scoped_lock lock(mutex_);
    answers_.insert_or_assign(parameter, *answer);
  }
  return answer;
}

cl_device_svm_capabilities Device::shared_memory() {
  const Connection* connection = Connection::get();
  if (connection == nullptr || !connection->shares_addresses() || (type & CL_DEVICE_TYPE_CPU) == 0 ||
      version() < CL_MAKE_VERSION(3, 0, 0)) {
    return 0;
  }
  // Only the slab is shared, never all of the program's memory.
  constexpr cl_device_svm_capabilities kept =
      CL_DEVICE_SVM_COARSE_GRAIN_BUFFER | CL_DEVICE_SVM_FINE_GRAIN_BUFFER | CL_DEVICE_SVM_ATOMICS;
  return value<cl_device_svm_capabilities>(CL_DEVICE_SVM_CAPABILITIES, 0) & kept;
}

cl_ulong Device::largest_buffer() {
  const Connection* connection = Connection::get();
  // A buffer lies in neighbouring extents: half of the slab can usually be had in one piece.
  const cl_ulong slab = connection != nullptr ? connection->memory() / 2 : 0;
  return std::min(value<cl_ulong>(CL_DEVICE_MAX_MEM_ALLOC_SIZE, 0), slab);
}

namespace entry {

cl_int CL_API_CALL get_platform_ids(cl_uint num_entries, cl_platform_id* platforms, cl_uint* num_platforms) {
  if ((num_entries == 0 && platforms != nullptr) || (platforms == nullptr && num_platforms == nullptr)) {
    return CL_INVALID_VALUE;
  }
  const auto& all = Platform::all();
  if (num_platforms != nullptr) {
    *num_platforms = static_cast<cl_uint>(all.size());
  }
  if (all.empty()) {
    return CL_PLATFORM_NOT_FOUND_KHR;
  }
  for (std::size_t i = 0; platforms != nullptr && i < std::min<std::size_t>(num_entries, all.size()); ++i) {
    platforms[i] = handle_of(all[i]);
  }
  return CL_SUCCESS;
}

cl_int CL_API_CALL get_platform_info(cl_platform_id handle, cl_platform_info parameter, std::size_t size, void* value,
                                     std::size_t* size_ret) {
  const auto platform = platform_of(handle);
  Connection* connection = Connection::get();
  if (platform == nullptr || connection == nullptr) {
    return CL_INVALID_PLATFORM;
  }
  const InfoTarget target(size, value, size_ret);
  switch (parameter) {
    case CL_PLATFORM_PROFILE:
      return target.text("FULL_PROFILE");
    case CL_PLATFORM_VERSION: {
      const auto answer = connection->query(Subject::platform, parameter, platform->number);
      return answer ? target.text(version_text(version_of(*platform), text_of(*answer))) : answer.error();
    }
    case CL_PLATFORM_NUMERIC_VERSION:
      return version_of(*platform) < CL_MAKE_VERSION(3, 0, 0) ? CL_INVALID_VALUE : target.value(version_of(*platform));
    case CL_PLATFORM_EXTENSIONS_WITH_VERSION:
      return target.list(std::vector{name_and_version("cl_khr_icd", CL_MAKE_VERSION(1, 0, 0)),
                                     name_and_version(frontend_extension, CL_MAKE_VERSION(1, 0, 0))});
    case CL_PLATFORM_HOST_TIMER_RESOLUTION:
      return target.value(cl_ulong{0});  // no timers
    case CL_PLATFORM_NAME:               // the host's own: programs choose by it, and know by it what to mind
    case CL_PLATFORM_VENDOR:
      return asked(connection->query(Subject::platform, parameter, platform->number), target);
    case CL_PLATFORM_EXTENSIONS:
      return target.text(std::string("cl_khr_icd ") + frontend_extension);
    case CL_PLATFORM_ICD_SUFFIX_KHR:
      return target.text("ISTHMUS");
    default:
      return CL_INVALID_VALUE;
  }
}

cl_int CL_API_CALL get_device_ids(cl_platform_id handle, cl_device_type type, cl_uint num_entries,
                                  cl_device_id* devices, cl_uint* num_devices) {
  const auto platform = platform_of(handle);
  if (platform == nullptr) {
    return CL_INVALID_PLATFORM;
  }
  constexpr cl_device_type known = CL_DEVICE_TYPE_DEFAULT | CL_DEVICE_TYPE_CPU | CL_DEVICE_TYPE_GPU |
                                   CL_DEVICE_TYPE_ACCELERATOR | CL_DEVICE_TYPE_CUSTOM;
  if (type == 0 || (type != CL_DEVICE_TYPE_ALL && (type & ~known) != 0)) {
    return CL_INVALID_DEVICE_TYPE;
  }
  if ((num_entries == 0 && devices != nullptr) || (devices == nullptr && num_devices == nullptr)) {
    return CL_INVALID_VALUE;
  }
  std::vector<cl_device_id> found;
  for (const auto& device : platform->devices) {
    const bool is_default = (type & CL_DEVICE_TYPE_DEFAULT) != 0 && device == platform->devices.front();
    const bool is_all = type == CL_DEVICE_TYPE_ALL && (device->type & CL_DEVICE_TYPE_CUSTOM) == 0;
    const bool is_named =
        type != CL_DEVICE_TYPE_ALL && (device->type & type & ~cl_device_type{CL_DEVICE_TYPE_DEFAULT}) != 0;
    if (is_default || is_all || is_named) {
      found.push_back(handle_of(device));
    }
  }
  if (num_devices != nullptr) {
    *num_devices = static_cast<cl_uint>(found.size());
  }
  if (found.empty()) {
    return CL_DEVICE_NOT_FOUND;
  }
  if (devices != nullptr) {
    std::ranges::copy_n(found.begin(), static_cast<std::ptrdiff_t>(std::min<std::size_t>(num_entries, found.size())),
                        devices);
  }
  return CL_SUCCESS;
}

cl_int CL_API_CALL get_device_info(cl_device_id handle, cl_device_info parameter, std::size_t size, void* value,
                                   std::size_t* size_ret) {
  const auto device = find<Device>(handle);
  if (device == nullptr) {
    return CL_INVALID_DEVICE;
  }
  const InfoTarget target(size, value, size_ret);
  bool is_masked = false;
  const cl_int code = masked_info(*device, parameter, target, is_masked);
  return is_masked ? code : asked(device->ask(parameter), target);
}

cl_int CL_API_CALL unload_compiler() { return CL_SUCCESS; }

cl_int CL_API_CALL unload_platform_compiler(cl_platform_id handle) {
  return find<Platform>(handle) != nullptr ? CL_SUCCESS : CL_INVALID_PLATFORM;
}

void* CL_API_CALL get_extension_function_address_for_platform(cl_platform_id handle, const char* name) {
  return find<Platform>(handle) != nullptr ? extension_function(name != nullptr ? name : "") : nullptr;
}

}  // namespace entry
}  // namespace isthmus::opencl
