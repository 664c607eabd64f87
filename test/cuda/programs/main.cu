// SPDX-License-Identifier: Apache-2.0
// cuda_programs NAME: small CUDA programs, each of which checks its result and prints the same on every device.
#include <cstdio>
#include <cstring>

#include "programs.hpp"

namespace {

struct Program {
  const char* name;
  int (*run)();
};

const Program programs[] = {
    {"vector_add", run_vector_add},
    {"matrix", run_matrix},
    {"parameters", run_parameters},
    {"errors", run_errors},
    {"streams", run_streams},
    {"threads", run_threads},
    {"callbacks", run_callbacks},
    {"order", run_order},
    {"mapped", run_mapped},
    {"registered", run_registered},
    {"rows", run_rows},
    {"by_address", run_by_address},
    {"managed", run_managed},
    {"ordinary", run_ordinary},
    {"symbols", run_symbols},
    {"graphs", run_graphs},
    {"printing", run_printing},
    {"assertion", run_assertion},
    {"graph_nodes", run_graph_nodes},
    {"managed_variable", run_managed_variable},
};

}  // namespace

int main(int argc, char** argv) {
  for (const Program& program : programs) {
    if (argc == 2 && std::strcmp(argv[1], program.name) == 0) {
      return program.run();
    }
  }
  std::fprintf(stderr, "usage: cuda_programs NAME, one of:");
  for (const Program& program : programs) {
    std::fprintf(stderr, " %s", program.name);
  }
  std::fprintf(stderr, "\n");
  return 2;
}
