# How kernels/ is compiled: options of the CPU part, and the CUDA kernels where there is a toolkit.

# Unrolled loops keep the microkernels' tiles in registers. Contraction is off, so that the compiler never turns a product
# and a sum into one rounding in one instance of a template and into two in another: rows must not depend on their batch.
target_compile_options(tandem_kernels PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-O3> $<$<COMPILE_LANGUAGE:CXX>:-ffp-contract=off>)

set(TANDEM_CUDA AUTO CACHE STRING "Build the CUDA kernels: AUTO (where nvcc is found), ON or OFF")
set_property(CACHE TANDEM_CUDA PROPERTY STRINGS AUTO ON OFF)
set(TANDEM_HAS_CUDA OFF)

if(NOT TANDEM_CUDA STREQUAL "OFF" AND NOT TANDEM_SANITIZE)
  find_program(TANDEM_NVCC nvcc HINTS ENV CUDA_HOME ENV CUDA_PATH PATHS /usr/local/cuda PATH_SUFFIXES bin)
  if(TANDEM_NVCC)
    set(TANDEM_HAS_CUDA ON)
  elseif(TANDEM_CUDA STREQUAL "ON")
    message(FATAL_ERROR "TANDEM_CUDA=ON, but no nvcc was found (looked in PATH, CUDA_HOME and /usr/local/cuda)")
  endif()
endif()

if(TANDEM_HAS_CUDA)
  set(CMAKE_CUDA_COMPILER "${TANDEM_NVCC}")
  # Machine code for Ampere and Hopper, and PTX that newer cards compile for themselves.
  if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
    set(CMAKE_CUDA_ARCHITECTURES 80-real 90)
  endif()
  enable_language(CUDA)
  if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)  # CMake 3.25 does not know that nvcc 13 speaks C++20
    set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")
    set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION "-std=c++20")
  endif()
  file(GLOB cuda_sources CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/kernels/cuda/*.cu")
  add_library(tandem_kernels_cuda STATIC ${cuda_sources})
  # The runtime is linked statically: the binary also starts on machines without CUDA.
  set_target_properties(tandem_kernels_cuda PROPERTIES CUDA_RUNTIME_LIBRARY Static)
  target_link_libraries(tandem_kernels_cuda PUBLIC tandem_base)
else()
  add_library(tandem_kernels_cuda STATIC "${CMAKE_SOURCE_DIR}/kernels/cuda/absent.cc")
  target_link_libraries(tandem_kernels_cuda PUBLIC tandem_base)
endif()
target_link_libraries(tandem_kernels PUBLIC tandem_kernels_cuda)
message(STATUS "CUDA kernels: ${TANDEM_HAS_CUDA}")
