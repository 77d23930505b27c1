// A FAKE of NVIDIA's driver library, libcuda.so.1, to hold PyCUDA's and cuda-bindings' calls against without a GPU.
//
// Memory of the GPU is memory of the host. What is queued on a stream is done when somebody waits for it, and not
// before; what is captured is done when its graph is launched. The one kernel it knows is crop.cu, run on the CPU. A
// call with a handle, an address, a size or an order that the real driver would refuse is answered with CUDA's error,
// and noted as MISUSE. Every call is a line of the file that $FAKE_CUDA_LOG names. $FAKE_CUDA_INTEGRATED=1 makes it
// share the host's memory, as a Jetson does.

#include <dlfcn.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#define __device__
#define __global__
static struct { unsigned x, y, z; } blockIdx, blockDim, threadIdx;
#include "crop.cu"

#define API extern "C" __attribute__((visibility("default"))) int
typedef unsigned long long Address;
typedef std::function<void()> Work;
enum { OK = 0, INVALID_VALUE = 1, NOT_INITIALISED = 3, INVALID_CONTEXT = 201, INVALID_HANDLE = 400, NOT_FOUND = 500, UNSUPPORTED = 801 };

struct Stream { std::vector<Work> queue; std::vector<Work> *capture = nullptr; };
struct Event { int recorded = 0; };
static std::set<void *> streams, graphs, executables, modules, functions, events;
static std::map<char *, size_t> on_gpu, locked;
static int initialised, context, pushed;

static int note(const char *call, const char *misuse = nullptr, int result = OK) {
    static FILE *log = getenv("FAKE_CUDA_LOG") ? fopen(getenv("FAKE_CUDA_LOG"), "a") : nullptr;
    if (log) {
        fprintf(log, misuse ? "MISUSE %s: %s\n" : "%s\n", call, misuse);
        fflush(log);
    }
    return result;
}
#define REFUSE_UNLESS(condition, result) do { if (!(condition)) return note(__func__, #condition, result); } while (0)
#define WITH_CONTEXT do { REFUSE_UNLESS(initialised, NOT_INITIALISED); REFUSE_UNLESS(pushed > 0, INVALID_CONTEXT); } while (0)

static bool lies_in(const std::map<char *, size_t> &memory, const void *start, size_t size) {
    auto after = memory.upper_bound((char *)start);
    if (after == memory.begin()) return false;
    auto block = *--after;
    return (char *)start + size <= block.first + block.second;
}
static bool integrated() { return getenv("FAKE_CUDA_INTEGRATED") != nullptr; }
static bool gpu_sees(const void *start, size_t size) {
    return lies_in(on_gpu, start, size) || (integrated() && lies_in(locked, start, size));
}
static int enqueue(const char *call, void *stream, Work work) {
    Stream *s = (Stream *)stream;
    (s->capture ? *s->capture : s->queue).push_back(work);
    return note(call);
}
static void finish(Stream *s) {
    std::vector<Work> queue;
    queue.swap(s->queue);
    for (auto &work : queue) work();
}

API cuInit(unsigned flags) { REFUSE_UNLESS(flags == 0, INVALID_VALUE); initialised = 1; return note(__func__); }
API cuDriverGetVersion(int *version) { *version = 13000; return OK; }
API cuDeviceGetCount(int *count) { *count = 1; return OK; }
API cuDeviceGet(int *device, int ordinal) { REFUSE_UNLESS(initialised, NOT_INITIALISED); REFUSE_UNLESS(ordinal == 0, 101); *device = 0; return note(__func__); }
API cuDeviceGetName(char *name, int size, int) { snprintf(name, size, "a fake GPU"); return OK; }
API cuDeviceGetAttribute(int *value, int attribute, int) {
    *value = attribute == 75 ? 9 : attribute == 76 ? 0 : attribute == 18 ? integrated() : attribute == 10 ? 32 : 1024;
    return OK;
}
API cuDevicePrimaryCtxRetain(void **c, int device) { REFUSE_UNLESS(initialised, NOT_INITIALISED); REFUSE_UNLESS(device == 0, 101); *c = &context; return note(__func__); }
API cuDevicePrimaryCtxRelease_v2(int) { return note(__func__); }
API cuCtxPushCurrent_v2(void *c) { REFUSE_UNLESS(c == &context, INVALID_CONTEXT); ++pushed; return note(__func__); }
API cuCtxPopCurrent_v2(void **c) { REFUSE_UNLESS(pushed > 0, INVALID_CONTEXT); --pushed; if (c) *c = &context; return note(__func__); }
// The driver refuses it for a primary context. PyCUDA calls it for one when the process ends, and says so on stderr.
API cuCtxDetach(void *) { note(__func__); return INVALID_CONTEXT; }
API cuCtxGetDevice(int *device) { WITH_CONTEXT; *device = 0; return OK; }
API cuCtxGetApiVersion(void *, unsigned *version) { *version = 13000; return OK; }
API cuCtxSynchronize() { WITH_CONTEXT; for (void *s : streams) finish((Stream *)s); return note(__func__); }

API cuStreamCreate(void **stream, unsigned flags) {
    WITH_CONTEXT;
    REFUSE_UNLESS(flags == 1, INVALID_VALUE);  // the runtime's streams do not wait for the default one
    streams.insert(*stream = new Stream);
    return note(__func__);
}
API cuStreamDestroy_v2(void *stream) { REFUSE_UNLESS(streams.erase(stream), INVALID_HANDLE); finish((Stream *)stream); return note(__func__); }
API cuStreamSynchronize(void *stream) {
    WITH_CONTEXT;
    REFUSE_UNLESS(streams.count(stream), INVALID_HANDLE);
    REFUSE_UNLESS(!((Stream *)stream)->capture, UNSUPPORTED);
    finish((Stream *)stream);
    return note(__func__);
}

API cuMemHostAlloc(void **memory, size_t size, unsigned flags) {
    WITH_CONTEXT;
    REFUSE_UNLESS(size > 0, INVALID_VALUE);
    REFUSE_UNLESS(flags == (integrated() ? 2u : 0u), INVALID_VALUE);
    locked[(char *)(*memory = aligned_alloc(256, (size + 255) / 256 * 256))] = size;
    return note(__func__);
}
API cuMemFreeHost(void *memory) { REFUSE_UNLESS(locked.erase((char *)memory), INVALID_VALUE); free(memory); return note(__func__); }
API cuMemHostGetDevicePointer_v2(Address *address, void *memory, unsigned flags) {
    WITH_CONTEXT;
    REFUSE_UNLESS(flags == 0 && integrated() && lies_in(locked, memory, 1), INVALID_VALUE);
    *address = (Address)memory;
    return note(__func__);
}
API cuMemAlloc_v2(Address *address, size_t size) {
    WITH_CONTEXT;
    REFUSE_UNLESS(size > 0, INVALID_VALUE);
    void *memory = aligned_alloc(256, (size + 255) / 256 * 256);
    memset(memory, 0xAB, size);
    on_gpu[(char *)memory] = size;
    *address = (Address)memory;
    return note(__func__);
}
API cuMemFree_v2(Address address) { REFUSE_UNLESS(on_gpu.erase((char *)address), INVALID_VALUE); free((void *)address); return note(__func__); }
API cuMemcpyHtoDAsync_v2(Address to, const void *from, size_t size, void *stream) {
    WITH_CONTEXT;
    REFUSE_UNLESS(streams.count(stream), INVALID_HANDLE);
    REFUSE_UNLESS(lies_in(on_gpu, (void *)to, size), INVALID_VALUE);
    REFUSE_UNLESS(lies_in(locked, from, size), INVALID_VALUE);  // of other memory it would not return at once
    return enqueue(__func__, stream, [=] { memcpy((void *)to, from, size); });
}
API cuMemcpyDtoHAsync_v2(void *to, Address from, size_t size, void *stream) {
    WITH_CONTEXT;
    REFUSE_UNLESS(streams.count(stream), INVALID_HANDLE);
    REFUSE_UNLESS(lies_in(locked, to, size), INVALID_VALUE);
    REFUSE_UNLESS(lies_in(on_gpu, (void *)from, size), INVALID_VALUE);
    return enqueue(__func__, stream, [=] { memcpy(to, (void *)from, size); });
}

API cuModuleLoadData(void **module, const void *image) {
    WITH_CONTEXT;
    REFUSE_UNLESS(*(const uint32_t *)image == 0xBA55ED50, 200);  // a fatbin
    modules.insert(*module = new int);
    return note(__func__);
}
API cuModuleLoadDataEx(void **module, const void *image, unsigned, void *, void *) { return cuModuleLoadData(module, image); }
API cuModuleUnload(void *module) { REFUSE_UNLESS(modules.erase(module), INVALID_HANDLE); return note(__func__); }
API cuModuleGetFunction(void **function, void *module, const char *name) {
    REFUSE_UNLESS(modules.count(module), INVALID_HANDLE);
    REFUSE_UNLESS(!strcmp(name, "crop"), NOT_FOUND);
    functions.insert(*function = new int);
    return note(__func__);
}
// PyCUDA still asks for this before each launch; the block is given to cuLaunchKernel once more.
API cuFuncSetBlockShape(void *function, int x, int y, int z) {
    REFUSE_UNLESS(functions.count(function), INVALID_HANDLE);
    REFUSE_UNLESS(x > 0 && y > 0 && z > 0 && x * y * z <= 1024, INVALID_VALUE);
    return note(__func__);
}
API cuFuncGetAttribute(int *value, int, void *) { *value = 0; return OK; }

static void run_crop(unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, Address views, Address crops, int size) {
    blockDim = {bx, by, 1};
    for (unsigned z = 0; z < gz; ++z) for (unsigned y = 0; y < gy; ++y) for (unsigned x = 0; x < gx; ++x)
        for (unsigned j = 0; j < by; ++j) for (unsigned i = 0; i < bx; ++i) {
            blockIdx = {x, y, z};
            threadIdx = {i, j, 0};
            crop((const View *)views, (unsigned char *)crops, size);
        }
}
API cuLaunchKernel(void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                   unsigned shared_bytes, void *stream, void **parameters, void **extra) {
    WITH_CONTEXT;
    REFUSE_UNLESS(functions.count(function), INVALID_HANDLE);
    REFUSE_UNLESS(streams.count(stream), INVALID_HANDLE);
    REFUSE_UNLESS(gx && gy && gz && bx && by && bz == 1 && bx * by <= 1024 && shared_bytes == 0, INVALID_VALUE);
    Address views, crops;
    int size;
    if (parameters) {  // an address for each
        views = *(Address *)parameters[0], crops = *(Address *)parameters[1], size = *(int *)parameters[2];
    } else {  // one buffer: CU_LAUNCH_PARAM_BUFFER_POINTER is 1, ..._SIZE 2, the end 0
        REFUSE_UNLESS(extra && extra[0] == (void *)1 && extra[2] == (void *)2 && extra[4] == nullptr, INVALID_VALUE);
        const char *buffer = (const char *)extra[1];
        REFUSE_UNLESS(*(size_t *)extra[3] == 20, INVALID_VALUE);
        memcpy(&views, buffer, 8), memcpy(&crops, buffer + 8, 8), memcpy(&size, buffer + 16, 4);
    }
    REFUSE_UNLESS(size > 0 && gpu_sees((void *)views, gz * sizeof(View)), INVALID_VALUE);
    REFUSE_UNLESS(gpu_sees((void *)crops, (size_t)gz * size * size * 3), INVALID_VALUE);
    return enqueue(__func__, stream, [=] { run_crop(gx, gy, gz, bx, by, views, crops, size); });
}

API cuEventCreate(void **event, unsigned) { WITH_CONTEXT; events.insert(*event = new Event); return note(__func__); }
API cuEventRecord(void *event, void *stream) {
    WITH_CONTEXT;
    REFUSE_UNLESS(events.count(event) && streams.count(stream), INVALID_HANDLE);
    return enqueue(__func__, stream, [=] { ((Event *)event)->recorded = 1; });
}
API cuEventSynchronize(void *event) {
    WITH_CONTEXT;
    REFUSE_UNLESS(events.count(event), INVALID_HANDLE);
    for (void *s : streams) finish((Stream *)s);
    REFUSE_UNLESS(((Event *)event)->recorded, INVALID_HANDLE);
    return note(__func__);
}
API cuEventElapsedTime_v2(float *ms, void *first, void *last) {
    REFUSE_UNLESS(events.count(first) && events.count(last), INVALID_HANDLE);
    REFUSE_UNLESS(((Event *)first)->recorded && ((Event *)last)->recorded, INVALID_HANDLE);
    *ms = 0.5f;
    return note(__func__);
}
API cuEventElapsedTime(float *ms, void *first, void *last) { return cuEventElapsedTime_v2(ms, first, last); }
API cuEventDestroy_v2(void *event) { REFUSE_UNLESS(events.erase(event), INVALID_HANDLE); return OK; }

API cuStreamBeginCapture_v2(void *stream, int mode) {
    WITH_CONTEXT;
    REFUSE_UNLESS(streams.count(stream) && mode == 1, INVALID_HANDLE);
    REFUSE_UNLESS(!((Stream *)stream)->capture, UNSUPPORTED);
    ((Stream *)stream)->capture = new std::vector<Work>;
    return note(__func__);
}
API cuStreamEndCapture(void *stream, void **graph) {
    WITH_CONTEXT;
    REFUSE_UNLESS(streams.count(stream) && ((Stream *)stream)->capture, INVALID_HANDLE);
    graphs.insert(*graph = ((Stream *)stream)->capture);
    ((Stream *)stream)->capture = nullptr;
    return note(__func__);
}
API cuGraphInstantiateWithFlags(void **executable, void *graph, unsigned long long flags) {
    REFUSE_UNLESS(graphs.count(graph) && flags == 0, INVALID_HANDLE);
    executables.insert(*executable = new std::vector<Work>(*(std::vector<Work> *)graph));
    return note(__func__);
}
API cuGraphDestroy(void *graph) { REFUSE_UNLESS(graphs.erase(graph), INVALID_HANDLE); return note(__func__); }
API cuGraphLaunch(void *executable, void *stream) {
    WITH_CONTEXT;
    REFUSE_UNLESS(executables.count(executable) && streams.count(stream), INVALID_HANDLE);
    auto &work = *(std::vector<Work> *)executable;
    auto &queue = ((Stream *)stream)->queue;
    queue.insert(queue.end(), work.begin(), work.end());
    return note(__func__);
}
API cuGraphExecDestroy(void *executable) { REFUSE_UNLESS(executables.erase(executable), INVALID_HANDLE); return note(__func__); }

API cuGetErrorString(int, const char **text) { *text = "an error of the fake driver"; return OK; }
API cuGetErrorName(int, const char **text) { *text = "FAKE_ERROR"; return OK; }
// By name without the version, as cuda-bindings asks: the newest that there is.
API cuGetProcAddress_v2(const char *symbol, void **function, int, uint64_t, int *status) {
    for (const char *version : {"_v2", ""})
        if ((*function = dlsym(RTLD_DEFAULT, (std::string(symbol) + version).c_str()))) break;
    if (status) *status = *function ? 0 : 1;
    return *function ? OK : NOT_FOUND;
}
API unexpected(const char *call) { return note(call, "the fake does not know this call", UNSUPPORTED); }
