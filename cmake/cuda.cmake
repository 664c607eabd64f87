# The CUDA split driver needs NVIDIA's headers to build, of CUDA 13; nothing of the toolkit to run.
find_path(ISTHMUS_CUDA_INCLUDE_DIR cuda.h
  HINTS ${CUDAToolkit_INCLUDE} ENV CUDA_PATH
  PATHS /usr/local/cuda
  PATH_SUFFIXES include
  DOC "Folder of NVIDIA's cuda.h")
if(ISTHMUS_CUDA_INCLUDE_DIR)
  file(STRINGS ${ISTHMUS_CUDA_INCLUDE_DIR}/cuda.h cuda_version REGEX "^#define CUDA_VERSION ")
  string(REGEX REPLACE "[^0-9]" "" cuda_version "${cuda_version}")
  if(cuda_version LESS 13000)
    message(STATUS "CUDA split driver: left out; ${ISTHMUS_CUDA_INCLUDE_DIR}/cuda.h is of version ${cuda_version}, "
      "13000 (CUDA 13) is needed")
    set(ISTHMUS_CUDA_INCLUDE_DIR "" CACHE PATH "Folder of NVIDIA's cuda.h" FORCE)
  endif()
else()
  message(STATUS "CUDA split driver: left out; no cuda.h. Install NVIDIA's CUDA headers, or set "
    "-DISTHMUS_CUDA_INCLUDE_DIR=FOLDER")
endif()
