# libtandem_nccl.so: ranks that train on GPUs, over NCCL. Built where a CUDA toolkit with nccl.h and a LibTorch with CUDA
# are; loaded at run time (trainer/collective.cc), so that the tandem binary itself runs on a machine without either.
find_path(TANDEM_CUDA_INCLUDE cuda_runtime_api.h PATHS /usr/local/cuda/include ENV CUDA_HOME PATH_SUFFIXES include)
find_path(TANDEM_NCCL_INCLUDE nccl.h PATHS ${TANDEM_CUDA_INCLUDE} /usr/local/include)
if(TANDEM_CUDA_INCLUDE AND TANDEM_NCCL_INCLUDE AND EXISTS "${TANDEM_TORCH}/lib/libtorch_cuda.so")
  add_library(tandem_nccl MODULE trainer/nccl_collective.cc trainer/c10d_collective.cc)
  target_include_directories(tandem_nccl SYSTEM PRIVATE "${TANDEM_CUDA_INCLUDE}" "${TANDEM_NCCL_INCLUDE}")
  target_compile_definitions(tandem_nccl PRIVATE USE_C10D_NCCL)
  target_link_libraries(tandem_nccl PRIVATE tandem_torch absl::status absl::statusor absl::strings
    "${TANDEM_TORCH}/lib/libtorch_cuda.so" "${TANDEM_TORCH}/lib/libc10_cuda.so")
  # Beside the tandem binary, where trainer/collective.cc looks for it.
  set_target_properties(tandem_nccl PROPERTIES LIBRARY_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}")
else()
  message(STATUS "No CUDA toolkit with nccl.h: ranks on GPUs are not built (libtandem_nccl.so)")
endif()
