// SPDX-License-Identifier: Apache-2.0
// Streams and events, threads, callbacks, and order across them.
#include <atomic>
#include <thread>

#include "programs.hpp"

extern "C" __global__ void scale_and_add(int* values, int factor, int term, int count) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < count) {
    values[i] = static_cast<int>(static_cast<unsigned>(values[i]) * static_cast<unsigned>(factor) +
                                 static_cast<unsigned>(term));
  }
}

namespace {

constexpr int cells = 256;

void step(int* values, int factor, int term, cudaStream_t stream) {
  scale_and_add<<<1, cells, 0, stream>>>(values, factor, term, cells);
}

cudaStream_t new_stream() {
  cudaStream_t made = nullptr;
  CHECK(cudaStreamCreateWithFlags(&made, cudaStreamNonBlocking));
  return made;
}

cudaEvent_t new_event() {
  cudaEvent_t made = nullptr;
  CHECK(cudaEventCreate(&made));
  return made;
}

}  // namespace

// Copies and kernels of several streams overlap; events order what has to be in order, and tell the time.
int run_streams() {
  constexpr int streams = 4;
  constexpr int rounds = 20;
  int* pinned = nullptr;
  CHECK(cudaMallocHost(&pinned, streams * cells * sizeof(int)));
  for (int i = 0; i < streams * cells; ++i) {
    pinned[i] = i;
  }
  int* device = device_memory<int>(streams * cells);
  cudaStream_t stream[streams];
  cudaEvent_t start = new_event();
  cudaEvent_t end[streams];
  CHECK(cudaEventRecord(start));
  for (int s = 0; s < streams; ++s) {
    stream[s] = new_stream();
    end[s] = new_event();
    CHECK(cudaStreamWaitEvent(stream[s], start));
    int* mine = device + s * cells;
    CHECK(cudaMemcpyAsync(mine, pinned + s * cells, cells * sizeof(int), cudaMemcpyHostToDevice, stream[s]));
    for (int round = 0; round < rounds; ++round) {
      step(mine, 3, round + s, stream[s]);
    }
    CHECK(cudaMemcpyAsync(pinned + s * cells, mine, cells * sizeof(int), cudaMemcpyDeviceToHost, stream[s]));
    CHECK(cudaEventRecord(end[s], stream[s]));
  }
  for (int s = 0; s < streams; ++s) {
    CHECK(cudaEventSynchronize(end[s]));
    CHECK(cudaEventQuery(end[s]));
    float milliseconds = -1;
    CHECK(cudaEventElapsedTime(&milliseconds, start, end[s]));
    EXPECT(milliseconds >= 0);
    CHECK(cudaStreamQuery(stream[s]));
  }
  for (int i = 0; i < streams * cells; ++i) {
    unsigned expected = static_cast<unsigned>(i);
    for (int round = 0; round < rounds; ++round) {
      expected = expected * 3 + static_cast<unsigned>(round + i / cells);
    }
    EXPECT(pinned[i] == static_cast<int>(expected));
  }
  std::printf("streams: %d streams right, %llx\n", streams,
              checksum(std::vector<int>(pinned, pinned + streams * cells)));
  for (int s = 0; s < streams; ++s) {
    CHECK(cudaEventDestroy(end[s]));
    CHECK(cudaStreamDestroy(stream[s]));
  }
  CHECK(cudaFreeHost(pinned));
  return 0;
}

// Threads that each do their own work, in the default stream and in one of their own.
int run_threads() {
  constexpr int threads = 6;
  std::atomic<int> right{0};
  std::vector<std::thread> all;
  for (int t = 0; t < threads; ++t) {
    all.emplace_back([t, &right] {
      cudaStream_t stream = t % 2 == 0 ? new_stream() : cudaStreamPerThread;
      int* mine = device_memory<int>(cells);
      CHECK(cudaMemsetAsync(mine, 0, cells * sizeof(int), stream));
      for (int round = 1; round <= 50; ++round) {
        step(mine, 1, round * t, stream);
      }
      CHECK(cudaStreamSynchronize(stream));
      const auto got = fetch(mine, cells);
      for (int value : got) {
        EXPECT(value == t * 50 * 51 / 2);
      }
      CHECK(cudaFree(mine));
      ++right;
    });
  }
  for (auto& thread : all) {
    thread.join();
  }
  std::printf("threads: %d of %d right\n", right.load(), threads);
  return right == threads ? 0 : 1;
}

// Host functions and callbacks come in their turn, between the copies around them.
int run_callbacks() {
  struct Seen {
    int* from;
    std::vector<int> values;
    std::atomic<int> callbacks{0};
  } seen;
  CHECK(cudaMallocHost(&seen.from, sizeof(int)));
  int* device = device_memory<int>(cells);
  cudaStream_t stream = new_stream();
  CHECK(cudaMemsetAsync(device, 0, cells * sizeof(int), stream));
  for (int round = 0; round < 10; ++round) {
    step(device, 2, 1, stream);
    CHECK(cudaMemcpyAsync(seen.from, device, sizeof(int), cudaMemcpyDeviceToHost, stream));
    CHECK(cudaLaunchHostFunc(
        stream,
        [](void* data) {
          auto& to = *static_cast<Seen*>(data);
          to.values.push_back(*to.from);
        },
        &seen));
  }
  CHECK(cudaStreamAddCallback(
      stream,
      [](cudaStream_t, cudaError_t status, void* data) {
        static_cast<Seen*>(data)->callbacks += status == cudaSuccess ? 1 : 1000;
      },
      &seen, 0));
  CHECK(cudaStreamSynchronize(stream));
  EXPECT(seen.callbacks == 1);
  EXPECT(seen.values.size() == 10);
  for (int round = 0; round < 10; ++round) {
    EXPECT(seen.values[round] == (2 << round) - 1);
  }
  std::printf("callbacks: 11 calls, last value %d\n", seen.values.back());
  return 0;
}

// What one thread has begun, before another begins something in the same stream, is before it: a baton goes round, and
// each holder launches once, or records an event that the next waits for.
int run_order() {
  constexpr int threads = 4;
  const char* rounds_text = std::getenv("CUDA_PROGRAMS_ROUNDS");
  const int rounds = rounds_text != nullptr ? std::atoi(rounds_text) : 400;
  int* device = device_memory<int>(cells);
  CHECK(cudaMemset(device, 0, cells * sizeof(int)));
  cudaStream_t shared = new_stream();
  cudaStream_t own[threads];
  for (auto& stream : own) {
    stream = new_stream();
  }
  cudaEvent_t passed = new_event();
  CHECK(cudaEventRecord(passed, shared));
  CHECK(cudaDeviceSynchronize());
  std::atomic<int> turn{0};
  std::vector<std::thread> all;
  for (int t = 0; t < threads; ++t) {
    all.emplace_back([&, t] {
      for (int round = t; round < rounds; round += threads) {
        while (turn.load() != round) {
          std::this_thread::yield();
        }
        if (round < rounds / 2) {
          step(device, 3, round, shared);
        } else {
          if (round == rounds / 2) {
            CHECK(cudaEventRecord(passed, shared));
          }
          CHECK(cudaStreamWaitEvent(own[t], passed));
          step(device, 3, round, own[t]);
          CHECK(cudaEventRecord(passed, own[t]));
        }
        turn.store(round + 1);
      }
    });
  }
  for (auto& thread : all) {
    thread.join();
  }
  CHECK(cudaDeviceSynchronize());
  unsigned expected = 0;
  for (int round = 0; round < rounds; ++round) {
    expected = expected * 3 + static_cast<unsigned>(round);
  }
  EXPECT(fetch(device, cells)[cells - 1] == static_cast<int>(expected));
  std::printf("order: %d launches of %d threads in order\n", rounds, threads);
  return 0;
}
