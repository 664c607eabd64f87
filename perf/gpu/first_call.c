// SPDX-License-Identifier: Apache-2.0
// For LD_PRELOAD: writes to the file FIRST_CALL_FILE how many microseconds a program took from its first call of the
// CUDA runtime that may need a device to its end. x86-64: the functions' arguments, all integers and pointers and no
// more than six, are passed on as they are.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

typedef long (*Function)(long, long, long, long, long, long);

static int64_t first_ns;

static int64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static Function begin(const char* name, Function* next) {
  if (first_ns == 0) {
    first_ns = now_ns();
  }
  if (*next == NULL) {
    *(void**)next = dlsym(RTLD_NEXT, name);
    if (*next == NULL) {
      fprintf(stderr, "first_call: %s: no library has it\n", name);
      abort();
    }
  }
  return *next;
}

#define CALL(NAME)                                                                      \
  __attribute__((visibility("default"))) long NAME(long, long, long, long, long, long); \
  long NAME(long a, long b, long c, long d, long e, long f) {                           \
    static Function next;                                                               \
    return begin(#NAME, &next)(a, b, c, d, e, f);                                       \
  }

// NOLINTBEGIN(readability-identifier-naming): the interface's names
CALL(cudaGetDeviceCount)
CALL(cudaGetDevice)
CALL(cudaSetDevice)
CALL(cudaGetDeviceProperties)
CALL(cudaDeviceGetAttribute)
CALL(cudaMalloc)
CALL(cudaMallocHost)
CALL(cudaHostAlloc)
CALL(cudaMemcpy)
CALL(cudaFree)
CALL(cudaDeviceSynchronize)
CALL(__cudaPushCallConfiguration)  // of a launch; two dim3 are passed in four registers
CALL(cudaStreamCreate)
CALL(cudaStreamCreateWithFlags)
CALL(cudaEventCreate)
// NOLINTEND(readability-identifier-naming)

// After the program's own destructors and those of the libraries that it is linked to, as a library that was loaded
// before them ends after them.
__attribute__((destructor)) static void end(void) {
  const char* const path = getenv("FIRST_CALL_FILE");
  FILE* const file = first_ns != 0 && path != NULL ? fopen(path, "w") : NULL;
  if (file != NULL) {
    fprintf(file, "%.3f\n", (double)(now_ns() - first_ns) / 1e3);
    fclose(file);
  }
}
