// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "src/gpu/opencl/cl.hpp"

#include <CL/cl_icd.h>

#include <type_traits>

/// \file
/// The API's functions, by the folder's files. Each has the type that the loader calls it by.

namespace isthmus::opencl::entry {

template <class Pointer>
using Entry = std::remove_pointer_t<Pointer>;

// platform.cpp
Entry<cl_api_clGetPlatformIDs> get_platform_ids;
Entry<cl_api_clGetPlatformInfo> get_platform_info;
Entry<cl_api_clGetDeviceIDs> get_device_ids;
Entry<cl_api_clGetDeviceInfo> get_device_info;
Entry<cl_api_clUnloadCompiler> unload_compiler;
Entry<cl_api_clUnloadPlatformCompiler> unload_platform_compiler;
Entry<cl_api_clGetExtensionFunctionAddressForPlatform> get_extension_function_address_for_platform;

// sub_device.cpp
Entry<cl_api_clRetainDevice> retain_device;
Entry<cl_api_clReleaseDevice> release_device;
Entry<cl_api_clCreateSubDevices> create_sub_devices;

// context.cpp
Entry<cl_api_clCreateContext> create_context;
Entry<cl_api_clCreateContextFromType> create_context_from_type;
Entry<cl_api_clRetainContext> retain_context;
Entry<cl_api_clReleaseContext> release_context;
Entry<cl_api_clGetContextInfo> get_context_info;

// queue.cpp
Entry<cl_api_clCreateCommandQueue> create_command_queue;
Entry<cl_api_clCreateCommandQueueWithProperties> create_command_queue_with_properties;
Entry<cl_api_clRetainCommandQueue> retain_command_queue;
Entry<cl_api_clReleaseCommandQueue> release_command_queue;
Entry<cl_api_clGetCommandQueueInfo> get_command_queue_info;
Entry<cl_api_clFlush> flush;
Entry<cl_api_clFinish> finish;

// memory.cpp
Entry<cl_api_clCreateBuffer> create_buffer;
Entry<cl_api_clCreateSubBuffer> create_sub_buffer;
Entry<cl_api_clRetainMemObject> retain_mem_object;
Entry<cl_api_clReleaseMemObject> release_mem_object;
Entry<cl_api_clGetMemObjectInfo> get_mem_object_info;
Entry<cl_api_clSetMemObjectDestructorCallback> set_mem_object_destructor_callback;

// image.cpp
Entry<cl_api_clCreateImage> create_image;
Entry<cl_api_clCreateImage2D> create_image_2d;
Entry<cl_api_clCreateImage3D> create_image_3d;
Entry<cl_api_clGetImageInfo> get_image_info;
Entry<cl_api_clGetSupportedImageFormats> get_supported_image_formats;

// sampler.cpp
Entry<cl_api_clCreateSampler> create_sampler;
Entry<cl_api_clRetainSampler> retain_sampler;
Entry<cl_api_clReleaseSampler> release_sampler;
Entry<cl_api_clGetSamplerInfo> get_sampler_info;

// program.cpp
Entry<cl_api_clCreateProgramWithSource> create_program_with_source;
Entry<cl_api_clCreateProgramWithBinary> create_program_with_binary;
Entry<cl_api_clCreateProgramWithBuiltInKernels> create_program_with_built_in_kernels;
Entry<cl_api_clRetainProgram> retain_program;
Entry<cl_api_clReleaseProgram> release_program;
Entry<cl_api_clBuildProgram> build_program;
Entry<cl_api_clGetProgramInfo> get_program_info;
Entry<cl_api_clGetProgramBuildInfo> get_program_build_info;

// intermediate.cpp
Entry<cl_api_clCreateProgramWithIL> create_program_with_il;
Entry<cl_api_clSetProgramSpecializationConstant> set_program_specialization_constant;

// link.cpp
Entry<cl_api_clCompileProgram> compile_program;
Entry<cl_api_clLinkProgram> link_program;

// kernel.cpp
Entry<cl_api_clCreateKernel> create_kernel;
Entry<cl_api_clCreateKernelsInProgram> create_kernels_in_program;
Entry<cl_api_clRetainKernel> retain_kernel;
Entry<cl_api_clReleaseKernel> release_kernel;
Entry<cl_api_clCloneKernel> clone_kernel;
Entry<cl_api_clSetKernelArg> set_kernel_arg;
Entry<cl_api_clGetKernelInfo> get_kernel_info;
Entry<cl_api_clGetKernelArgInfo> get_kernel_arg_info;
Entry<cl_api_clGetKernelWorkGroupInfo> get_kernel_work_group_info;

// launch.cpp
Entry<cl_api_clEnqueueNDRangeKernel> enqueue_nd_range_kernel;
Entry<cl_api_clEnqueueTask> enqueue_task;

// transfer.cpp
Entry<cl_api_clEnqueueReadBuffer> enqueue_read_buffer;
Entry<cl_api_clEnqueueWriteBuffer> enqueue_write_buffer;
Entry<cl_api_clEnqueueReadBufferRect> enqueue_read_buffer_rect;
Entry<cl_api_clEnqueueWriteBufferRect> enqueue_write_buffer_rect;
Entry<cl_api_clEnqueueCopyBuffer> enqueue_copy_buffer;
Entry<cl_api_clEnqueueCopyBufferRect> enqueue_copy_buffer_rect;
Entry<cl_api_clEnqueueFillBuffer> enqueue_fill_buffer;
Entry<cl_api_clEnqueueMigrateMemObjects> enqueue_migrate_mem_objects;

// image_commands.cpp
Entry<cl_api_clEnqueueReadImage> enqueue_read_image;
Entry<cl_api_clEnqueueWriteImage> enqueue_write_image;
Entry<cl_api_clEnqueueCopyImage> enqueue_copy_image;
Entry<cl_api_clEnqueueCopyImageToBuffer> enqueue_copy_image_to_buffer;
Entry<cl_api_clEnqueueCopyBufferToImage> enqueue_copy_buffer_to_image;
Entry<cl_api_clEnqueueFillImage> enqueue_fill_image;

// map.cpp
Entry<cl_api_clEnqueueMapBuffer> enqueue_map_buffer;
Entry<cl_api_clEnqueueMapImage> enqueue_map_image;
Entry<cl_api_clEnqueueUnmapMemObject> enqueue_unmap_mem_object;

// event.cpp
Entry<cl_api_clWaitForEvents> wait_for_events;
Entry<cl_api_clGetEventInfo> get_event_info;
Entry<cl_api_clRetainEvent> retain_event;
Entry<cl_api_clReleaseEvent> release_event;
Entry<cl_api_clGetEventProfilingInfo> get_event_profiling_info;
Entry<cl_api_clCreateUserEvent> create_user_event;
Entry<cl_api_clSetUserEventStatus> set_user_event_status;
Entry<cl_api_clSetEventCallback> set_event_callback;
Entry<cl_api_clEnqueueMarker> enqueue_marker;
Entry<cl_api_clEnqueueBarrier> enqueue_barrier;
Entry<cl_api_clEnqueueWaitForEvents> enqueue_wait_for_events;
Entry<cl_api_clEnqueueMarkerWithWaitList> enqueue_marker_with_wait_list;
Entry<cl_api_clEnqueueBarrierWithWaitList> enqueue_barrier_with_wait_list;

// svm.cpp
Entry<cl_api_clSVMAlloc> svm_alloc;
Entry<cl_api_clSVMFree> svm_free;
Entry<cl_api_clEnqueueSVMFree> enqueue_svm_free;
Entry<cl_api_clEnqueueSVMMemcpy> enqueue_svm_memcpy;
Entry<cl_api_clEnqueueSVMMemFill> enqueue_svm_mem_fill;
Entry<cl_api_clEnqueueSVMMap> enqueue_svm_map;
Entry<cl_api_clEnqueueSVMUnmap> enqueue_svm_unmap;
Entry<cl_api_clEnqueueSVMMigrateMem> enqueue_svm_migrate_mem;
Entry<cl_api_clSetKernelArgSVMPointer> set_kernel_arg_svm_pointer;
Entry<cl_api_clSetKernelExecInfo> set_kernel_exec_info;

// newer.cpp
Entry<cl_api_clCreateBufferWithProperties> create_buffer_with_properties;
Entry<cl_api_clCreateImageWithProperties> create_image_with_properties;
Entry<cl_api_clCreateSamplerWithProperties> create_sampler_with_properties;
Entry<cl_api_clSetContextDestructorCallback> set_context_destructor_callback;
Entry<cl_api_clGetDeviceAndHostTimer> get_device_and_host_timer;
Entry<cl_api_clGetHostTimer> get_host_timer;
Entry<cl_api_clSetDefaultDeviceCommandQueue> set_default_device_command_queue;

}  // namespace isthmus::opencl::entry
