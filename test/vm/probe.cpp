// Reads and writes a PCI device's memory through its sysfs resource file, which can be mapped only:
//   vm_probe read FILE OFFSET LENGTH     prints the bytes
//   vm_probe write FILE OFFSET TEXT

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstddef>
#include <cstdio>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

int main(int argc, char** argv) {
  const std::span<char*> arguments(argv, static_cast<std::size_t>(argc));
  if (arguments.size() != 5) {
    std::fputs("usage: vm_probe read FILE OFFSET LENGTH | write FILE OFFSET TEXT\n", stderr);
    return 2;
  }
  const bool writes = std::string_view(arguments[1]) == "write";
  const std::string_view text = arguments[4];
  const std::size_t offset = std::stoul(arguments[3]);
  const std::size_t length = writes ? text.size() : std::stoul(arguments[4]);

  const int fd = open(arguments[2], O_RDWR | O_CLOEXEC);
  struct stat info{};
  if (fd < 0 || fstat(fd, &info) != 0) {
    std::perror(arguments[2]);
    return 1;
  }
  const auto size = static_cast<std::size_t>(info.st_size);
  if (offset > size || length > size - offset) {
    std::fprintf(stderr, "%s: %zu bytes at %zu asked, it has %zu\n", arguments[2], length, offset, size);
    return 1;
  }
  void* mapped = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (mapped == MAP_FAILED) {
    std::perror("mmap");
    return 1;
  }
  std::byte* place = static_cast<std::byte*>(mapped) + offset;
  if (writes) {
    std::memcpy(place, text.data(), length);
  } else {
    std::fwrite(place, 1, length, stdout);
  }
  return 0;
}
