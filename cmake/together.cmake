# For folders of many small files over the same large headers: in every build, several files are compiled as one, in a
# third of the time. Names in anonymous namespaces must be unique in a target.
if(NOT CMAKE_UNITY_BUILD)
  set(CMAKE_UNITY_BUILD ON)
  set(CMAKE_UNITY_BUILD_BATCH_SIZE 8)
endif()
