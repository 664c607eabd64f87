// SPDX-License-Identifier: Apache-2.0

// NOLINTBEGIN(bugprone-multi-level-implicit-pointer-conversion, bugprone-sizeof-expression): the API takes
// addresses and sizes of its handles, which are pointers.
#include <array>
#include <cstring>
#include <string>

#include "test/opencl/device.hpp"

namespace isthmus::test {
namespace {

class Programs : public OpenCl {
 protected:
  std::string argument_text(cl_kernel of, cl_uint index, cl_kernel_arg_info what) {
    std::array<char, 64> text{};
    EXPECT_EQ(clGetKernelArgInfo(of, index, what, text.size(), text.data(), nullptr), CL_SUCCESS);
    return text.data();
  }
};

TEST_F(Programs, a_log_comes_whole_however_long_it_is) {
  // More than fits into one message, between the first line and the error.
  std::string source;
  constexpr int warnings = 1500;
  for (int i = 0; i < warnings; ++i) {
    source += "#warning this is warning number " + std::to_string(i) + ".\n";
  }
  source += "__kernel void broken(__global int* v) { v[0] = this_name_is_unknown; }\n";
  cl_program broken = program(source);
  EXPECT_EQ(clBuildProgram(broken, 1, &device, "", nullptr, nullptr), CL_BUILD_PROGRAM_FAILURE);
  const std::string text = log(broken);
  EXPECT_GT(text.size(), std::size_t{64} << 10);
  for (int i = 0; i < warnings; ++i) {
    EXPECT_NE(text.find("this is warning number " + std::to_string(i) + "."), std::string::npos) << i;
  }
  EXPECT_NE(text.find("this_name_is_unknown"), std::string::npos);
  cl_build_status status = CL_BUILD_NONE;
  EXPECT_EQ(clGetProgramBuildInfo(broken, device, CL_PROGRAM_BUILD_STATUS, sizeof status, &status, nullptr),
            CL_SUCCESS);
  EXPECT_EQ(status, CL_BUILD_ERROR);
  cl_int code = CL_SUCCESS;
  EXPECT_EQ(clCreateKernel(broken, "broken", &code), nullptr);
  EXPECT_EQ(code, CL_INVALID_PROGRAM_EXECUTABLE);
}

TEST_F(Programs, options_are_the_programs_own) {
  cl_program with = program("__kernel void set(__global int* v) { v[get_global_id(0)] = VALUE; }");
  ASSERT_EQ(clBuildProgram(with, 0, nullptr, "-DVALUE=42", nullptr, nullptr), CL_SUCCESS);
  std::array<char, 64> options{};
  ASSERT_EQ(clGetProgramBuildInfo(with, device, CL_PROGRAM_BUILD_OPTIONS, options.size(), options.data(), nullptr),
            CL_SUCCESS);
  EXPECT_STREQ(options.data(), "-DVALUE=42");
  cl_kernel set = kernel(with, "set");
  cl_mem memory = buffer(64);
  ASSERT_EQ(clSetKernelArg(set, 0, sizeof memory, &memory), CL_SUCCESS);
  run(set, 16);
  EXPECT_EQ(read<cl_int>(memory, 16), std::vector<cl_int>(16, 42));
  EXPECT_EQ(clBuildProgram(with, 0, nullptr, "", nullptr, nullptr), CL_INVALID_OPERATION) << "it has a kernel";
}

TEST_F(Programs, a_binary_makes_the_same_program) {
  cl_program first = program("__kernel void set(__global int* v, int x) { v[get_global_id(0)] = x; }");
  ASSERT_EQ(clBuildProgram(first, 1, &device, "", nullptr, nullptr), CL_SUCCESS);
  std::size_t size = 0;
  ASSERT_EQ(clGetProgramInfo(first, CL_PROGRAM_BINARY_SIZES, sizeof size, &size, nullptr), CL_SUCCESS);
  ASSERT_GT(size, 0U);
  std::vector<unsigned char> binary(size);
  unsigned char* into = binary.data();
  ASSERT_EQ(clGetProgramInfo(first, CL_PROGRAM_BINARIES, sizeof(unsigned char*), &into, nullptr), CL_SUCCESS);
  const unsigned char* from = binary.data();
  cl_int status = CL_INVALID_BINARY;
  cl_int code = CL_SUCCESS;
  cl_program second = clCreateProgramWithBinary(context, 1, &device, &size, &from, &status, &code);
  ASSERT_EQ(code, CL_SUCCESS);
  EXPECT_EQ(status, CL_SUCCESS);
  ASSERT_EQ(clBuildProgram(second, 1, &device, "", nullptr, nullptr), CL_SUCCESS) << log(second);
  cl_kernel set = kernel(second, "set");
  cl_mem memory = buffer(64);
  const cl_int value = 9;
  ASSERT_EQ(clSetKernelArg(set, 0, sizeof memory, &memory), CL_SUCCESS);
  ASSERT_EQ(clSetKernelArg(set, 1, sizeof value, &value), CL_SUCCESS);
  run(set, 16);
  EXPECT_EQ(read<cl_int>(memory, 16), std::vector<cl_int>(16, 9));
  EXPECT_EQ(clReleaseProgram(second), CL_SUCCESS);
}

TEST_F(Programs, garbage_is_no_binary) {
  const std::vector<unsigned char> garbage(1000, 0xa5);
  const unsigned char* from = garbage.data();
  const std::size_t size = garbage.size();
  cl_int status = CL_SUCCESS;
  cl_int code = CL_SUCCESS;
  EXPECT_EQ(clCreateProgramWithBinary(context, 1, &device, &size, &from, &status, &code), nullptr);
  EXPECT_EQ(code, CL_INVALID_BINARY);
}

TEST_F(Programs, kernels_are_found_and_described) {
  cl_program two = program(
      "__kernel void one(__global const float* in, __constant int* table, __local float4* tile, const uint n) {}\n"
      "__kernel void other(__global int* v) {}\n");
  ASSERT_EQ(clBuildProgram(two, 1, &device, "-cl-kernel-arg-info", nullptr, nullptr), CL_SUCCESS);
  std::array<cl_kernel, 2> both{};
  cl_uint count = 0;
  ASSERT_EQ(clCreateKernelsInProgram(two, 2, both.data(), &count), CL_SUCCESS);
  EXPECT_EQ(count, 2U);
  for (cl_kernel each : both) {
    EXPECT_EQ(clReleaseKernel(each), CL_SUCCESS);
  }
  cl_kernel one = kernel(two, "one");
  cl_uint arguments = 0;
  ASSERT_EQ(clGetKernelInfo(one, CL_KERNEL_NUM_ARGS, sizeof arguments, &arguments, nullptr), CL_SUCCESS);
  EXPECT_EQ(arguments, 4U);
  cl_kernel hidden = kernel("__kernel void hidden(__global int* v) {}", "hidden");
  EXPECT_EQ(clGetKernelArgInfo(hidden, 0, CL_KERNEL_ARG_NAME, 0, nullptr, nullptr), CL_KERNEL_ARG_INFO_NOT_AVAILABLE)
      << "it was not built with -cl-kernel-arg-info";
  EXPECT_EQ(argument_text(one, 0, CL_KERNEL_ARG_NAME), "in");
  EXPECT_EQ(argument_text(one, 3, CL_KERNEL_ARG_TYPE_NAME), "uint");
  cl_kernel_arg_address_qualifier where = 0;
  ASSERT_EQ(clGetKernelArgInfo(one, 2, CL_KERNEL_ARG_ADDRESS_QUALIFIER, sizeof where, &where, nullptr), CL_SUCCESS);
  EXPECT_EQ(where, static_cast<cl_kernel_arg_address_qualifier>(CL_KERNEL_ARG_ADDRESS_LOCAL));
  EXPECT_EQ(clGetKernelArgInfo(one, 4, CL_KERNEL_ARG_NAME, 0, nullptr, nullptr), CL_INVALID_ARG_INDEX);
  std::size_t largest = 0;
  ASSERT_EQ(clGetKernelWorkGroupInfo(one, device, CL_KERNEL_WORK_GROUP_SIZE, sizeof largest, &largest, nullptr),
            CL_SUCCESS);
  EXPECT_GT(largest, 0U);
}

TEST_F(Programs, a_structure_is_an_argument) {
  struct Pair {
    cl_int a;
    cl_float b;
    cl_double c;
  };
  cl_kernel sum = kernel(
      "struct pair { int a; float b; double c; };\n"
      "__kernel void sum(struct pair p, __global double* out) { *out = p.a + p.b + p.c; }",
      "sum");
  const Pair pair{.a = 1, .b = 2.5F, .c = 0.25};
  cl_mem memory = buffer(sizeof(double));
  ASSERT_EQ(clSetKernelArg(sum, 0, sizeof pair, &pair), CL_SUCCESS);
  ASSERT_EQ(clSetKernelArg(sum, 1, sizeof memory, &memory), CL_SUCCESS);
  ASSERT_EQ(clEnqueueTask(queue, sum, 0, nullptr, nullptr), CL_SUCCESS);
  EXPECT_EQ(read<double>(memory, 1).front(), 3.75);
}

TEST_F(Programs, are_compiled_with_headers_and_linked) {
  cl_program header = program("int triple(int x);\n#define OFFSET 4\n");
  cl_program library = program("int triple(int x) { return 3 * x; }");
  cl_program main = program(
      "#include <own/triple.h>\n"
      "__kernel void use(__global int* v) { v[get_global_id(0)] = triple(v[get_global_id(0)]) + OFFSET; }");
  const char* name = "own/triple.h";
  ASSERT_EQ(clCompileProgram(library, 1, &device, "", 0, nullptr, nullptr, nullptr, nullptr), CL_SUCCESS)
      << log(library);
  ASSERT_EQ(clCompileProgram(main, 0, nullptr, nullptr, 1, &header, &name, nullptr, nullptr), CL_SUCCESS) << log(main);
  cl_program_binary_type type = 0;
  ASSERT_EQ(clGetProgramBuildInfo(main, device, CL_PROGRAM_BINARY_TYPE, sizeof type, &type, nullptr), CL_SUCCESS);
  EXPECT_EQ(type, static_cast<cl_program_binary_type>(CL_PROGRAM_BINARY_TYPE_COMPILED_OBJECT));
  const std::array<cl_program, 2> parts{main, library};
  cl_int code = CL_SUCCESS;
  cl_program linked = clLinkProgram(context, 1, &device, "", parts.size(), parts.data(), nullptr, nullptr, &code);
  ASSERT_EQ(code, CL_SUCCESS);
  cl_mem memory = buffer(4 * sizeof(cl_int));
  write(memory, std::vector<cl_int>{1, 2, 3, 4});
  cl_kernel use = kernel(linked, "use");
  ASSERT_EQ(clSetKernelArg(use, 0, sizeof memory, &memory), CL_SUCCESS);
  run(use, 4);
  EXPECT_EQ(read<cl_int>(memory, 4), (std::vector<cl_int>{7, 10, 13, 16}));
  EXPECT_EQ(clReleaseProgram(linked), CL_SUCCESS);

  cl_program broken = program("#include <own/triple.h>\nint f() { return OFFSET; }");
  EXPECT_EQ(clCompileProgram(broken, 1, &device, "", 0, nullptr, nullptr, nullptr, nullptr),
            CL_COMPILE_PROGRAM_FAILURE);
  EXPECT_NE(log(broken).find("triple.h"), std::string::npos) << "the log tells what is missing";
  EXPECT_EQ(clCompileProgram(main, 1, &device, "", 1, nullptr, &name, nullptr, nullptr), CL_INVALID_VALUE);
  cl_program none = nullptr;
  EXPECT_EQ(clLinkProgram(context, 1, &device, "", 1, &none, nullptr, nullptr, &code), nullptr);
  EXPECT_EQ(code, CL_INVALID_PROGRAM);
  EXPECT_EQ(clLinkProgram(context, 1, &device, "", 0, nullptr, nullptr, nullptr, &code), nullptr);
  EXPECT_EQ(code, CL_INVALID_VALUE);
}

}  // namespace
}  // namespace isthmus::test

// NOLINTEND(bugprone-multi-level-implicit-pointer-conversion, bugprone-sizeof-expression)
