set(ISTHMUS_SANITIZE "" CACHE STRING "Sanitizer to build with: address, undefined, thread, or empty for none")
set_property(CACHE ISTHMUS_SANITIZE PROPERTY STRINGS "" address undefined thread)

if(ISTHMUS_SANITIZE)
  if(NOT ISTHMUS_SANITIZE MATCHES "^(address|undefined|thread)$")
    message(FATAL_ERROR
      "ISTHMUS_SANITIZE: '${ISTHMUS_SANITIZE}' is unknown; use address, undefined, thread, or leave it empty")
  endif()
  # For the whole tree: a program of which only a part is instrumented reports false races and misses real ones.
  add_compile_options(-fsanitize=${ISTHMUS_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${ISTHMUS_SANITIZE})
endif()
