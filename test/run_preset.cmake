# Builds one preset and runs its tests, as a test of another build.
# cmake -DPRESET=asan -DCPUS=2 -P run_preset.cmake, in the root of the tree.
function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE status)
  if(NOT status EQUAL 0)
    list(JOIN ARGN " " command)
    message(FATAL_ERROR "${command}: ended with ${status}; the reason stands above")
  endif()
endfunction()

if(NOT EXISTS build/${PRESET}/build.ninja)
  run(${CMAKE_COMMAND} --preset ${PRESET})
endif()
run(${CMAKE_COMMAND} --build --preset ${PRESET} -j ${CPUS})
math(EXPR jobs "2 * ${CPUS} + 1")  # a test waits most of its time
run(${CMAKE_CTEST_COMMAND} --preset ${PRESET} -j ${jobs})

# Their programs' cases share processes there, so that ctest does not know of them.
file(STRINGS build/${PRESET}/Testing/Temporary/LastTest.log skipped REGEX "^\\[  SKIPPED \\].*\\([0-9]+ ms\\)$")
foreach(line ${skipped})
  string(REGEX REPLACE "^\\[  SKIPPED \\] | \\([0-9]+ ms\\)$" "" case "${line}")
  message("skipped in build/${PRESET} (its reason stands in the test): ${case}")
endforeach()
