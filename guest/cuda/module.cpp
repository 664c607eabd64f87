// SPDX-License-Identifier: Apache-2.0

// Modules, libraries, functions and kernels.

#include <fatbinary_section.h>
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "guest/cuda/functions.hpp"
#include "guest/cuda/jit_request.hpp"
#include "src/gpu/cuda/image.hpp"

using namespace isthmus::cuda;  // NOLINT(google-build-using-namespace): the names below are C's

namespace {

constexpr std::size_t longest_name = 16 * 1024;  // mangled names are long

Id name_of(const void* handle) { return reinterpret_cast<std::uintptr_t>(handle); }

// The image itself, where what is given is the wrapper that nvcc puts around it.
const std::byte* unwrap(const void* image) {
  __fatBinC_Wrapper_t wrapper;
  std::uint32_t magic = 0;
  const auto* const bytes = static_cast<const unsigned char*>(image);
  for (unsigned i = 0; i < sizeof magic && bytes[i] != 0; ++i) {  // a text may end within four bytes
    magic |= std::uint32_t{bytes[i]} << (8 * i);
  }
  if (magic != FATBINC_MAGIC) {
    return static_cast<const std::byte*>(image);
  }
  std::memcpy(&wrapper, image, sizeof wrapper);
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): an image is bytes
  return reinterpret_cast<const std::byte*>(wrapper.data);
}

// Loads a module into a context, or a library where that is 0.
Expected<Id> load_image(Frontend& cuda, Id context, const void* image, const JitRequest& jit) {
  if (image == nullptr) {
    return std::unexpected(CUDA_ERROR_INVALID_VALUE);
  }
  const std::byte* const code = unwrap(image);
  const auto size = code == nullptr ? std::nullopt : image_size(code, max_image);
  if (!size) {
    return std::unexpected(CUDA_ERROR_INVALID_IMAGE);
  }
  auto frame = cuda.lane->allocate(*size);
  if (!frame) {
    return std::unexpected(frame.error().code == isthmus::Errc::exhausted ? CUDA_ERROR_OUT_OF_MEMORY
                                                                          : cuda.lane->lost(frame.error()));
  }
  std::memcpy(frame->data(), code, *size);
  const auto id = cuda.modules.reserve();
  if (!id) {
    return std::unexpected(CUDA_ERROR_OUT_OF_MEMORY);
  }
  std::vector<std::byte> logs(isthmus::abi::max_body);
  const auto loaded = cuda.lane->call<LoadModule>({.id = *id,
                                                   .context = context,
                                                   .image = frame->reference(),
                                                   .library = context == 0 ? 1U : 0U,
                                                   .options = static_cast<std::uint32_t>(jit.rows().size()),
                                                   .info_log = jit.info_room(),
                                                   .error_log = jit.error_room()},
                                                  std::as_bytes(std::span(jit.rows())), logs);
  if (loaded) {
    jit.answer(loaded->reply, std::span(logs).first(loaded->trailing));
  }
  if (!loaded || loaded->reply.status != CUDA_SUCCESS) {
    cuda.modules.cancel(*id);
    return std::unexpected(loaded ? cuda.lane->code_of(loaded->reply.status) : loaded.error());
  }
  cuda.modules.publish(*id, {.context = context, .library = context == 0});
  return *id;
}

CUresult load_module(CUmodule* module, const void* image, unsigned count, const CUjit_option* names, void** values) {
  return entry_here([&](const Here& here) -> CUresult {
    const auto jit = JitRequest::of(count, names, values);
    if (module == nullptr || !jit) {
      return module == nullptr ? CUDA_ERROR_INVALID_VALUE : jit.error();
    }
    const auto id = load_image(here.cuda, here.context, image, *jit);
    return id ? give(module, handle_of<CUmodule>(*id)) : id.error();
  });
}

// Asks for a function, a kernel or a kernel's function; `ask` sends the message under a new name.
template <class F>
Expected<Id> make_function(Frontend& cuda, FunctionRecord record, F ask) {
  const auto id = cuda.functions.reserve();
  if (!id) {
    return std::unexpected(CUDA_ERROR_OUT_OF_MEMORY);
  }
  std::vector<ParameterRow> rows(max_parameters);
  const auto found = ask(*id, std::as_writable_bytes(std::span(rows)));
  if (!found) {
    cuda.functions.cancel(*id);
    return std::unexpected(found.error());
  }
  record.info = found->reply;
  rows.resize(std::min<std::size_t>(found->reply.parameters, found->trailing / sizeof(ParameterRow)));
  for (const ParameterRow& row : rows) {
    // What the host says decides what is read of the program's memory.
    if (row.offset > max_parameter_bytes || row.size > max_parameter_bytes - row.offset) {
      return std::unexpected(CUDA_ERROR_UNKNOWN);
    }
    record.parameter_bytes = std::max(record.parameter_bytes, row.offset + row.size);
  }
  record.parameters = std::move(rows);
  record.parameters.shrink_to_fit();
  cuda.functions.publish(*id, std::move(record));
  return *id;
}

Expected<Id> find_function(Frontend& cuda, Id owner, Id context, bool kernel, const char* name) {
  const std::size_t length = strnlen(name, longest_name);
  return make_function(
      cuda, {.owner = owner, .context = kernel ? 0 : context, .kernel = kernel, .name = name, .parameters = {}},
      [&](Id id, std::span<std::byte> rows) {
        return cuda.lane->call<FindFunction>({.owner = owner, .id = id, .context = context},
                                             std::as_bytes(std::span(name, length)), rows);
      });
}

CUresult find_global(const Here& here, Id owner, const char* name, CUdeviceptr* address, std::size_t* bytes,
                     bool managed = false) {
  if (name == nullptr || (address == nullptr && bytes == nullptr)) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  const auto found =
      here.lane().call<FindGlobal>({.owner = owner, .context = here.context, .managed = managed ? 1U : 0U},
                                   std::as_bytes(std::span(name, strnlen(name, longest_name))));
  if (!found) {
    return found.error();
  }
  // There is no other address to ask for; only a managed variable must lie there.
  const bool held = here.cuda.addresses.hold(found->reply.address, found->reply.size);
  if (managed && !(held && here.lane().managed().add(owner, found->reply.address, found->reply.size,
                                                     [&](Id library, std::uint64_t from, std::span<std::byte> to) {
                                                       return here.lane().read_managed(library, from, to);
                                                     }))) {
    return CUDA_ERROR_OUT_OF_MEMORY;
  }
  here.cuda.memory.add(found->reply.address, found->reply.size,
                       {.kind = MemoryKind::variable,
                        .context = here.context,
                        .device = here.record.device,
                        .number = here.cuda.last_buffer.fetch_add(1, std::memory_order_relaxed) + 1,
                        .managed_variable = managed});
  if (address != nullptr) {
    *address = found->reply.address;
  }
  if (bytes != nullptr) {
    *bytes = found->reply.size;
  }
  return CUDA_SUCCESS;
}

CUresult unload(Frontend& cuda, Id id, bool library) {
  const ModuleRecord* const record = cuda.modules.find(id);
  if (record == nullptr || record->library != library) {
    return CUDA_ERROR_INVALID_HANDLE;
  }
  cuda.lane->managed().forget(id);
  cuda.functions.remove_if([id](const FunctionRecord& function) { return function.owner == id; });
  cuda.modules.remove(id);
  return cuda.lane->tell<Release>({.kind = ObjectKind::module, .id = id});
}

// Runs `function(Frontend&, ModuleRecord)` with a library.
template <class F>
CUresult with_library(CUlibrary library, F function) {
  return entry([&](Frontend& cuda) -> CUresult {
    const ModuleRecord* const record = cuda.modules.find(library);
    return record == nullptr || !record->library ? CUDA_ERROR_INVALID_HANDLE : function(cuda);
  });
}

// Runs `function(Frontend&, FunctionRecord&)`.
template <class F>
CUresult with_function(const void* handle, F function) {
  return entry([&](Frontend& cuda) -> CUresult {
    FunctionRecord* const record = cuda.functions.find(name_of(handle));
    return record == nullptr ? CUDA_ERROR_INVALID_HANDLE : function(cuda, *record);
  });
}

bool is_settable(CUfunction_attribute attribute) {
  switch (attribute) {
    case CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES:
    case CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT:
    case CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_WIDTH:
    case CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_HEIGHT:
    case CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_DEPTH:
    case CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED:
    case CU_FUNC_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE:
      return true;
    default:
      return false;
  }
}

// Sets an attribute or cache preference of a function (in the current context) or kernel (on a device).
CUresult configure_function(Frontend& cuda, Id id, FunctionRecord& record, Subject subject, std::uint32_t parameter,
                            int value, std::uint64_t device) {
  const CUresult code = cuda.lane->tell<Configure>({.question = {.subject = subject,
                                                                 .parameter = parameter,
                                                                 .context = ContextStack::mine().top(),
                                                                 .object = id,
                                                                 .detail = {device, 0, 0}},
                                                    .value = static_cast<std::uint64_t>(value)});
  const bool is_attribute = subject == Subject::function_attribute || subject == Subject::kernel_attribute;
  if (code == CUDA_SUCCESS && is_attribute && parameter < record.info.attributes.size()) {
    record.info.attributes.at(parameter) = value;
    const std::scoped_lock lock(cuda.occupancy_mutex);
    cuda.occupancy.clear();
  }
  return code;
}

}  // namespace

// ---- modules -------------------------------------------------------------------------------------------------------

CUresult CUDAAPI cuModuleLoadData(CUmodule* module, const void* image) {
  return load_module(module, image, 0, nullptr, nullptr);
}

CUresult CUDAAPI cuModuleLoadDataEx(CUmodule* module, const void* image, unsigned int count, CUjit_option* options,
                                    void** values) {
  return load_module(module, image, count, options, values);
}

CUresult CUDAAPI cuModuleLoadFatBinary(CUmodule* module, const void* image) {
  return load_module(module, image, 0, nullptr, nullptr);
}

CUresult CUDAAPI cuModuleLoad(CUmodule* module, const char* path) {
  return entry_here([&](const Here&) -> CUresult {
    const auto bytes = read_file(path);
    return bytes ? load_module(module, bytes->data(), 0, nullptr, nullptr) : bytes.error();
  });
}

CUresult CUDAAPI cuModuleUnload(CUmodule module) {
  return entry_here([&](const Here& here) { return unload(here.cuda, name_of(module), false); });
}

CUresult CUDAAPI cuModuleGetLoadingMode(CUmoduleLoadingMode* mode) {
  return entry([&](const Frontend&) { return give(mode, CU_MODULE_LAZY_LOADING); });
}

CUresult CUDAAPI cuModuleGetFunction(CUfunction* function, CUmodule module, const char* name) {
  return entry_here([&](const Here& here) -> CUresult {
    const ModuleRecord* const record = here.cuda.modules.find(module);
    if (function == nullptr || name == nullptr || *name == '\0') {
      return CUDA_ERROR_INVALID_VALUE;
    }
    if (record == nullptr || record->library) {
      return CUDA_ERROR_INVALID_HANDLE;
    }
    const auto id = find_function(here.cuda, name_of(module), record->context, false, name);
    return id ? give(function, handle_of<CUfunction>(*id)) : id.error();
  });
}

CUresult CUDAAPI cuModuleGetGlobal(CUdeviceptr* address, std::size_t* bytes, CUmodule module, const char* name) {
  return entry_here([&](const Here& here) -> CUresult {
    const ModuleRecord* const record = here.cuda.modules.find(module);
    return record == nullptr || record->library ? CUDA_ERROR_INVALID_HANDLE
                                                : find_global(here, name_of(module), name, address, bytes);
  });
}

// ---- libraries and kernels -----------------------------------------------------------------------------------------

CUresult CUDAAPI cuLibraryLoadData(CUlibrary* library, const void* code, CUjit_option* options, void** values,
                                   unsigned int count, CUlibraryOption* /*library_options*/, void** /*library_values*/,
                                   unsigned int /*library_count*/) {
  // The library's options say how long the caller keeps the image, and who links: neither matters behind a copy.
  return entry([&](Frontend& cuda) -> CUresult {
    const auto jit = JitRequest::of(count, options, values);
    if (library == nullptr || !jit) {
      return library == nullptr ? CUDA_ERROR_INVALID_VALUE : jit.error();
    }
    const auto id = load_image(cuda, 0, code, *jit);
    return id ? give(library, handle_of<CUlibrary>(*id)) : id.error();
  });
}

CUresult CUDAAPI cuLibraryLoadFromFile(CUlibrary* library, const char* path, CUjit_option* options, void** values,
                                       unsigned int count, CUlibraryOption* library_options, void** library_values,
                                       unsigned int library_count) {
  return entry([&](Frontend&) -> CUresult {
    const auto bytes = read_file(path);
    return bytes ? cuLibraryLoadData(library, bytes->data(), options, values, count, library_options, library_values,
                                     library_count)
                 : bytes.error();
  });
}

CUresult CUDAAPI cuLibraryUnload(CUlibrary library) {
  return entry([&](Frontend& cuda) { return unload(cuda, name_of(library), true); });
}

CUresult CUDAAPI cuLibraryGetKernel(CUkernel* kernel, CUlibrary library, const char* name) {
  return with_library(library, [&](Frontend& cuda) -> CUresult {
    if (kernel == nullptr || name == nullptr || *name == '\0') {
      return CUDA_ERROR_INVALID_VALUE;
    }
    const auto id = find_function(cuda, name_of(library), ContextStack::mine().top(), true, name);
    return id ? give(kernel, handle_of<CUkernel>(*id)) : id.error();
  });
}

CUresult CUDAAPI cuLibraryGetModule(CUmodule* module, CUlibrary library) {
  return with_library(library, [&](Frontend&) {
    return entry_here([&](const Here& here) -> CUresult {
      const auto id = here.cuda.modules.reserve();
      if (module == nullptr || !id) {
        return module == nullptr ? CUDA_ERROR_INVALID_VALUE : CUDA_ERROR_OUT_OF_MEMORY;
      }
      const CUresult code =
          here.lane().tell<LibraryModule>({.library = name_of(library), .id = *id, .context = here.context});
      if (code != CUDA_SUCCESS) {
        here.cuda.modules.cancel(*id);
        return code;
      }
      here.cuda.modules.publish(*id, {.context = here.context, .library = false});
      return give(module, handle_of<CUmodule>(*id));
    });
  });
}

CUresult CUDAAPI cuLibraryGetGlobal(CUdeviceptr* address, std::size_t* bytes, CUlibrary library, const char* name) {
  return with_library(library, [&](Frontend&) {
    return entry_here([&](const Here& here) { return find_global(here, name_of(library), name, address, bytes); });
  });
}

CUresult CUDAAPI cuLibraryGetManaged(CUdeviceptr* address, std::size_t* bytes, CUlibrary library, const char* name) {
  return with_library(library, [&](Frontend&) {
    return entry_here(
        [&](const Here& here) { return find_global(here, name_of(library), name, address, bytes, true); });
  });
}

CUresult CUDAAPI cuKernelGetFunction(CUfunction* function, CUkernel kernel) {
  return entry_here([&](const Here& here) -> CUresult {
    const FunctionRecord* const record = here.cuda.functions.find(kernel);
    if (function == nullptr || record == nullptr || !record->kernel) {
      return function == nullptr ? CUDA_ERROR_INVALID_VALUE : CUDA_ERROR_INVALID_HANDLE;
    }
    const auto id = make_function(
        here.cuda,
        {.owner = record->owner, .context = here.context, .kernel = false, .name = record->name, .parameters = {}},
        [&](Id name, std::span<std::byte> rows) {
          return here.lane().call<KernelFunction>({.kernel = name_of(kernel), .id = name, .context = here.context}, {},
                                                  rows);
        });
    return id ? give(function, handle_of<CUfunction>(*id)) : id.error();
  });
}

CUresult CUDAAPI cuKernelGetLibrary(CUlibrary* library, CUkernel kernel) {
  return with_function(kernel, [&](const Frontend&, const FunctionRecord& record) {
    return record.kernel ? give(library, handle_of<CUlibrary>(record.owner)) : CUDA_ERROR_INVALID_HANDLE;
  });
}

CUresult CUDAAPI cuKernelGetAttribute(int* value, CUfunction_attribute attribute, CUkernel kernel, CUdevice device) {
  return with_function(kernel, [&](Frontend& cuda, const FunctionRecord& record) -> CUresult {
    if (!record.kernel || cuda.device(device) == nullptr) {
      return record.kernel ? CUDA_ERROR_INVALID_DEVICE : CUDA_ERROR_INVALID_HANDLE;
    }
    if (value == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    const auto asked = cuda.lane->call<Query>({.question = {.subject = Subject::kernel_attribute,
                                                            .parameter = static_cast<std::uint32_t>(attribute),
                                                            .object = name_of(kernel),
                                                            .detail = {static_cast<std::uint64_t>(device), 0, 0}}});
    return asked ? give(value, asked->reply.values[0]) : asked.error();
  });
}

CUresult CUDAAPI cuKernelSetAttribute(CUfunction_attribute attribute, int value, CUkernel kernel, CUdevice device) {
  return with_function(kernel, [&](Frontend& cuda, FunctionRecord& record) -> CUresult {
    if (!record.kernel || cuda.device(device) == nullptr || !is_settable(attribute)) {
      return !record.kernel ? CUDA_ERROR_INVALID_HANDLE : CUDA_ERROR_INVALID_VALUE;
    }
    return configure_function(cuda, name_of(kernel), record, Subject::kernel_attribute,
                              static_cast<std::uint32_t>(attribute), value, static_cast<std::uint64_t>(device));
  });
}

CUresult CUDAAPI cuKernelSetCacheConfig(CUkernel kernel, CUfunc_cache config, CUdevice device) {
  return with_function(kernel, [&](Frontend& cuda, FunctionRecord& record) -> CUresult {
    if (!record.kernel || cuda.device(device) == nullptr) {
      return !record.kernel ? CUDA_ERROR_INVALID_HANDLE : CUDA_ERROR_INVALID_DEVICE;
    }
    return configure_function(cuda, name_of(kernel), record, Subject::kernel_cache, 0, config,
                              static_cast<std::uint64_t>(device));
  });
}

// ---- functions -----------------------------------------------------------------------------------------------------

namespace {

CUresult name_of_function(const char** name, const void* handle) {
  return with_function(handle,
                       [&](const Frontend&, const FunctionRecord& record) { return give(name, record.name.c_str()); });
}

CUresult parameter_of(const void* handle, std::size_t index, std::size_t* offset, std::size_t* size) {
  return with_function(handle, [&](const Frontend&, const FunctionRecord& record) -> CUresult {
    if (offset == nullptr || index >= record.parameters.size()) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    *offset = record.parameters[index].offset;
    if (size != nullptr) {
      *size = record.parameters[index].size;
    }
    return CUDA_SUCCESS;
  });
}

}  // namespace

CUresult CUDAAPI cuFuncGetName(const char** name, CUfunction function) { return name_of_function(name, function); }

CUresult CUDAAPI cuKernelGetName(const char** name, CUkernel kernel) { return name_of_function(name, kernel); }

CUresult CUDAAPI cuFuncGetParamInfo(CUfunction function, std::size_t index, std::size_t* offset, std::size_t* size) {
  return parameter_of(function, index, offset, size);
}

CUresult CUDAAPI cuKernelGetParamInfo(CUkernel kernel, std::size_t index, std::size_t* offset, std::size_t* size) {
  return parameter_of(kernel, index, offset, size);
}

CUresult CUDAAPI cuFuncGetModule(CUmodule* module, CUfunction function) {
  return with_function(function, [&](const Frontend& cuda, const FunctionRecord& record) -> CUresult {
    const ModuleRecord* const owner = cuda.modules.find(record.owner);
    return owner == nullptr || owner->library ? CUDA_ERROR_NOT_SUPPORTED
                                              : give(module, handle_of<CUmodule>(record.owner));
  });
}

CUresult CUDAAPI cuFuncGetAttribute(int* value, CUfunction_attribute attribute, CUfunction function) {
  return with_function(function, [&](const Frontend&, const FunctionRecord& record) -> CUresult {
    const auto found = record.attribute(attribute);
    return found ? give(value, *found) : CUDA_ERROR_INVALID_VALUE;
  });
}

CUresult CUDAAPI cuFuncSetAttribute(CUfunction function, CUfunction_attribute attribute, int value) {
  return with_function(function, [&](Frontend& cuda, FunctionRecord& record) -> CUresult {
    return is_settable(attribute) ? configure_function(cuda, name_of(function), record, Subject::function_attribute,
                                                       static_cast<std::uint32_t>(attribute), value, 0)
                                  : CUDA_ERROR_INVALID_VALUE;
  });
}

CUresult CUDAAPI cuFuncSetCacheConfig(CUfunction function, CUfunc_cache config) {
  return with_function(function, [&](Frontend& cuda, FunctionRecord& record) {
    return configure_function(cuda, name_of(function), record, Subject::function_cache, 0, config, 0);
  });
}

CUresult CUDAAPI cuFuncIsLoaded(CUfunctionLoadingState* state, CUfunction function) {
  return with_function(function, [&](const Frontend&, const FunctionRecord&) {
    return give(state, CU_FUNCTION_LOADING_STATE_LOADED);  // its parameters and attributes are known
  });
}

CUresult CUDAAPI cuFuncLoad(CUfunction function) {
  return with_function(function, [](const Frontend&, const FunctionRecord&) { return CUDA_SUCCESS; });
}

// ---- occupancy -----------------------------------------------------------------------------------------------------

namespace {

Expected<int> occupancy_of(const Here& here, CUfunction function, int block, std::size_t shared, unsigned flags) {
  const std::tuple key(name_of(function), block, shared, flags);
  {
    const std::scoped_lock lock(here.cuda.occupancy_mutex);
    if (const auto known = here.cuda.occupancy.find(key); known != here.cuda.occupancy.end()) {
      return known->second;
    }
  }
  const auto asked =
      here.lane().call<Query>({.question = {.subject = Subject::occupancy,
                                            .context = here.context,
                                            .object = name_of(function),
                                            .detail = {static_cast<std::uint64_t>(block), shared, flags}}});
  if (!asked) {
    return std::unexpected(asked.error());
  }
  constexpr std::size_t most_kept = 4096;
  const auto blocks = static_cast<int>(asked->reply.values[0]);
  const std::scoped_lock lock(here.cuda.occupancy_mutex);
  if (here.cuda.occupancy.size() < most_kept) {
    here.cuda.occupancy.insert_or_assign(key, blocks);
  }
  return blocks;
}

// The block size with the most threads on a multiprocessor, where the program computes the shared memory for each.
CUresult best_block(const Here& here, CUfunction function, CUoccupancyB2DSize shared_for, int limit, unsigned flags,
                    int& grid, int& block) {
  const Device& device = *here.cuda.devices.at(here.record.device);
  const FunctionRecord* const record = here.cuda.functions.find(function);
  if (record == nullptr) {
    return CUDA_ERROR_INVALID_HANDLE;
  }
  const int warp = std::max(device.attribute(CU_DEVICE_ATTRIBUTE_WARP_SIZE).value_or(32), 1);
  const int processors = device.attribute(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT).value_or(1);
  int most = std::min(device.attribute(CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK).value_or(warp),
                      record->attribute(CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK).value_or(INT32_MAX));
  most = limit > 0 ? std::min(most, limit) : most;
  int best_threads = 0;
  for (int size = (most + warp - 1) / warp * warp; size > 0; size -= warp) {
    const int tried = std::min(size, most);
    const auto blocks = occupancy_of(here, function, tried, shared_for(tried), flags);
    if (!blocks) {
      return blocks.error();
    }
    if (*blocks * tried > best_threads) {
      best_threads = *blocks * tried;
      block = tried;
      grid = *blocks * processors;
    }
  }
  return CUDA_SUCCESS;
}

}  // namespace

CUresult CUDAAPI cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, CUfunction function, int block,
                                                                      std::size_t shared, unsigned int flags) {
  return entry_here([&](const Here& here) -> CUresult {
    if (blocks == nullptr || block <= 0) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    const auto found = occupancy_of(here, function, block, shared, flags);
    return found ? give(blocks, *found) : found.error();
  });
}

CUresult CUDAAPI cuOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, CUfunction function, int block,
                                                             std::size_t shared) {
  return cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(blocks, function, block, shared, 0);
}

CUresult CUDAAPI cuOccupancyMaxPotentialBlockSizeWithFlags(int* grid, int* block, CUfunction function,
                                                           CUoccupancyB2DSize shared_for, std::size_t shared, int limit,
                                                           unsigned int flags) {
  return entry_here([&](const Here& here) -> CUresult {
    if (grid == nullptr || block == nullptr || limit < 0) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    if (shared_for != nullptr) {
      return best_block(here, function, shared_for, limit, flags, *grid, *block);
    }
    const auto asked =
        here.lane().call<Query>({.question = {.subject = Subject::block_size,
                                              .context = here.context,
                                              .object = name_of(function),
                                              .detail = {shared, static_cast<std::uint64_t>(limit), flags}}});
    if (!asked) {
      return asked.error();
    }
    *grid = static_cast<int>(asked->reply.values[0]);
    *block = static_cast<int>(asked->reply.values[1]);
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuOccupancyMaxPotentialBlockSize(int* grid, int* block, CUfunction function,
                                                  CUoccupancyB2DSize shared_for, std::size_t shared, int limit) {
  return cuOccupancyMaxPotentialBlockSizeWithFlags(grid, block, function, shared_for, shared, limit, 0);
}

CUresult CUDAAPI cuOccupancyAvailableDynamicSMemPerBlock(std::size_t* bytes, CUfunction function, int blocks,
                                                         int block) {
  return entry_here([&](const Here& here) -> CUresult {
    if (bytes == nullptr || blocks <= 0 || block <= 0) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    const auto asked = here.lane().call<Query>(
        {.question = {.subject = Subject::shared_memory,
                      .context = here.context,
                      .object = name_of(function),
                      .detail = {static_cast<std::uint64_t>(blocks), static_cast<std::uint64_t>(block), 0}}});
    return asked ? give(bytes, asked->reply.values[0]) : asked.error();
  });
}
