// SPDX-License-Identifier: Apache-2.0

// A test double: an OpenCL layer for the host's loader (OPENCL_LAYERS), which has PoCL take SPIR-V as far as tests need
// that. It reads a module's words for the names of its kernels and its specialization constants, and makes a program
// from source of them: each kernel writes how many words the module has, their sum, and the constants' values in order.
// Constants are 32 bits wide and 0 unless set.
//
// With ISTHMUS_TEST_SPIRV=extension the device says that it is one of before OpenCL 3.0, with cl_khr_il_program.

#define CL_TARGET_OPENCL_VERSION 300
#define CL_USE_DEPRECATED_OPENCL_1_2_APIS
#include <CL/cl.h>
#include <CL/cl_ext.h>
#include <CL/cl_layer.h>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace {

using Constants = std::map<std::uint32_t, std::uint32_t>;

cl_icd_dispatch target;
cl_icd_dispatch layer;
bool by_extension = false;

std::mutex programs_mutex;
std::map<cl_program, Constants> programs;

struct Module {
  std::uint32_t words = 0;
  std::uint32_t sum = 0;
  std::vector<std::string> kernels;
  Constants constants;
};

// Literal strings have four characters a word, the first in its lowest bits.
std::string string_at(std::span<const std::uint32_t> words) {
  std::string text;
  for (const std::uint32_t word : words) {
    for (unsigned shift = 0; shift < 32; shift += 8) {
      const char character = static_cast<char>(word >> shift & 0xffU);
      if (character == '\0') {
        return text;
      }
      text += character;
    }
  }
  return text;
}

std::optional<Module> parse(const void* il, std::size_t length) {
  constexpr std::uint32_t magic = 0x07230203;
  constexpr std::size_t header = 5;
  std::vector<std::uint32_t> words(length / sizeof(std::uint32_t));
  if (words.size() < header || length % sizeof(std::uint32_t) != 0) {
    return std::nullopt;
  }
  std::memcpy(words.data(), il, length);
  if (words.front() == std::byteswap(magic)) {
    std::ranges::transform(words, words.begin(), [](std::uint32_t word) { return std::byteswap(word); });
  }
  if (words.front() != magic) {
    return std::nullopt;
  }
  Module module{.words = static_cast<std::uint32_t>(words.size()), .kernels = {}, .constants = {}};
  for (const std::uint32_t word : words) {
    module.sum += word;
  }
  for (std::size_t at = header; at < words.size();) {
    const std::uint32_t opcode = words[at] & 0xffffU;
    const std::size_t count = words[at] >> 16U;
    if (count == 0 || count > words.size() - at) {
      return std::nullopt;
    }
    const auto operands = std::span(words).subspan(at + 1, count - 1);
    constexpr std::uint32_t op_entry_point = 15;
    constexpr std::uint32_t op_decorate = 71;
    if (opcode == op_entry_point && operands.size() > 2 && operands[0] == 6) {  // the model Kernel
      module.kernels.push_back(string_at(operands.subspan(2)));
    } else if (opcode == op_decorate && operands.size() == 3 && operands[1] == 1) {  // SpecId
      module.constants.emplace(operands[2], 0);
    }
    at += count;
  }
  return module;
}

std::string source_of(const Module& module) {
  std::string body = "v[0] = " + std::to_string(module.words) + "u; v[1] = " + std::to_string(module.sum) + "u;";
  std::size_t place = 2;
  for (const auto& [id, value] : module.constants) {
    body += " v[" + std::to_string(place++) + "] = SPEC_" + std::to_string(id) + ";";
  }
  std::string source;
  for (const std::string& kernel : module.kernels) {
    source.append("__kernel void ").append(kernel).append("(__global uint* v) { ").append(body).append(" }\n");
  }
  return source;
}

cl_int put(const void* answer, std::size_t bytes, std::size_t size, void* value, std::size_t* size_ret) {
  if (value != nullptr && size < bytes) {
    return CL_INVALID_VALUE;
  }
  if (value != nullptr) {
    std::memcpy(value, answer, bytes);
  }
  if (size_ret != nullptr) {
    *size_ret = bytes;
  }
  return CL_SUCCESS;
}

cl_int put_text(const std::string& text, std::size_t size, void* value, std::size_t* size_ret) {
  return put(text.c_str(), text.size() + 1, size, value, size_ret);
}

cl_int CL_API_CALL get_device_info(cl_device_id device, cl_device_info parameter, std::size_t size, void* value,
                                   std::size_t* size_ret) {
  if (parameter == CL_DEVICE_IL_VERSION) {
    return put_text("SPIR-V_1.2", size, value, size_ret);
  }
  if (parameter == CL_DEVICE_ILS_WITH_VERSION && !by_extension) {
    const cl_name_version one{.version = CL_MAKE_VERSION(1, 2, 0), .name = "SPIR-V"};
    return put(&one, sizeof one, size, value, size_ret);
  }
  if (parameter == CL_DEVICE_EXTENSIONS && by_extension) {
    return put_text("cl_khr_byte_addressable_store cl_khr_il_program", size, value, size_ret);
  }
  if (parameter == CL_DEVICE_NUMERIC_VERSION && by_extension) {
    return CL_INVALID_VALUE;
  }
  return target.clGetDeviceInfo(device, parameter, size, value, size_ret);
}

cl_program CL_API_CALL create(cl_context context, const void* il, std::size_t length, cl_int* errcode_ret) {
  const auto module = parse(il, length);
  if (!module) {
    *errcode_ret = CL_INVALID_VALUE;
    return nullptr;
  }
  const std::string source = source_of(*module);
  const char* text = source.c_str();
  cl_program made = target.clCreateProgramWithSource(context, 1, &text, nullptr, errcode_ret);
  const std::scoped_lock lock(programs_mutex);
  programs.insert_or_assign(made, module->constants);
  return made;
}

cl_program CL_API_CALL refuse_to_create(cl_context, const void*, std::size_t, cl_int* errcode_ret) {
  *errcode_ret = CL_INVALID_OPERATION;
  return nullptr;
}

void* CL_API_CALL get_extension_function(cl_platform_id, const char* name) {
  return name == std::string_view("clCreateProgramWithILKHR") ? reinterpret_cast<void*>(create) : nullptr;
}

cl_int CL_API_CALL set_constant(cl_program program, cl_uint id, std::size_t size, const void* value) {
  const std::scoped_lock lock(programs_mutex);
  Constants& constants = programs[program];
  if (!constants.contains(id)) {
    return CL_INVALID_SPEC_ID;
  }
  if (size != sizeof(std::uint32_t)) {
    return CL_INVALID_VALUE;
  }
  std::memcpy(&constants[id], value, size);
  return CL_SUCCESS;
}

cl_int CL_API_CALL build(cl_program program, cl_uint count, const cl_device_id* devices, const char* options,
                         void(CL_CALLBACK* notify)(cl_program, void*), void* user_data) {
  std::string all = options;
  {
    const std::scoped_lock lock(programs_mutex);
    for (const auto& [id, value] : programs[program]) {
      all += " -DSPEC_" + std::to_string(id) + "=" + std::to_string(value) + "u";
    }
  }
  return target.clBuildProgram(program, count, devices, all.c_str(), notify, user_data);
}

}  // namespace

extern "C" {

__attribute__((visibility("default"))) cl_int CL_API_CALL clGetLayerInfo(cl_layer_info parameter, std::size_t size,
                                                                         void* value, std::size_t* size_ret) {
  const cl_layer_api_version version = CL_LAYER_API_VERSION_100;
  return parameter == CL_LAYER_API_VERSION ? put(&version, sizeof version, size, value, size_ret)
         : parameter == CL_LAYER_NAME      ? put_text("isthmus test: SPIR-V", size, value, size_ret)
                                           : CL_INVALID_VALUE;
}

__attribute__((visibility("default"))) cl_int CL_API_CALL clInitLayer(cl_uint entries, const cl_icd_dispatch* below,
                                                                      cl_uint* entries_ret,
                                                                      const cl_icd_dispatch** layer_ret) {
  const std::size_t known = std::min<std::size_t>(entries, sizeof target / sizeof(void*));
  std::memcpy(static_cast<void*>(&target), below, known * sizeof(void*));
  layer = target;
  const char* form = std::getenv("ISTHMUS_TEST_SPIRV");
  by_extension = form != nullptr && form == std::string_view("extension");
  layer.clGetDeviceInfo = get_device_info;
  layer.clCreateProgramWithIL = by_extension ? refuse_to_create : create;
  layer.clSetProgramSpecializationConstant = set_constant;
  layer.clBuildProgram = build;
  if (by_extension) {
    layer.clGetExtensionFunctionAddressForPlatform = get_extension_function;
  }
  *entries_ret = static_cast<cl_uint>(known);
  *layer_ret = &layer;
  return CL_SUCCESS;
}

}  // extern "C"
