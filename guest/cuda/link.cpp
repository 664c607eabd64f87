// SPDX-License-Identifier: Apache-2.0

// Linking at run time.

#include <cstring>
#include <memory>
#include <mutex>
#include <span>
#include <string_view>
#include <tuple>
#include <utility>

#include "guest/cuda/frontend.hpp"
#include "guest/cuda/jit_request.hpp"
#include "src/gpu/cuda/image.hpp"

using namespace isthmus::cuda;  // NOLINT(google-build-using-namespace): the names below are C's

namespace {

constexpr std::size_t longest_input_name = 4096;  // what fits a message beside the options

// Runs `function(Frontend&, Id, Link&)`, one at a time for each link.
template <class F>
CUresult with_link_of(CUlinkState state, F function) {
  return entry([&](Frontend& cuda) -> CUresult {
    const LinkRecord* const record = cuda.links.find(state);
    if (record == nullptr) {
      return CUDA_ERROR_INVALID_HANDLE;
    }
    const auto link = record->link;
    const std::scoped_lock lock(link->mutex);
    return function(cuda, reinterpret_cast<std::uintptr_t>(state), *link);
  });
}

CUresult code_of_lane(Frontend& cuda, const isthmus::Error& error) {
  return error.code == isthmus::Errc::exhausted ? CUDA_ERROR_OUT_OF_MEMORY : cuda.lane->lost(error);
}

// The options of one input; logs are the link's.
Expected<JitRequest> input_options(unsigned count, const CUjit_option* names, void** values) {
  auto jit = JitRequest::of(count, names, values);
  if (jit && (jit->info_room() != 0 || jit->error_room() != 0)) {
    return std::unexpected(CUDA_ERROR_NOT_SUPPORTED);
  }
  return jit;
}

CUresult add_input(Frontend& cuda, Id id, const Link& link, CUjitInputType type, std::span<const std::byte> data,
                   std::string_view name, const JitRequest& options) {
  auto frame = cuda.lane->allocate(data.size());
  if (!frame) {
    return code_of_lane(cuda, frame.error());
  }
  std::memcpy(frame->data(), data.data(), data.size());
  const auto rows = std::as_bytes(std::span(options.rows()));
  std::vector<std::byte> trailing(rows.begin(), rows.end());
  const auto text = std::as_bytes(std::span(name));
  trailing.insert(trailing.end(), text.begin(), text.end());
  std::vector<std::byte> logs(isthmus::abi::max_body);
  const auto added = cuda.lane->call<AddToLink>({.id = id,
                                                 .data = frame->reference(),
                                                 .type = static_cast<std::uint32_t>(type),
                                                 .options = static_cast<std::uint32_t>(options.rows().size())},
                                                trailing, logs);
  if (!added) {
    return added.error();
  }
  link.options.answer(added->reply, std::span(logs).first(added->trailing));
  return cuda.lane->code_of(added->reply.status);
}

}  // namespace

CUresult CUDAAPI cuLinkCreate(unsigned int count, CUjit_option* options, void** values, CUlinkState* state) {
  return entry_here([&](const Here& here) -> CUresult {
    auto jit = JitRequest::of(count, options, values);
    const auto id = here.cuda.links.reserve();
    if (state == nullptr || !jit || !id) {
      if (id) {
        here.cuda.links.cancel(*id);
      }
      return state == nullptr ? CUDA_ERROR_INVALID_VALUE : !jit ? jit.error() : CUDA_ERROR_OUT_OF_MEMORY;
    }
    const CUresult code = here.lane().tell<CreateLink>({.id = *id,
                                                        .context = here.context,
                                                        .options = static_cast<std::uint32_t>(jit->rows().size()),
                                                        .info_log = jit->info_room(),
                                                        .error_log = jit->error_room()},
                                                       std::as_bytes(std::span(jit->rows())));
    if (code != CUDA_SUCCESS) {
      here.cuda.links.cancel(*id);
      return code;
    }
    here.cuda.links.publish(*id, {.context = here.context, .link = std::make_shared<Link>(std::move(*jit))});
    return give(state, handle_of<CUlinkState>(*id));
  });
}

CUresult CUDAAPI cuLinkAddData(CUlinkState state, CUjitInputType type, void* data, std::size_t size, const char* name,
                               unsigned int count, CUjit_option* options, void** values) {
  return with_link_of(state, [&](Frontend& cuda, Id id, const Link& link) -> CUresult {
    const auto jit = input_options(count, options, values);
    if (data == nullptr || size == 0 || !jit) {
      return jit ? CUDA_ERROR_INVALID_VALUE : jit.error();
    }
    if (size > max_image) {
      return CUDA_ERROR_INVALID_IMAGE;
    }
    return add_input(cuda, id, link, type, std::span(static_cast<const std::byte*>(data), size),
                     name == nullptr ? std::string_view() : std::string_view(name, strnlen(name, longest_input_name)),
                     *jit);
  });
}

CUresult CUDAAPI cuLinkAddFile(CUlinkState state, CUjitInputType type, const char* path, unsigned int count,
                               CUjit_option* options, void** values) {
  return with_link_of(state, [&](Frontend& cuda, Id id, const Link& link) -> CUresult {
    const auto jit = input_options(count, options, values);
    const auto bytes = read_file(path);
    if (!jit || !bytes) {
      return jit ? bytes.error() : jit.error();
    }
    // A text may have its NUL, other files end where they end.
    const std::size_t size = type == CU_JIT_INPUT_PTX ? bytes->size() : bytes->size() - 1;
    return size == 0 ? CUDA_ERROR_INVALID_IMAGE
                     : add_input(cuda, id, link, type, std::as_bytes(std::span(*bytes)).first(size),
                                 std::string_view(path, strnlen(path, longest_input_name)), *jit);
  });
}

CUresult CUDAAPI cuLinkComplete(CUlinkState state, void** image, std::size_t* size) {
  return with_link_of(state, [&](Frontend& cuda, Id id, Link& link) -> CUresult {
    std::vector<std::byte> logs(isthmus::abi::max_body);
    const auto done = cuda.lane->call<CompleteLink>({.id = id}, {}, logs);
    if (!done) {
      return done.error();
    }
    link.options.answer(done->reply.jit, std::span(logs).first(done->trailing));
    if (done->reply.jit.status != CUDA_SUCCESS) {
      return cuda.lane->code_of(done->reply.jit.status);
    }
    if (done->reply.bytes == 0 || done->reply.bytes > max_image) {
      return CUDA_ERROR_UNKNOWN;
    }
    auto frame = cuda.lane->allocate(done->reply.bytes);
    if (!frame) {
      return code_of_lane(cuda, frame.error());
    }
    if (const CUresult code = cuda.lane->tell<ReadLink>({.id = id, .into = frame->reference()}); code != CUDA_SUCCESS) {
      return code;
    }
    link.image.assign(frame->data(), frame->data() + done->reply.bytes);
    if (size != nullptr) {
      *size = link.image.size();
    }
    return give(image, static_cast<void*>(link.image.data()));
  });
}

CUresult CUDAAPI cuLinkDestroy(CUlinkState state) {
  return entry([&](Frontend& cuda) -> CUresult {
    if (cuda.links.find(state) == nullptr) {
      return CUDA_ERROR_INVALID_HANDLE;
    }
    const Id id = reinterpret_cast<std::uintptr_t>(state);
    cuda.links.remove(id);
    return cuda.lane->tell<Release>({.kind = ObjectKind::link, .id = id});
  });
}
