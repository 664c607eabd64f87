// SPDX-License-Identifier: Apache-2.0
// cuda_micro ROW [REPETITIONS]: measures one thing of the CUDA runtime, and prints its raw samples as JSON.
//
// It is an ordinary CUDA program: run_gpu starts it over NVIDIA's driver and over Isthmus in turn. Times are of the
// steady clock, as the program sees them; what is measured stands at each row.
#include <cuda_runtime.h>
#include <sys/resource.h>
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#define CHECK(call)                                                                                 \
  do {                                                                                              \
    const cudaError_t code = (call);                                                                \
    if (code != cudaSuccess) {                                                                      \
      std::fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #call, cudaGetErrorString(code)); \
      std::exit(1);                                                                                 \
    }                                                                                               \
  } while (false)

extern "C" __global__ void nothing() {}

extern "C" __global__ void spin(long long microseconds, int* done) {
  const long long begin = clock64();
  while (clock64() - begin < microseconds * 1000) {
  }
  *done += 1;
}

namespace {

constexpr std::size_t MiB = std::size_t{1} << 20;

long long now_ns() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1'000'000'000LL + time.tv_nsec;
}

double cpu_seconds() {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
  };
  return seconds(used.ru_utime) + seconds(used.ru_stime);
}

struct Samples {
  const char* unit;
  std::vector<double> values;
  double cpu_seconds_per_gb = -1;  // where it says something
};

// Microseconds of one `work`, after a few that do not count; `batch` of them are one sample.
template <class F>
Samples microseconds(int samples, int batch, F&& work) {
  Samples taken{"us", {}};
  for (int i = -3; i < samples; ++i) {
    const long long begin = now_ns();
    for (int j = 0; j < batch; ++j) {
      work();
    }
    const long long end = now_ns();
    if (i >= 0) {
      taken.values.push_back(static_cast<double>(end - begin) / 1e3 / batch);
    }
    CHECK(cudaDeviceSynchronize());
  }
  return taken;
}

// Gigabytes (1e9) a second of a copy of that many bytes, and processor time.
Samples bandwidth(int samples, std::size_t bytes, void* to, const void* from, cudaMemcpyKind kind) {
  Samples taken{"GB/s", {}};
  double cpu = 0;
  for (int i = -2; i < samples; ++i) {
    const double cpu_before = cpu_seconds();
    const long long begin = now_ns();
    CHECK(cudaMemcpyAsync(to, from, bytes, kind));
    CHECK(cudaDeviceSynchronize());
    const long long end = now_ns();
    if (i >= 0) {
      taken.values.push_back(static_cast<double>(bytes) / static_cast<double>(end - begin));
      cpu += cpu_seconds() - cpu_before;
    }
  }
  taken.cpu_seconds_per_gb = cpu / (static_cast<double>(bytes) * samples / 1e9);
  return taken;
}

Samples copy(int samples, std::size_t bytes, bool pinned, cudaMemcpyKind kind) {
  void* host = nullptr;
  void* device = nullptr;
  CHECK(cudaMalloc(&device, bytes));
  if (pinned) {
    CHECK(cudaMallocHost(&host, bytes));
  } else {
    host = std::malloc(bytes);
  }
  std::memset(host, 42, bytes);
  CHECK(cudaMemcpy(device, host, bytes, cudaMemcpyHostToDevice));
  return kind == cudaMemcpyHostToDevice ? bandwidth(samples, bytes, device, host, kind)
                                        : bandwidth(samples, bytes, host, device, kind);
}

Samples pinned_h2d_16m(int n) { return copy(n, 16 * MiB, true, cudaMemcpyHostToDevice); }
Samples pinned_d2h_16m(int n) { return copy(n, 16 * MiB, true, cudaMemcpyDeviceToHost); }
Samples pinned_h2d_64m(int n) { return copy(n, 64 * MiB, true, cudaMemcpyHostToDevice); }
Samples pinned_d2h_64m(int n) { return copy(n, 64 * MiB, true, cudaMemcpyDeviceToHost); }
Samples pageable_h2d_256m(int n) { return copy(n, 256 * MiB, false, cudaMemcpyHostToDevice); }
Samples pageable_d2h_256m(int n) { return copy(n, 256 * MiB, false, cudaMemcpyDeviceToHost); }

Samples malloc_free_idle(int n) {
  return microseconds(n, 1, [] {
    void* memory = nullptr;
    CHECK(cudaMalloc(&memory, MiB));
    CHECK(cudaFree(memory));
  });
}

// The kernel takes 50 to 100 us at 1 to 2 GHz; a free that waits for it shows here.
Samples malloc_free_busy(int n) {
  int* done = nullptr;
  cudaStream_t stream = nullptr;
  CHECK(cudaMalloc(&done, sizeof *done));
  CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  Samples taken{"us", {}};
  for (int i = -3; i < n; ++i) {
    spin<<<1, 1, 0, stream>>>(100, done);
    const long long begin = now_ns();
    void* memory = nullptr;
    CHECK(cudaMalloc(&memory, MiB));
    CHECK(cudaFree(memory));
    const long long end = now_ns();
    CHECK(cudaStreamSynchronize(stream));
    if (i >= 0) {
      taken.values.push_back(static_cast<double>(end - begin) / 1e3);
    }
  }
  return taken;
}

// 256 launches fit into every queue on the way, so that none of them waits.
Samples launch_cost(int n) {
  return microseconds(n, 256, [] { nothing<<<1, 1>>>(); });
}

// The time for each of 100,000 launches, the wait for the last one included.
Samples launch_rate(int n) {
  constexpr int launches = 100'000;
  Samples taken{"us", {}};
  for (int i = 0; i < n; ++i) {
    const long long begin = now_ns();
    for (int j = 0; j < launches; ++j) {
      nothing<<<1, 1>>>();
    }
    CHECK(cudaDeviceSynchronize());
    taken.values.push_back(static_cast<double>(now_ns() - begin) / 1e3 / launches);
  }
  return taken;
}

Samples launch_sync(int n) {
  return microseconds(n, 1, [] {
    nothing<<<1, 1>>>();
    CHECK(cudaDeviceSynchronize());
  });
}

Samples memcpy_4b(int n, cudaMemcpyKind kind) {
  static int host = 7;
  int* device = nullptr;
  CHECK(cudaMalloc(&device, sizeof *device));
  return microseconds(n, 1, [device, kind] {
    CHECK(kind == cudaMemcpyHostToDevice ? cudaMemcpy(device, &host, sizeof host, kind)
                                         : cudaMemcpy(&host, device, sizeof host, kind));
  });
}

Samples memcpy_4b_h2d(int n) { return memcpy_4b(n, cudaMemcpyHostToDevice); }
Samples memcpy_4b_d2h(int n) { return memcpy_4b(n, cudaMemcpyDeviceToHost); }

Samples stream_create_destroy(int n) {
  return microseconds(n, 1, [] {
    cudaStream_t stream = nullptr;
    CHECK(cudaStreamCreate(&stream));
    CHECK(cudaStreamDestroy(stream));
  });
}

Samples event_record(int n) {
  cudaEvent_t event = nullptr;
  CHECK(cudaEventCreate(&event));
  return microseconds(n, 100, [event] { CHECK(cudaEventRecord(event)); });
}

Samples event_query(int n) {
  cudaEvent_t event = nullptr;
  CHECK(cudaEventCreate(&event));
  CHECK(cudaEventRecord(event));
  CHECK(cudaDeviceSynchronize());
  return microseconds(n, 100, [event] { CHECK(cudaEventQuery(event)); });
}

// The first call that needs the device: attaching, or making a context.
Samples first_call(int /*n*/) {
  const long long begin = now_ns();
  CHECK(cudaFree(nullptr));
  return {"us", {static_cast<double>(now_ns() - begin) / 1e3}};
}

// From the start of the process, which CUDA_MICRO_BEGAN tells (nanoseconds of CLOCK_MONOTONIC), to the first kernel's
// end.
Samples first_kernel(int /*n*/) {
  const char* began = std::getenv("CUDA_MICRO_BEGAN");
  if (began == nullptr) {
    std::fprintf(stderr, "first_kernel: CUDA_MICRO_BEGAN is not set\n");
    std::exit(2);
  }
  nothing<<<1, 1>>>();
  CHECK(cudaDeviceSynchronize());
  return {"us", {static_cast<double>(now_ns() - std::atoll(began)) / 1e3}};
}

struct Row {
  const char* name;
  Samples (*measure)(int);
  int repetitions;
};

const Row rows[] = {
    {"pinned_h2d_16m", pinned_h2d_16m, 30},
    {"pinned_d2h_16m", pinned_d2h_16m, 30},
    {"pinned_h2d_64m", pinned_h2d_64m, 20},
    {"pinned_d2h_64m", pinned_d2h_64m, 20},
    {"pageable_h2d_256m", pageable_h2d_256m, 6},
    {"pageable_d2h_256m", pageable_d2h_256m, 6},
    {"malloc_free_idle", malloc_free_idle, 200},
    {"malloc_free_busy", malloc_free_busy, 100},
    {"launch_cost", launch_cost, 100},
    {"launch_rate", launch_rate, 3},
    {"launch_sync", launch_sync, 300},
    {"memcpy_4b_h2d", memcpy_4b_h2d, 300},
    {"memcpy_4b_d2h", memcpy_4b_d2h, 300},
    {"stream_create_destroy", stream_create_destroy, 200},
    {"event_record", event_record, 100},
    {"event_query", event_query, 100},
    {"first_call", first_call, 1},
    {"first_kernel", first_kernel, 1},
};

void print(const Row& row, const Samples& taken) {
  cudaDeviceProp device{};
  CHECK(cudaGetDeviceProperties(&device, 0));
  CHECK(cudaGetLastError());
  std::printf("{\"row\": \"%s\", \"unit\": \"%s\", \"device\": \"%s\"", row.name, taken.unit, device.name);
  if (taken.cpu_seconds_per_gb >= 0) {
    std::printf(", \"cpu_seconds_per_gb\": %.6g", taken.cpu_seconds_per_gb);
  }
  std::printf(", \"samples\": [");
  for (std::size_t i = 0; i < taken.values.size(); ++i) {
    std::printf("%s%.6g", i == 0 ? "" : ", ", taken.values[i]);
  }
  std::printf("]}\n");
}

}  // namespace

int main(int argc, char** argv) {
  const std::string asked = argc > 1 ? argv[1] : "";
  if (asked == "--list") {
    for (const Row& row : rows) {
      std::printf("%s\n", row.name);
    }
    return 0;
  }
  for (const Row& row : rows) {
    if (asked == row.name) {
      if (asked.rfind("first_", 0) != 0) {
        nothing<<<1, 1>>>();  // loads the module
        CHECK(cudaDeviceSynchronize());
      }
      print(row, row.measure(argc > 2 ? std::atoi(argv[2]) : row.repetitions));
      return 0;
    }
  }
  std::fprintf(stderr, "usage: cuda_micro ROW [REPETITIONS]; --list names the rows\n");
  return 2;
}
