// SPDX-License-Identifier: Apache-2.0

#include "test/cudart/registered.hpp"

namespace isthmus::test {
namespace {

constexpr const char* ptx = R"(
.version 8.0
.target sm_90
.address_size 64
.const .align 4 .b8 table[32];
.global .align 4 .u32 offset;
.visible .entry scale_and_add(.param .u64 p0, .param .u32 p1, .param .u32 p2, .param .u32 p3) { ret; }
.visible .entry spin(.param .u64 us, .param .u64 done) { ret; }
.visible .entry write_to(.param .u64 where, .param .u32 value) { ret; }
.visible .entry nothing() { ret; }
)";

constexpr const char* managed_ptx = R"(
.version 8.0
.target sm_90
.address_size 64
.global .attribute(.managed) .align 4 .u32 counter;
)";

FatBinaryWrapper wrapper{.data = ptx};
FatBinaryWrapper managed_wrapper{.data = managed_ptx};

}  // namespace

Program::Program() {
  handle = __cudaRegisterFatBinary(&wrapper);
  const auto kernel = [&](const char& host, const char* name) {
    __cudaRegisterFunction(handle, &host, nullptr, name, -1, nullptr, nullptr, nullptr, nullptr, nullptr);
  };
  kernel(scale_and_add, "scale_and_add");
  kernel(write_to, "write_to");
  kernel(spin, "spin");
  kernel(nothing, "nothing");
  kernel(no_such_kernel, "no_such_kernel");
  __cudaRegisterVar(handle, &table, nullptr, "table", 0, 32, 1, 0);
  __cudaRegisterVar(handle, &offset, nullptr, "offset", 0, 4, 0, 0);
  __cudaRegisterVar(handle, &no_such_variable, nullptr, "no_such_variable", 0, 4, 0, 0);
  __cudaRegisterFatBinaryEnd(handle);
  managed_handle = __cudaRegisterFatBinary(&managed_wrapper);
  __cudaRegisterManagedVar(managed_handle, reinterpret_cast<void**>(&counter), nullptr, "counter", 0, 4, 0, 0);
  __cudaRegisterFatBinaryEnd(managed_handle);
}

Program& program() {
  static Program instance;
  return instance;
}

}  // namespace isthmus::test
