// The crop of tracker/face/crop.py for frames that the GPU has already: views of one to the network's input, in one go.
//
// As warp() does: bilinear between the means of blocks of pixels, black outside. gpu_crop.py says what the views are.
// `make kernels` compiles it, without fused multiply-add, so that every GPU rounds as a CPU does; the tests compile it
// for the CPU.

// One view of a frame, as VIEW in gpu_crop.py. All zero: a black crop.
struct View {
    const unsigned char *red;                         // the first pixel's
    long long row_bytes, pixel_bytes, channel_bytes;  // to the next one; may be negative
    int width, height;                                // of the frame
    int block_px, left, top;                          // side of a block; where the first one begins
    float weight;                                     // 1 / (block_px * block_px)
    float blocks_from_crop[6];                        // (2, 3): middles of blocks at integers
};

__device__ static int within(long long value, int limit) {
    return value < 0 ? 0 : value > limit ? limit : (int)value;
}

// Adds the mean of a block, times a share, to red, green and blue; what lies outside the frame is black.
__device__ static void add_block(const View &view, int column, int row, float share, float *colour) {
    const long long x = view.left + (long long)column * view.block_px, y = view.top + (long long)row * view.block_px;
    const int left = within(x, view.width), right = within(x + view.block_px, view.width);
    const int top = within(y, view.height), bottom = within(y + view.block_px, view.height);
    int red = 0, green = 0, blue = 0;
    for (int line = top; line < bottom; ++line) {
        const unsigned char *pixel = view.red + line * view.row_bytes + left * view.pixel_bytes;
        for (int count = right - left; count > 0; --count, pixel += view.pixel_bytes) {
            red += pixel[0];
            green += pixel[view.channel_bytes];
            blue += pixel[2 * view.channel_bytes];
        }
    }
    colour[0] += share * (red * view.weight);
    colour[1] += share * (green * view.weight);
    colour[2] += share * (blue * view.weight);
}

// Far outside it is as black as a little outside, and an int holds the place.
__device__ static float held(float place) {
    return fminf(fmaxf(place, -1e9f), 1e9f);
}

// Writes red, green and blue of the crop's pixel (x, y): bilinear between the four blocks around its place.
__device__ static void crop_pixel(const View &view, int x, int y, unsigned char *pixel) {
    const float *m = view.blocks_from_crop;
    const float across = held(m[0] * x + m[1] * y + m[2]), down = held(m[3] * x + m[4] * y + m[5]);
    const float left = floorf(across), above = floorf(down);
    float colour[3] = {0, 0, 0};
#pragma unroll 1  // a file of half the size
    for (int corner = 0; corner < 4; ++corner) {
        const int right = corner & 1, below = corner >> 1;
        const float share_x = right ? across - left : 1 - (across - left);
        const float share_y = below ? down - above : 1 - (down - above);
        add_block(view, (int)left + right, (int)above + below, share_x * share_y, colour);
    }
    for (int i = 0; i < 3; ++i)
        pixel[i] = (unsigned char)rintf(colour[i]);
}

// crops: (N, size, size, 3). One thread for each pixel; blockIdx.z counts the views.
extern "C" __global__ void crop(const View *views, unsigned char *crops, int size) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x < size && y < size)
        crop_pixel(views[blockIdx.z], x, y, crops + (((long long)blockIdx.z * size + y) * size + x) * 3);
}
