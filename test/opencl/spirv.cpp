// SPDX-License-Identifier: Apache-2.0

// Programs from SPIR-V, on a host whose loader has spirv_layer.cpp between itself and PoCL.

// NOLINTBEGIN(bugprone-multi-level-implicit-pointer-conversion, bugprone-sizeof-expression): the API takes
// addresses and sizes of its handles, which are pointers.
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <string>
#include <string_view>
#include <vector>

#include <CL/cl_ext.h>

#include "test/opencl/device.hpp"

namespace isthmus::test {
namespace {

using Words = std::vector<std::uint32_t>;

// A module with the kernel "mark", the specialization constants 3 and 7, and so many instructions that do nothing.
Words module_with(std::size_t nothings = 0) {
  const auto begin = [](std::uint32_t opcode, std::uint32_t words) { return words << 16U | opcode; };
  constexpr std::string_view name("mark\0\0\0\0", 8);
  Words words{0x07230203, 0x00010200, 0, 10, 0, begin(15, 5), 6, 1};
  for (std::size_t at = 0; at < name.size(); at += 4) {
    std::uint32_t word = 0;
    std::memcpy(&word, name.data() + at, 4);
    words.push_back(word);
  }
  words.insert(words.end(), {begin(71, 4), 2, 1, 3, begin(71, 4), 4, 1, 7});
  words.insert(words.end(), nothings, begin(0, 1));
  return words;
}

class SpirvByExtension : public OpenCl {
 public:
  cl_program make(const void* il, std::size_t bytes, cl_int expected = CL_SUCCESS) {
    cl_int code = CL_BUILD_ERROR;
    cl_program made = with_il(context, il, bytes, &code);
    EXPECT_EQ(code, expected);
    EXPECT_EQ(made != nullptr, expected == CL_SUCCESS);
    return keep(made);
  }
  cl_program make(const Words& words) { return make(words.data(), words.size() * sizeof(std::uint32_t)); }
  // What the kernel writes: how many words there were, their sum, the constants.
  Words marks(cl_program of) {
    EXPECT_EQ(clBuildProgram(of, 1, &device, "", nullptr, nullptr), CL_SUCCESS) << log(of);
    cl_mem memory = buffer(4 * sizeof(cl_uint));
    cl_int code = CL_SUCCESS;
    cl_kernel mark = clCreateKernel(of, "mark", &code);
    EXPECT_EQ(code, CL_SUCCESS);
    EXPECT_EQ(clSetKernelArg(mark, 0, sizeof memory, &memory), CL_SUCCESS);
    run(mark, 1);
    const Words values = read<std::uint32_t>(memory, 4);
    EXPECT_EQ(clReleaseKernel(mark), CL_SUCCESS);
    return values;
  }
  static Words expected(const Words& words, std::uint32_t three = 0, std::uint32_t seven = 0) {
    return {static_cast<std::uint32_t>(words.size()), std::accumulate(words.begin(), words.end(), 0U), three, seven};
  }
  std::string device_text(cl_device_info parameter) {
    std::string text(4096, '\0');
    std::size_t size = 0;
    EXPECT_EQ(clGetDeviceInfo(device, parameter, text.size(), text.data(), &size), CL_SUCCESS);
    return text.substr(0, size - 1);
  }

  clCreateProgramWithILKHR_fn with_il = nullptr;
};

class Spirv : public SpirvByExtension {
 public:
  void SetUp() override {
    OpenCl::SetUp();
    with_il = clCreateProgramWithIL;
  }
};

TEST_F(Spirv, is_offered_as_the_host_has_it) {
  EXPECT_EQ(device_text(CL_DEVICE_IL_VERSION), "SPIR-V_1.2");
  std::array<cl_name_version, 2> languages{};
  std::size_t size = 0;
  ASSERT_EQ(clGetDeviceInfo(device, CL_DEVICE_ILS_WITH_VERSION, sizeof languages, languages.data(), &size), CL_SUCCESS);
  EXPECT_EQ(size, sizeof(cl_name_version));
  EXPECT_STREQ(static_cast<const char*>(languages[0].name), "SPIR-V");
}

TEST_F(Spirv, a_module_longer_than_any_message_arrives_whole_and_in_its_byte_order) {
  const Words words = module_with(std::size_t{1} << 18);
  Words swapped = words;
  for (std::uint32_t& word : swapped) {
    word = std::byteswap(word);
  }
  cl_program made = make(swapped);
  EXPECT_EQ(marks(made), expected(words));
  Words told(swapped.size());
  std::size_t size = 0;
  ASSERT_EQ(clGetProgramInfo(made, CL_PROGRAM_IL, told.size() * sizeof(std::uint32_t), told.data(), &size), CL_SUCCESS);
  EXPECT_EQ(size, swapped.size() * sizeof(std::uint32_t));
  EXPECT_EQ(told, swapped);
  std::array<char, 8> source{};
  EXPECT_EQ(clGetProgramInfo(made, CL_PROGRAM_SOURCE, source.size(), source.data(), nullptr), CL_SUCCESS);
  EXPECT_STREQ(source.data(), "");
}

TEST_F(Spirv, constants_are_those_that_were_set_last_before_the_build) {
  const Words words = module_with();
  cl_program made = make(words);
  std::uint32_t value = 42;
  EXPECT_EQ(clSetProgramSpecializationConstant(made, 7, sizeof value, &value), CL_SUCCESS);
  value = 1;  // the application's again
  EXPECT_EQ(marks(made), expected(words, 0, 42));
  EXPECT_EQ(clSetProgramSpecializationConstant(made, 7, sizeof value, &value), CL_SUCCESS);
  EXPECT_EQ(clSetProgramSpecializationConstant(made, 3, sizeof value, &value), CL_SUCCESS);
  EXPECT_EQ(marks(made), expected(words, 1, 1));
}

TEST_F(Spirv, bad_input_is_refused) {
  Words words = module_with();
  const std::size_t bytes = words.size() * sizeof(std::uint32_t);
  make(nullptr, bytes, CL_INVALID_VALUE);
  make(words.data(), 0, CL_INVALID_VALUE);
  make(words.data(), bytes - 4, CL_INVALID_VALUE);
  make(words.data(), bytes - 1, CL_INVALID_VALUE);
  make(words.data(), 3, CL_INVALID_VALUE);
  make("__kernel void k() {}", 20, CL_INVALID_VALUE);
  cl_int code = CL_SUCCESS;
  EXPECT_EQ(clCreateProgramWithIL(nullptr, words.data(), bytes, &code), nullptr);
  EXPECT_EQ(code, CL_INVALID_CONTEXT);

  cl_program made = make(words);
  const std::array<std::uint32_t, 4> value{};
  EXPECT_EQ(clSetProgramSpecializationConstant(made, 8, sizeof(std::uint32_t), value.data()), CL_INVALID_SPEC_ID);
  EXPECT_EQ(clSetProgramSpecializationConstant(made, 7, 2, value.data()), CL_INVALID_VALUE);
  EXPECT_EQ(clSetProgramSpecializationConstant(made, 7, 0, value.data()), CL_INVALID_VALUE);
  EXPECT_EQ(clSetProgramSpecializationConstant(made, 7, sizeof value, value.data()), CL_INVALID_VALUE);
  EXPECT_EQ(clSetProgramSpecializationConstant(made, 7, SIZE_MAX, value.data()), CL_INVALID_VALUE);
  EXPECT_EQ(clSetProgramSpecializationConstant(made, 7, sizeof(std::uint32_t), nullptr), CL_INVALID_VALUE);
  EXPECT_EQ(clSetProgramSpecializationConstant(program("__kernel void k() {}"), 7, 4, value.data()),
            CL_INVALID_PROGRAM);
  EXPECT_EQ(clSetProgramSpecializationConstant(nullptr, 7, 4, value.data()), CL_INVALID_PROGRAM);
}

TEST_F(SpirvByExtension, makes_programs_on_devices_from_before_it_was_part_of_opencl) {
  EXPECT_EQ(device_text(CL_DEVICE_VERSION).substr(0, 11), "OpenCL 1.2 ");
  EXPECT_EQ(device_text(CL_DEVICE_EXTENSIONS), "cl_khr_byte_addressable_store cl_khr_il_program");
  EXPECT_EQ(device_text(CL_DEVICE_IL_VERSION), "SPIR-V_1.2");
  EXPECT_EQ(clGetDeviceInfo(device, CL_DEVICE_ILS_WITH_VERSION, 0, nullptr, nullptr), CL_INVALID_VALUE);
  EXPECT_EQ(clGetExtensionFunctionAddressForPlatform(platform, "clNoSuchFunctionKHR"), nullptr);
  with_il = reinterpret_cast<clCreateProgramWithILKHR_fn>(
      clGetExtensionFunctionAddressForPlatform(platform, "clCreateProgramWithILKHR"));
  ASSERT_NE(with_il, nullptr);
  const Words words = module_with();
  cl_program made = make(words);
  EXPECT_EQ(marks(made), expected(words));
  EXPECT_EQ(clSetProgramSpecializationConstant(made, 7, sizeof words[0], words.data()), CL_INVALID_OPERATION)
      << "the extension has none";
}

}  // namespace
}  // namespace isthmus::test

// NOLINTEND(bugprone-multi-level-implicit-pointer-conversion, bugprone-sizeof-expression)
