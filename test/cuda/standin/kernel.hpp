// SPDX-License-Identifier: Apache-2.0
// Part of the stand-in for NVIDIA's driver: a test double, see README.md.
//
// How a test gives a kernel its body. In a file that is linked into the stand-in:
//
//     void vector_add(const Launch& launch, const float* a, const float* b, float* c, int n) {
//       launch.each_thread([&](const Thread& thread) {
//         const auto i = static_cast<int>(thread.x());
//         if (i < n) c[i] = a[i] + b[i];
//       });
//     }
//     const Body vector_add_body("vector_add", vector_add);   // the name as in the image: mangled, unless extern "C"
#pragma once

#include <cuda.h>

#include <array>
#include <cstddef>
#include <cstring>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

#include "test/cuda/standin/image.hpp"

namespace isthmus::standin {

struct Module;

/// One thread of a launch, with CUDA's names.
struct Thread {
  std::array<unsigned, 3> block, thread, block_size, grid_size;
  /// Its index in the whole grid.
  [[nodiscard]] std::size_t x() const { return std::size_t{block[0]} * block_size[0] + thread[0]; }
  [[nodiscard]] std::size_t y() const { return std::size_t{block[1]} * block_size[1] + thread[1]; }
  [[nodiscard]] std::size_t z() const { return std::size_t{block[2]} * block_size[2] + thread[2]; }
};

/// What a body gets to know of its launch. A body runs once for the whole grid, on the stream's thread.
class Launch {
 public:
  std::array<unsigned, 3> grid{}, block{};
  std::size_t shared_bytes = 0;  ///< dynamic
  bool cooperative = false;
  const Module* module = nullptr;
  std::string_view kernel;

  /// One after the other: a kernel with __syncthreads() needs a body that goes block by block.
  template <class F>
  void each_thread(F&& body) const {
    each(grid, [&](const std::array<unsigned, 3>& at) {
      each(block, [&](const std::array<unsigned, 3>& in) { body(Thread{at, in, block, grid}); });
    });
  }

  /// Elements of device memory from `start`; where the device may not use all of them, the kernel faults as a real
  /// one would (CUDA_ERROR_ILLEGAL_ADDRESS for the context).
  template <class T>
  std::span<T> memory(T* start, std::size_t count) const {
    check(start, count * sizeof(T));
    return {start, count};
  }

  /// A __device__ or __constant__ variable of the kernel's module; aborts where there is none of that size.
  template <class T>
  T* variable(std::string_view name, std::size_t count = 1) const {
    return static_cast<T*>(variable_memory(name, count * sizeof(T)));
  }

  /// As printf in a kernel; once for each thread that says it.
  void print(const char* format, ...) const __attribute__((format(printf, 2, 3)));
  /// As assert that fails in a kernel: a line on stderr, and the context is done for.
  [[noreturn]] void fail_assertion(const char* expression) const;

  /// Faults unless the device may use these bytes.
  void check(const void* start, std::size_t bytes) const;

 private:
  template <class F>
  static void each(const std::array<unsigned, 3>& size, F&& body) {
    for (unsigned z = 0; z < size[2]; ++z) {
      for (unsigned y = 0; y < size[1]; ++y) {
        for (unsigned x = 0; x < size[0]; ++x) {
          body(std::array{x, y, z});
        }
      }
    }
  }
  [[nodiscard]] void* variable_memory(std::string_view name, std::size_t bytes) const;
};

/// The body of every kernel with that name.
class Body {
 public:
  template <class... P>
  Body(const char* name, void (*body)(const Launch&, P...)) {
    static_assert((std::is_trivially_copyable_v<P> && ...), "kernel parameters are copied as bytes");
    Layout layout;
    std::size_t end = 0;
    [[maybe_unused]] const auto add = [&](std::size_t size, std::size_t alignment) {
      end = (end + alignment - 1) / alignment * alignment;
      layout.push_back({.offset = end, .size = size});
      end += size;
    };
    (add(sizeof(P), alignof(P)), ...);
    add_body(name, layout, [body, layout](const Launch& launch, const std::byte* parameters) {
      run(body, launch, parameters, layout, std::index_sequence_for<P...>{});
    });
  }

  using Run = std::function<void(const Launch&, const std::byte* parameters)>;
  struct Known {
    Layout layout;
    Run run;
  };
  /// Null where no body has that name.
  static const Known* find(const std::string& name);

 private:
  static void add_body(const char* name, const Layout& layout, Run run);

  template <class... P, std::size_t... I>
  static void run(void (*body)(const Launch&, P...), const Launch& launch, const std::byte* parameters,
                  const Layout& layout, std::index_sequence<I...> /*each*/) {
    body(launch, value<P>(launch, parameters + layout[I].offset)...);
  }

  // A pointer that leads nowhere on the device faults when the kernel starts; a real one would when it follows it.
  template <class P>
  static P value(const Launch& launch, const std::byte* from) {
    std::remove_const_t<P> parameter;
    std::memcpy(static_cast<void*>(&parameter), from, sizeof parameter);
    if constexpr (std::is_pointer_v<P>) {
      if (parameter != nullptr) {
        launch.check(parameter, 1);
      }
    }
    return parameter;
  }
};

}  // namespace isthmus::standin
