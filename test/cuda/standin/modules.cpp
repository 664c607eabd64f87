// SPDX-License-Identifier: Apache-2.0
// Entry points of modules and their functions.
#include <cuda.h>

#include <cstring>
#include <fstream>
#include <iterator>
#include <vector>

#include "test/cuda/standin/address.hpp"
#include "test/cuda/standin/driver.hpp"
#include "test/cuda/standin/entry.hpp"
#include "test/cuda/standin/function_attributes.hpp"
#include "test/cuda/standin/module.hpp"

namespace isthmus::standin {

std::shared_ptr<Module> load_module(Context& context, const Image& image, CUlibrary library) {
  auto module = std::make_shared<Module>();
  module->context = &context;
  module->library = library;
  for (const auto& [name, kernel] : image.kernels) {
    auto function = std::make_shared<Function>();
    function->name = name;
    function->image = kernel;
    function->body = Body::find(name);
    function->module = module;
    function->context = &context;
    if (function->body != nullptr && function->body->layout != kernel.parameters) {
      alarm("kernel " + name + ": its body's parameters are not those of the image");
    }
    function->handle = driver().functions.add(function);
    module->functions.emplace(name, std::move(function));
  }
  for (const auto& [name, variable] : image.variables) {
    const Block block =
        driver().memory.allocate(variable.managed ? Block::Kind::managed : Block::Kind::module, variable.size, context);
    if (variable.value.empty()) {
      std::memset(pointer_to(block.start), 0, variable.size);
    } else {
      std::memcpy(pointer_to(block.start), variable.value.data(), variable.value.size());
    }
    module->variables.emplace(name,
                              Variable{.address = block.start, .size = variable.size, .managed = variable.managed});
  }
  module->handle = driver().modules.add(module);
  return module;
}

void unload_module(Module& module) {
  for (const auto& [name, function] : module.functions) {
    driver().functions.take(function->handle);
  }
  for (const auto& [name, variable] : module.variables) {
    driver().memory.free(variable.address, {Block::Kind::module, Block::Kind::managed}, CUDA_ERROR_INVALID_VALUE);
  }
}

namespace {

void load(CUmodule* result, const void* code) {
  auto& to = out(result);
  to = load_module(*checked_context(), read_image(code), nullptr)->handle;
}

std::shared_ptr<Module> module_here(CUmodule handle, Context& context) {
  auto found = driver().modules.get(handle);
  require(found->context == &context, CUDA_ERROR_INVALID_HANDLE, "the module belongs to another context");
  return found;
}

}  // namespace
}  // namespace isthmus::standin

using namespace isthmus::standin;  // NOLINT(google-build-using-namespace): what follows is C's

CUresult cuModuleLoadData(CUmodule* module, const void* image) {
  return in_context(__func__, [&](Context& /*context*/) { load(module, image); });
}

CUresult cuModuleLoadDataEx(CUmodule* module, const void* image, unsigned /*options*/, CUjit_option* /*names*/,
                            void** /*values*/) {
  return in_context(__func__, [&](Context& /*context*/) { load(module, image); });
}

CUresult cuModuleLoadFatBinary(CUmodule* module, const void* image) {
  return in_context(__func__, [&](Context& /*context*/) { load(module, image); });
}

CUresult cuModuleLoad(CUmodule* module, const char* name) {
  return in_context(__func__, [&](Context& /*context*/) {
    std::ifstream file(name, std::ios::binary);
    require(file.good(), CUDA_ERROR_FILE_NOT_FOUND);
    std::vector<char> content((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    content.push_back('\0');
    load(module, content.data());
  });
}

CUresult cuModuleUnload(CUmodule module) {
  return in_context(__func__, [&](Context& context) {
    const auto found = module_here(module, context);
    require(found->library == nullptr, CUDA_ERROR_NOT_PERMITTED, "the module is a library's");
    context.synchronize();
    driver().modules.take(module);
    unload_module(*found);
  });
}

CUresult cuModuleGetLoadingMode(CUmoduleLoadingMode* mode) {
  return initialised(__func__, [&] { out(mode) = CU_MODULE_EAGER_LOADING; });
}

CUresult cuModuleGetFunction(CUfunction* function, CUmodule module, const char* name) {
  return in_context(__func__, [&](Context& context) {
    auto& to = out(function);
    require(name != nullptr, CUDA_ERROR_INVALID_VALUE);
    const auto in = module_here(module, context);
    const auto found = in->functions.find(name);
    require(found != in->functions.end(), CUDA_ERROR_NOT_FOUND, name);
    to = found->second->handle;
  });
}

CUresult cuModuleGetFunctionCount(unsigned* count, CUmodule module) {
  return in_context(__func__, [&](Context& context) {
    out(count) = static_cast<unsigned>(module_here(module, context)->functions.size());
  });
}

CUresult cuModuleEnumerateFunctions(CUfunction* functions, unsigned most, CUmodule module) {
  return in_context(__func__, [&](Context& context) {
    const auto in = module_here(module, context);
    unsigned given = 0;
    for (auto at = in->functions.begin(); at != in->functions.end() && given < most; ++at) {
      (&out(functions))[given++] = at->second->handle;
    }
  });
}

CUresult cuModuleGetGlobal(CUdeviceptr* address, size_t* bytes, CUmodule module, const char* name) {
  return in_context(__func__, [&](Context& context) {
    require(name != nullptr, CUDA_ERROR_INVALID_VALUE);
    const auto in = module_here(module, context);
    const auto found = in->variables.find(name);
    require(found != in->variables.end(), CUDA_ERROR_NOT_FOUND, name);
    if (address != nullptr) {
      *address = found->second.address;
    }
    if (bytes != nullptr) {
      *bytes = found->second.size;
    }
  });
}

CUresult cuFuncGetModule(CUmodule* module, CUfunction function) {
  return in_context(__func__,
                    [&](Context& context) { out(module) = function_for(function, context)->module.lock()->handle; });
}

CUresult cuFuncGetName(const char** name, CUfunction function) {
  return in_context(__func__, [&](Context& context) { out(name) = function_for(function, context)->name.c_str(); });
}

CUresult cuFuncGetParamInfo(CUfunction function, size_t index, size_t* offset, size_t* size) {
  return in_context(__func__, [&](Context& context) {
    give_parameter(function_for(function, context)->image.parameters, index, offset, size);
  });
}

CUresult cuFuncIsLoaded(CUfunctionLoadingState* state, CUfunction function) {
  return in_context(__func__, [&](Context& context) {
    function_for(function, context);
    out(state) = CU_FUNCTION_LOADING_STATE_LOADED;
  });
}

CUresult cuFuncLoad(CUfunction function) {
  return in_context(__func__, [&](Context& context) { function_for(function, context); });
}

CUresult cuFuncGetAttribute(int* value, CUfunction_attribute attribute, CUfunction function) {
  return in_context(__func__,
                    [&](Context& context) { out(value) = get_attribute(*function_for(function, context), attribute); });
}

CUresult cuFuncSetAttribute(CUfunction function, CUfunction_attribute attribute, int value) {
  return in_context(__func__,
                    [&](Context& context) { set_attribute(*function_for(function, context), attribute, value); });
}

CUresult cuFuncSetCacheConfig(CUfunction function, CUfunc_cache config) {
  return in_context(__func__, [&](Context& context) {
    function_for(function, context);
    require(config >= CU_FUNC_CACHE_PREFER_NONE && config <= CU_FUNC_CACHE_PREFER_EQUAL, CUDA_ERROR_INVALID_VALUE);
  });
}
