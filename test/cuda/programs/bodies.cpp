// SPDX-License-Identifier: Apache-2.0
// The kernels of these programs in C++, for the stand-in. Names are as in the images.
#include <chrono>
#include <thread>

#include "test/cuda/standin/graph.hpp"
#include "test/cuda/standin/kernel.hpp"

namespace isthmus::standin {
namespace {

using Floats = const float*;

void vector_add(const Launch& launch, Floats a, Floats b, float* c, int count) {
  const auto n = static_cast<std::size_t>(count);
  const auto in_a = launch.memory(a, n);
  const auto in_b = launch.memory(b, n);
  const auto to = launch.memory(c, n);
  launch.each_thread([&](const Thread& thread) {
    if (thread.x() < n) {
      to[thread.x()] = in_a[thread.x()] + in_b[thread.x()];
    }
  });
}
const Body vector_add_body("vector_add", vector_add);

void matrix_multiply(const Launch& launch, Floats a, Floats b, float* c, int size) {
  const auto n = static_cast<std::size_t>(size);
  const auto in_a = launch.memory(a, n * n);
  const auto in_b = launch.memory(b, n * n);
  const auto to = launch.memory(c, n * n);
  launch.each_thread([&](const Thread& thread) {
    if (thread.x() >= n || thread.y() >= n) {
      return;
    }
    float sum = 0;
    for (std::size_t k = 0; k < n; ++k) {
      sum += in_a[thread.y() * n + k] * in_b[k * n + thread.x()];
    }
    to[thread.y() * n + thread.x()] = sum;
  });
}
const Body matrix_multiply_body("matrix_multiply", matrix_multiply);

// value[i] = value[i] * factor + term: shows in which order launches ran.
void scale_and_add(const Launch& launch, int* values, int factor, int term, int count) {
  for (int& value : launch.memory(values, static_cast<std::size_t>(count))) {
    value =
        static_cast<int>(static_cast<unsigned>(value) * static_cast<unsigned>(factor) + static_cast<unsigned>(term));
  }
}
const Body scale_and_add_body("scale_and_add", scale_and_add);

// Parameters of many sizes, one of them a structure by value.
struct Mixed {
  double whole;
  int part;
  char letter;
};

void mixed_parameters(const Launch& launch, char letter, Mixed mixed, short small, long long* result, float ratio) {
  launch.memory(result, 1)[0] = letter + static_cast<long long>(mixed.whole) + mixed.part + mixed.letter + small +
                                static_cast<long long>(ratio * 4);
}
const Body mixed_parameters_body("_Z16mixed_parametersc5MixedsPxf", mixed_parameters);

void look_up(const Launch& launch, int* to, int count) {
  const int* table = launch.variable<int>("table", 8);
  const int* offset = launch.variable<int>("offset");
  int* calls = launch.variable<int>("calls");
  const auto values = launch.memory(to, static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = table[i % 8] + *offset;
  }
  ++*calls;
}
const Body look_up_body("look_up", look_up);

void across_files(const Launch& launch, int* to, int count) {
  const auto values = launch.memory(to, static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<int>(i * i) + *launch.variable<int>("shared_term");
  }
}
const Body across_files_body("across_files", across_files);

void spin(const Launch& launch, long long microseconds, int* done) {
  std::this_thread::sleep_for(std::chrono::microseconds(microseconds));
  launch.memory(done, 1)[0] += 1;
}
const Body spin_body("spin", spin);

void write_to(const Launch& launch, int* where, int value) { launch.memory(where, 1)[0] = value; }
const Body write_to_body("write_to", write_to);

void nothing(const Launch& /*launch*/) {}
const Body nothing_body("nothing", nothing);

void say_lines(const Launch& launch, int first, int count) {
  for (int i = first; i < first + count; ++i) {
    launch.print("kernel: line %d, %s\n", i, "0123456789012345678901234567890123456789");
  }
}
const Body say_lines_body("say_lines", say_lines);

void add_to_all(const Launch& launch, int* values, int term, int count) {
  for (int& value : launch.memory(values, static_cast<std::size_t>(count))) {
    value += term;
  }
}
const Body add_to_all_body("add_to_all", add_to_all);

// Says the counter, counts down, and goes on while it is not zero.
void count_down(const Launch& launch, int* counter, unsigned long long handle) {
  int& count = launch.memory(counter, 1)[0];
  launch.print("kernel: counter %d\n", count);
  count -= count != 0 ? 1 : 0;
  set_condition(handle, static_cast<unsigned>(count));
}
const Body count_down_body("count_down", count_down);

void set_choice(const Launch& launch, const int* choice, unsigned long long handle) {
  set_condition(handle, static_cast<unsigned>(launch.memory(choice, 1)[0]));
}
const Body set_choice_body("set_choice", set_choice);

void assert_below(const Launch& launch, int value, int most) {
  if (value >= most) {
    launch.fail_assertion("value < most");
  }
}
const Body assert_below_body("assert_below", assert_below);

}  // namespace
}  // namespace isthmus::standin
