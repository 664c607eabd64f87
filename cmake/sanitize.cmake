set(ISTHMUS_SANITIZE "" CACHE STRING "Sanitizers to build with: address, undefined, both with a comma, thread, or empty for none")
set_property(CACHE ISTHMUS_SANITIZE PROPERTY STRINGS "" address undefined address,undefined thread)

if(ISTHMUS_SANITIZE)
  if(NOT ISTHMUS_SANITIZE MATCHES "^(address|undefined|address,undefined|thread)$")
    message(FATAL_ERROR
      "ISTHMUS_SANITIZE: '${ISTHMUS_SANITIZE}' is unknown; use address, undefined, address,undefined, thread, or leave it empty")
  endif()
  # For the whole tree: a program of which only a part is instrumented reports false races and misses real ones.
  add_compile_options(-fsanitize=${ISTHMUS_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${ISTHMUS_SANITIZE})
  add_compile_definitions(ISTHMUS_SANITIZED=1)  # for tests that do less where everything takes longer
endif()

# isthmus_optimise(TARGET...): code that is compiled with optimisation under a sanitizer, too. Everything else is not,
# there: with checks in it, it is compiled in a third of the time then, and waits more than it computes.
function(isthmus_optimise)
  if(ISTHMUS_SANITIZE)
    foreach(target ${ARGN})
      target_compile_options(${target} PRIVATE -O1)
    endforeach()
  endif()
endfunction()
