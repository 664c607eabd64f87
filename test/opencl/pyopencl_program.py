"""A program in pyopencl, as its users write it: adds two vectors, and has a reduction generated."""

import numpy
import pyopencl as cl
import pyopencl.array

platform = cl.get_platforms()[0]
print("platform", platform.name, platform.version)
context = cl.Context([platform.get_devices()[0]])
queue = cl.CommandQueue(context)

random = numpy.random.default_rng(1)
a = random.random(50_000, dtype=numpy.float32)
b = random.random(50_000, dtype=numpy.float32)
flags = cl.mem_flags
a_buffer = cl.Buffer(context, flags.READ_ONLY | flags.COPY_HOST_PTR, hostbuf=a)
b_buffer = cl.Buffer(context, flags.READ_ONLY | flags.COPY_HOST_PTR, hostbuf=b)
out_buffer = cl.Buffer(context, flags.WRITE_ONLY, a.nbytes)
program = cl.Program(context, """
__kernel void add(__global const float* a, __global const float* b, __global float* out) {
  const int i = get_global_id(0);
  out[i] = a[i] + b[i];
}
""").build()
program.add(queue, a.shape, None, a_buffer, b_buffer, out_buffer)
out = numpy.empty_like(a)
cl.enqueue_copy(queue, out, out_buffer)
assert (out == a + b).all()

array = cl.array.to_device(queue, numpy.arange(10_000, dtype=numpy.int32))
assert (2 * array + 1).get()[-1] == 19_999
assert int(cl.array.sum(array).get()) == 49_995_000
print("sums right")
