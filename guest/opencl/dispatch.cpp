// SPDX-License-Identifier: Apache-2.0
#include "guest/opencl/dispatch.hpp"

#include "guest/opencl/entry.hpp"
#include "guest/opencl/refusal.hpp"

namespace isthmus::opencl {
namespace {

// What is here, by the folder's files.
void set_entries(cl_icd_dispatch& table) {
  table.clGetPlatformIDs = entry::get_platform_ids;
  table.clGetPlatformInfo = entry::get_platform_info;
  table.clGetDeviceIDs = entry::get_device_ids;
  table.clGetDeviceInfo = entry::get_device_info;
  table.clCreateContext = entry::create_context;
  table.clCreateContextFromType = entry::create_context_from_type;
  table.clRetainContext = entry::retain_context;
  table.clReleaseContext = entry::release_context;
  table.clGetContextInfo = entry::get_context_info;
  table.clCreateCommandQueue = entry::create_command_queue;
  table.clRetainCommandQueue = entry::retain_command_queue;
  table.clReleaseCommandQueue = entry::release_command_queue;
  table.clGetCommandQueueInfo = entry::get_command_queue_info;
  table.clCreateBuffer = entry::create_buffer;
  table.clRetainMemObject = entry::retain_mem_object;
  table.clReleaseMemObject = entry::release_mem_object;
  table.clGetSupportedImageFormats = entry::get_supported_image_formats;
  table.clGetMemObjectInfo = entry::get_mem_object_info;
  table.clCreateProgramWithSource = entry::create_program_with_source;
  table.clCreateProgramWithBinary = entry::create_program_with_binary;
  table.clRetainProgram = entry::retain_program;
  table.clReleaseProgram = entry::release_program;
  table.clBuildProgram = entry::build_program;
  table.clUnloadCompiler = entry::unload_compiler;
  table.clGetProgramInfo = entry::get_program_info;
  table.clGetProgramBuildInfo = entry::get_program_build_info;
  table.clCreateKernel = entry::create_kernel;
  table.clCreateKernelsInProgram = entry::create_kernels_in_program;
  table.clRetainKernel = entry::retain_kernel;
  table.clReleaseKernel = entry::release_kernel;
  table.clSetKernelArg = entry::set_kernel_arg;
  table.clGetKernelInfo = entry::get_kernel_info;
  table.clGetKernelWorkGroupInfo = entry::get_kernel_work_group_info;
  table.clWaitForEvents = entry::wait_for_events;
  table.clGetEventInfo = entry::get_event_info;
  table.clRetainEvent = entry::retain_event;
  table.clReleaseEvent = entry::release_event;
  table.clGetEventProfilingInfo = entry::get_event_profiling_info;
  table.clFlush = entry::flush;
  table.clFinish = entry::finish;
  table.clEnqueueReadBuffer = entry::enqueue_read_buffer;
  table.clEnqueueWriteBuffer = entry::enqueue_write_buffer;
  table.clEnqueueCopyBuffer = entry::enqueue_copy_buffer;
  table.clEnqueueMapBuffer = entry::enqueue_map_buffer;
  table.clEnqueueUnmapMemObject = entry::enqueue_unmap_mem_object;
  table.clEnqueueNDRangeKernel = entry::enqueue_nd_range_kernel;
  table.clEnqueueTask = entry::enqueue_task;
  table.clEnqueueMarker = entry::enqueue_marker;
  table.clEnqueueWaitForEvents = entry::enqueue_wait_for_events;
  table.clEnqueueBarrier = entry::enqueue_barrier;
  table.clSetEventCallback = entry::set_event_callback;
  table.clCreateSubBuffer = entry::create_sub_buffer;
  table.clSetMemObjectDestructorCallback = entry::set_mem_object_destructor_callback;
  table.clCreateUserEvent = entry::create_user_event;
  table.clSetUserEventStatus = entry::set_user_event_status;
  table.clEnqueueReadBufferRect = entry::enqueue_read_buffer_rect;
  table.clEnqueueWriteBufferRect = entry::enqueue_write_buffer_rect;
  table.clEnqueueCopyBufferRect = entry::enqueue_copy_buffer_rect;
  table.clCreateSubDevices = entry::create_sub_devices;
  table.clRetainDevice = entry::retain_device;
  table.clReleaseDevice = entry::release_device;
  table.clCreateProgramWithBuiltInKernels = entry::create_program_with_built_in_kernels;
  table.clCreateProgramWithIL = entry::create_program_with_il;
  table.clSetProgramSpecializationConstant = entry::set_program_specialization_constant;
  table.clCompileProgram = entry::compile_program;
  table.clLinkProgram = entry::link_program;
  table.clUnloadPlatformCompiler = entry::unload_platform_compiler;
  table.clGetKernelArgInfo = entry::get_kernel_arg_info;
  table.clEnqueueFillBuffer = entry::enqueue_fill_buffer;
  table.clEnqueueMigrateMemObjects = entry::enqueue_migrate_mem_objects;
  table.clEnqueueMarkerWithWaitList = entry::enqueue_marker_with_wait_list;
  table.clEnqueueBarrierWithWaitList = entry::enqueue_barrier_with_wait_list;
  table.clGetExtensionFunctionAddressForPlatform = entry::get_extension_function_address_for_platform;
  table.clCreateImage = entry::create_image;
  table.clCreateImage2D = entry::create_image_2d;
  table.clCreateImage3D = entry::create_image_3d;
  table.clGetImageInfo = entry::get_image_info;
  table.clCreateSampler = entry::create_sampler;
  table.clRetainSampler = entry::retain_sampler;
  table.clReleaseSampler = entry::release_sampler;
  table.clGetSamplerInfo = entry::get_sampler_info;
  table.clEnqueueReadImage = entry::enqueue_read_image;
  table.clEnqueueWriteImage = entry::enqueue_write_image;
  table.clEnqueueCopyImage = entry::enqueue_copy_image;
  table.clEnqueueCopyImageToBuffer = entry::enqueue_copy_image_to_buffer;
  table.clEnqueueCopyBufferToImage = entry::enqueue_copy_buffer_to_image;
  table.clEnqueueFillImage = entry::enqueue_fill_image;
  table.clEnqueueMapImage = entry::enqueue_map_image;
  table.clCloneKernel = entry::clone_kernel;
  table.clCreateBufferWithProperties = entry::create_buffer_with_properties;
  table.clCreateImageWithProperties = entry::create_image_with_properties;
  table.clCreateSamplerWithProperties = entry::create_sampler_with_properties;
  table.clSetContextDestructorCallback = entry::set_context_destructor_callback;
  table.clGetDeviceAndHostTimer = entry::get_device_and_host_timer;
  table.clGetHostTimer = entry::get_host_timer;
  table.clSetDefaultDeviceCommandQueue = entry::set_default_device_command_queue;
  table.clCreateCommandQueueWithProperties = entry::create_command_queue_with_properties;
  table.clSVMAlloc = entry::svm_alloc;
  table.clSVMFree = entry::svm_free;
  table.clEnqueueSVMFree = entry::enqueue_svm_free;
  table.clEnqueueSVMMemcpy = entry::enqueue_svm_memcpy;
  table.clEnqueueSVMMemFill = entry::enqueue_svm_mem_fill;
  table.clEnqueueSVMMap = entry::enqueue_svm_map;
  table.clEnqueueSVMUnmap = entry::enqueue_svm_unmap;
  table.clEnqueueSVMMigrateMem = entry::enqueue_svm_migrate_mem;
  table.clSetKernelArgSVMPointer = entry::set_kernel_arg_svm_pointer;
  table.clSetKernelExecInfo = entry::set_kernel_exec_info;
}

// What is not: no sharing with graphics, and of what came after OpenCL 1.2 what a device of 3.0 need not have.
void set_refusals(cl_icd_dispatch& table) {
  refuse_entry<CL_INVALID_OPERATION>(table.clSetCommandQueueProperty);
  refuse_entry<CL_INVALID_OPERATION>(table.clEnqueueNativeKernel);
  refuse_entry<CL_INVALID_OPERATION>(table.clCreateFromGLBuffer);
  refuse_entry<CL_INVALID_OPERATION>(table.clCreateFromGLTexture2D);
  refuse_entry<CL_INVALID_OPERATION>(table.clCreateFromGLTexture3D);
  refuse_entry<CL_INVALID_OPERATION>(table.clCreateFromGLRenderbuffer);
  refuse_entry<CL_INVALID_GL_OBJECT>(table.clGetGLObjectInfo);
  refuse_entry<CL_INVALID_GL_OBJECT>(table.clGetGLTextureInfo);
  refuse_entry<CL_INVALID_OPERATION>(table.clEnqueueAcquireGLObjects);
  refuse_entry<CL_INVALID_OPERATION>(table.clEnqueueReleaseGLObjects);
  refuse_entry<CL_INVALID_OPERATION>(table.clGetGLContextInfoKHR);
  refuse_entry<CL_INVALID_OPERATION>(table.clGetDeviceIDsFromD3D10KHR);
  refuse_entry<CL_INVALID_OPERATION>(table.clCreateFromD3D10BufferKHR);
  refuse_entry<CL_INVALID_OPERATION>(table.clCreateFromD3D10Texture2DKHR);
  refuse_entry<CL_INVALID_OPERATION>(table.clCreateFromD3D10Texture3DKHR);
  refuse_entry<CL_INVALID_OPERATION>(table.clEnqueueAcquireD3D10ObjectsKHR);
  refuse_entry<CL_INVALID_OPERATION>(table.clEnqueueReleaseD3D10ObjectsKHR);
  refuse_entry<CL_INVALID_OPERATION>(table.clCreateSubDevicesEXT);
  refuse_entry<CL_INVALID_OPERATION>(table.clRetainDeviceEXT);
  refuse_entry<CL_INVALID_OPERATION>(table.clReleaseDeviceEXT);
  refuse_entry<CL_INVALID_OPERATION>(table.clCreateEventFromGLsyncKHR);
  refuse_entry<CL_INVALID_OPERATION>(table.clCreateFromGLTexture);
  refuse_entry<CL_INVALID_OPERATION>(table.clGetDeviceIDsFromD3D11KHR);
  refuse_entry<CL_INVALID_OPERATION>(table.clCreateFromD3D11BufferKHR);
  refuse_entry<CL_INVALID_OPERATION>(table.clCreateFromD3D11Texture2DKHR);
  refuse_entry<CL_INVALID_OPERATION>(table.clCreateFromD3D11Texture3DKHR);
  refuse_entry<CL_INVALID_OPERATION>(table.clCreateFromDX9MediaSurfaceKHR);
  refuse_entry<CL_INVALID_OPERATION>(table.clEnqueueAcquireD3D11ObjectsKHR);
  refuse_entry<CL_INVALID_OPERATION>(table.clEnqueueReleaseD3D11ObjectsKHR);
  refuse_entry<CL_INVALID_OPERATION>(table.clGetDeviceIDsFromDX9MediaAdapterKHR);
  refuse_entry<CL_INVALID_OPERATION>(table.clEnqueueAcquireDX9MediaSurfacesKHR);
  refuse_entry<CL_INVALID_OPERATION>(table.clEnqueueReleaseDX9MediaSurfacesKHR);
  refuse_entry<CL_INVALID_OPERATION>(table.clCreateFromEGLImageKHR);
  refuse_entry<CL_INVALID_OPERATION>(table.clEnqueueAcquireEGLObjectsKHR);
  refuse_entry<CL_INVALID_OPERATION>(table.clEnqueueReleaseEGLObjectsKHR);
  refuse_entry<CL_INVALID_OPERATION>(table.clCreateEventFromEGLSyncKHR);
  refuse_entry<CL_INVALID_OPERATION>(table.clCreatePipe);
  refuse_entry<CL_INVALID_MEM_OBJECT>(table.clGetPipeInfo);
  refuse_entry<CL_INVALID_OPERATION>(table.clGetKernelSubGroupInfoKHR);
  refuse_entry<CL_INVALID_OPERATION>(table.clGetKernelSubGroupInfo);
  refuse_entry<CL_INVALID_OPERATION>(table.clSetProgramReleaseCallback);
}

void* CL_API_CALL get_extension_function_address(const char* name) {
  return extension_function(name != nullptr ? name : "");
}

cl_icd_dispatch make_table() {
  cl_icd_dispatch table{};
  set_entries(table);
  set_refusals(table);
  table.clGetExtensionFunctionAddress = get_extension_function_address;
  return table;
}

}  // namespace

const _cl_icd_dispatch* dispatch_table() noexcept {
  static const cl_icd_dispatch table = make_table();
  return &table;
}

void* extension_function(std::string_view name) noexcept {
  // Not the exported names: in a program, those are the loader's.
  if (name == "clIcdGetPlatformIDsKHR") {
    return reinterpret_cast<void*>(entry::get_platform_ids);
  }
  if (name == "clGetPlatformInfo") {
    return reinterpret_cast<void*>(entry::get_platform_info);
  }
  if (name == "clCreateProgramWithILKHR") {
    return reinterpret_cast<void*>(entry::create_program_with_il);
  }
  return nullptr;
}

}  // namespace isthmus::opencl
