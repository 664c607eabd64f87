# CUDA programs, made by NVIDIA's compiler as its users do: CMake's own language CUDA would ask for a whole toolkit.
find_program(ISTHMUS_NVCC nvcc HINTS ENV CUDA_PATH PATHS /usr/local/cuda PATH_SUFFIXES bin)

# isthmus_add_cuda_program(NAME [SOURCES file.cu...] [RELOCATABLE file.cu...] [HEADERS file...] [ALL] [PTX])
# Builds NAME in the binary folder, by the target NAME_built; linked with the shared runtime. Sources under RELOCATABLE
# are compiled with -rdc=true. Cubins are not compressed, so that test/cuda/standin can read them. PTX: no cubins, the
# driver has to compile.
function(isthmus_add_cuda_program name)
  cmake_parse_arguments(arg "ALL;PTX" "" "SOURCES;RELOCATABLE;HEADERS" ${ARGN})
  set(folder ${CMAKE_CURRENT_BINARY_DIR}/${name}.dir)
  file(MAKE_DIRECTORY ${folder})
  set(code -arch=sm_90)
  if(arg_PTX)
    set(code -gencode arch=compute_90,code=compute_90)
  endif()
  set(flags -std=c++17 -O2 ${code} -no-compress)
  set(objects)
  foreach(source ${arg_SOURCES} ${arg_RELOCATABLE})
    get_filename_component(stem ${source} NAME_WE)
    set(relocatable false)
    if(source IN_LIST arg_RELOCATABLE)
      set(relocatable true)
    endif()
    add_custom_command(OUTPUT ${folder}/${stem}.o
      COMMAND ${ISTHMUS_NVCC} ${flags} -rdc=${relocatable} -c ${CMAKE_CURRENT_SOURCE_DIR}/${source}
        -o ${folder}/${stem}.o
      DEPENDS ${source} ${arg_HEADERS}
      COMMENT "nvcc ${source}" VERBATIM)
    list(APPEND objects ${folder}/${stem}.o)
  endforeach()
  add_custom_command(OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/${name}
    COMMAND ${ISTHMUS_NVCC} ${flags} -rdc=true --cudart shared ${objects} -o ${CMAKE_CURRENT_BINARY_DIR}/${name}
    DEPENDS ${objects}
    COMMENT "nvcc ${name}" VERBATIM)
  set(all)
  if(arg_ALL)
    set(all ALL)
  endif()
  add_custom_target(${name}_built ${all} DEPENDS ${CMAKE_CURRENT_BINARY_DIR}/${name})
endfunction()
