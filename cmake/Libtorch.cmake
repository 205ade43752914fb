# LibTorch as a plain library folder: the torch wheel, or TANDEM_TORCH=/path/to/torch.
# find_package(Torch) is not used: in a CUDA wheel it demands a CUDA toolkit. The wheel's include folder also ships its
# own google/protobuf and fmt headers, which would shadow the system's: only the folders we need are linked into the build tree.
if(NOT TANDEM_TORCH)
  set(TANDEM_TORCH "$ENV{TANDEM_TORCH}")
endif()
if(NOT TANDEM_TORCH)
  file(GLOB found "${CMAKE_SOURCE_DIR}/.deps/torch/lib/python3*/site-packages/torch")
  if(found)
    list(GET found 0 TANDEM_TORCH)
  endif()
endif()
if(NOT EXISTS "${TANDEM_TORCH}/lib/libtorch_cpu.so")
  message(FATAL_ERROR "LibTorch not found (looked for lib/libtorch_cpu.so in '${TANDEM_TORCH}'). "
                      "Run launch/install, or pass -DTANDEM_TORCH=/path/to/torch.")
endif()
set(TANDEM_TORCH "${TANDEM_TORCH}" CACHE PATH "A LibTorch or a PyTorch: the folder with lib/ and include/" FORCE)

set(torch_include "${CMAKE_BINARY_DIR}/torch_include")
file(MAKE_DIRECTORY "${torch_include}")
foreach(part ATen c10 caffe2 torch)
  if(EXISTS "${TANDEM_TORCH}/include/${part}")
    file(CREATE_LINK "${TANDEM_TORCH}/include/${part}" "${torch_include}/${part}" SYMBOLIC)
  endif()
endforeach()

add_library(tandem_torch INTERFACE)
target_include_directories(tandem_torch SYSTEM INTERFACE
  "${torch_include}" "${torch_include}/torch/csrc/api/include")
target_link_directories(tandem_torch INTERFACE "${TANDEM_TORCH}/lib")
target_link_libraries(tandem_torch INTERFACE "${TANDEM_TORCH}/lib/libtorch_cpu.so" "${TANDEM_TORCH}/lib/libc10.so")
target_link_options(tandem_torch INTERFACE "-Wl,-rpath,${TANDEM_TORCH}/lib" -Wl,--allow-shlib-undefined)
target_compile_definitions(tandem_torch INTERFACE USE_DISTRIBUTED USE_C10D_GLOO)
