// SPDX-License-Identifier: Apache-2.0

// NOLINTBEGIN(bugprone-multi-level-implicit-pointer-conversion, bugprone-sizeof-expression): the API takes
// addresses and sizes of its handles, which are pointers.

// An OpenCL program like any other: multiplies two matrices on the first device, and checks the product. Nothing in it
// knows of Isthmus; in a VM its device is the host's. Times are of the program's own: up to the build (setup), of the
// build, and from there to the product's being read (run; the first launch of a kernel compiles it on some devices).
//     opencl_matrix [N]      N x N, a multiple of 16; default 256

#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static const char* const source =
    "__kernel void multiply(__global const float* a, __global const float* b, __global float* c, int n,\n"
    "                       __local float* tile) {\n"
    "  const int column = get_global_id(0), row = get_global_id(1);\n"
    "  const int x = get_local_id(0), y = get_local_id(1), size = get_local_size(0);\n"
    "  float sum = 0;\n"
    "  for (int start = 0; start < n; start += size) {\n"
    "    tile[y * size + x] = a[row * n + start + x];\n"
    "    barrier(CLK_LOCAL_MEM_FENCE);\n"
    "    for (int k = 0; k < size; ++k) sum += tile[y * size + k] * b[(start + k) * n + column];\n"
    "    barrier(CLK_LOCAL_MEM_FENCE);\n"
    "  }\n"
    "  c[row * n + column] = sum;\n"
    "}\n";

static double milliseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static void check(cl_int code, const char* what) {
  if (code != CL_SUCCESS) {
    fprintf(stderr, "%s: OpenCL error %d\n", what, code);
    exit(1);
  }
}

static void build(cl_program program, cl_device_id device) {
  if (clBuildProgram(program, 1, &device, "", NULL, NULL) == CL_SUCCESS) return;
  static char log[65536];
  clGetProgramBuildInfo(program, device, CL_PROGRAM_BUILD_LOG, sizeof log, log, NULL);
  fprintf(stderr, "the kernel does not compile:\n%s\n", log);
  exit(1);
}

int main(int argc, char** argv) {
  const int n = argc > 1 ? atoi(argv[1]) : 256;
  if (n < 16 || n > 8192 || n % 16 != 0) {
    fprintf(stderr, "usage: opencl_matrix [N], a multiple of 16, 8192 at most\n");
    return 2;
  }
  const size_t count = (size_t)n * (size_t)n, bytes = count * sizeof(float);
  float *a = malloc(bytes), *b = malloc(bytes), *c = malloc(bytes);
  if (!a || !b || !c) return 1;
  for (size_t i = 0; i < count; ++i) {
    a[i] = (float)(i % 7) - 3;
    b[i] = (float)(i % 5) - 2;
  }

  const double begin = milliseconds();
  cl_platform_id platform;
  cl_device_id device;
  cl_int code;
  check(clGetPlatformIDs(1, &platform, NULL), "clGetPlatformIDs");
  check(clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 1, &device, NULL), "clGetDeviceIDs");
  char name[256], version[256];
  check(clGetPlatformInfo(platform, CL_PLATFORM_NAME, sizeof name, name, NULL), "clGetPlatformInfo");
  check(clGetPlatformInfo(platform, CL_PLATFORM_VERSION, sizeof version, version, NULL), "clGetPlatformInfo");
  printf("platform %s, %s\n", name, version);
  check(clGetDeviceInfo(device, CL_DEVICE_NAME, sizeof name, name, NULL), "clGetDeviceInfo");
  printf("device %s\n", name);
  cl_context context = clCreateContext(NULL, 1, &device, NULL, NULL, &code);
  check(code, "clCreateContext");
  cl_command_queue queue = clCreateCommandQueue(context, device, CL_QUEUE_PROFILING_ENABLE, &code);
  check(code, "clCreateCommandQueue");

  cl_mem in_a = clCreateBuffer(context, CL_MEM_READ_ONLY | CL_MEM_COPY_HOST_PTR, bytes, a, &code);
  check(code, "clCreateBuffer");
  cl_mem in_b = clCreateBuffer(context, CL_MEM_READ_ONLY, bytes, NULL, &code);
  check(code, "clCreateBuffer");
  cl_mem out = clCreateBuffer(context, CL_MEM_WRITE_ONLY, bytes, NULL, &code);
  check(code, "clCreateBuffer");
  check(clEnqueueWriteBuffer(queue, in_b, CL_FALSE, 0, bytes, b, 0, NULL, NULL), "clEnqueueWriteBuffer");

  cl_program program = clCreateProgramWithSource(context, 1, (const char**)&source, NULL, &code);
  check(code, "clCreateProgramWithSource");
  const double before_build = milliseconds();
  build(program, device);
  const double after_build = milliseconds();
  cl_kernel kernel = clCreateKernel(program, "multiply", &code);
  check(code, "clCreateKernel");
  const cl_int size = n;
  check(clSetKernelArg(kernel, 0, sizeof in_a, &in_a), "clSetKernelArg");
  check(clSetKernelArg(kernel, 1, sizeof in_b, &in_b), "clSetKernelArg");
  check(clSetKernelArg(kernel, 2, sizeof out, &out), "clSetKernelArg");
  check(clSetKernelArg(kernel, 3, sizeof size, &size), "clSetKernelArg");
  check(clSetKernelArg(kernel, 4, 16 * 16 * sizeof(float), NULL), "clSetKernelArg");
  const size_t global[2] = {(size_t)n, (size_t)n}, local[2] = {16, 16};
  cl_event done;
  check(clEnqueueNDRangeKernel(queue, kernel, 2, NULL, global, local, 0, NULL, &done), "clEnqueueNDRangeKernel");
  check(clEnqueueReadBuffer(queue, out, CL_TRUE, 0, bytes, c, 1, &done, NULL), "clEnqueueReadBuffer");

  const double finished = milliseconds();
  printf("build_ms %.3f\n", after_build - before_build);
  printf("setup_ms %.3f\n", before_build - begin);
  printf("run_ms %.3f\n", finished - after_build);
  cl_ulong start = 0, end = 0;
  check(clGetEventProfilingInfo(done, CL_PROFILING_COMMAND_START, sizeof start, &start, NULL), "profiling");
  check(clGetEventProfilingInfo(done, CL_PROFILING_COMMAND_END, sizeof end, &end, NULL), "profiling");
  printf("kernel_ms %.3f\n", (double)(end - start) / 1e6);

  // Small whole numbers: a float holds every sum exactly. A few rows suffice.
  const size_t width = (size_t)n;
  for (size_t row = 0; row < width; row += width / 16)
    for (size_t column = 0; column < width; ++column) {
      float sum = 0;
      for (size_t k = 0; k < width; ++k) sum += a[row * width + k] * b[k * width + column];
      const float got = c[row * width + column];
      if (fabsf(sum - got) > 0) {
        fprintf(stderr, "row %zu, column %zu: %f instead of %f\n", row, column, (double)got, (double)sum);
        return 1;
      }
    }
  printf("product right %d x %d\n", n, n);

  clReleaseEvent(done);
  clReleaseKernel(kernel);
  clReleaseProgram(program);
  clReleaseMemObject(in_a);
  clReleaseMemObject(in_b);
  clReleaseMemObject(out);
  clReleaseCommandQueue(queue);
  clReleaseContext(context);
  free(a);
  free(b);
  free(c);
  return 0;
}

// NOLINTEND(bugprone-multi-level-implicit-pointer-conversion, bugprone-sizeof-expression)
