/* Fields of recurrent units over feature maps: all steps forward, and the adjoint. field.py has the equations.

   Every channel and every block of SAMPLES examples is computed alone. A pixel is one vector with an example in each
   place. Neighbours are therefore whole vectors, maps of 2x2 pixels fill the vectors too, and the states of all steps
   stay in the cache. Lanes are further channels. */
enum { SUM, POSITION, VELOCITY }; /* what is read out: sum of the positions, last position, last velocity */

typedef struct {
    long batch, channels, height, width, steps;
    long output;   /* SUM, POSITION or VELOCITY */
    long position; /* whether K reads the position; else the velocity */
    long explicit; /* whether the integrator is explicit Euler */
    long coupled;  /* whether there is a kernel K */
    long learned;  /* whether gradients of carry, spring and scale are asked for */
} Field;

/* Of every channel: K as 9 numbers row by row, and one number each. */
typedef struct {
    REAL *kernel, *carry, *spring, *scale;
} Constants;

/* (samples, pixels) numbers, `stride` apart, become one vector a pixel; missing samples are 0. */
INLINE void load(vector *to, const REAL *from, long stride, long pixels, long samples) {
    if (samples == SAMPLES) {
        for (long q = 0; q < pixels; q++)
            for (int i = 0; i < SAMPLES; i++) to[q][i] = from[i * stride + q];
        return;
    }
    memset(to, 0, pixels * sizeof(vector));
    for (long i = 0; i < samples; i++)
        for (long q = 0; q < pixels; q++) to[q][i] = from[i * stride + q];
}

INLINE void store(REAL *to, const vector *from, REAL factor, long stride, long pixels, long samples) {
    for (long i = 0; i < samples; i++)
        for (long q = 0; q < pixels; q++) to[i * stride + q] = factor * from[q][i];
}

INLINE vector convolve(const vector *at, const REAL *k, long row) {
    const vector upper = k[0] * at[-row - 1] + k[1] * at[-row] + k[2] * at[-row + 1];
    const vector middle = k[3] * at[-1] + k[4] * at[0] + k[5] * at[1];
    const vector lower = k[6] * at[row - 1] + k[7] * at[row] + k[8] * at[row + 1];
    return upper + middle + lower;
}

/* One step. `read` becomes `next`: the state that K reads, in planes with a border of zeros. `other`, the other state,
   becomes `next_other`, which may be the same plane. */
INLINE void step(const Field *field, const vector *drive, const vector *read, vector *next, const vector *other,
                 vector *next_other, vector *force, vector *total, const REAL *k, REAL carry, REAL spring,
                 int position, int explicit, int coupled) {
    const long row = field->width + 2;
    for (long y = 0; y < field->height; y++)
        for (long x = 0; x < field->width; x++) {
            const long q = y * field->width + x, at = (y + 1) * row + x + 1;
            const vector f = hyperbolic_tangent(coupled ? drive[q] + convolve(read + at, k, row) : drive[q]);
            const vector v = position ? other[q] : read[at], p = position ? read[at] : other[q];
            const vector new_v = f + carry * v - spring * p;
            const vector new_p = p + (explicit ? v : new_v);
            next[at] = position ? new_p : new_v;
            next_other[q] = position ? new_v : new_p;
            if (force) force[q] = f;
            if (total) total[q] += new_p;
        }
}

/* The result of the last step; `read` and `other` as in `step`. */
INLINE const vector *read_out(const Field *field, const vector *read, const vector *other, vector *total) {
    if (field->output == SUM) return total;
    if (field->position != (field->output == POSITION)) return other;
    for (long y = 0; y < field->height; y++)
        memcpy(total + y * field->width, read + (y + 1) * (field->width + 2) + 1, field->width * sizeof(vector));
    return total;
}

typedef struct {
    long pixels, padded, stride;
} Plane;

INLINE Plane plane_of(const Field *field) {
    const long pixels = field->height * field->width;
    return (Plane){pixels, (field->height + 2) * (field->width + 2), field->channels * pixels};
}

INLINE void forward(const Field *field, const REAL *drives, Constants of, REAL *results, long samples, vector *room,
                    int position, int explicit, int coupled) {
    const Plane plane = plane_of(field);
    vector *drive = room, *other = drive + plane.pixels, *total = other + plane.pixels, *read = total + plane.pixels,
           *next = read + plane.padded;
    memset(other, 0, 2 * (plane.pixels + plane.padded) * sizeof(vector));
    load(drive, drives, plane.stride, plane.pixels, samples);
    for (long t = 0; t < field->steps; t++) {
        if (field->output == SUM)
            step(field, drive, read, next, other, other, NULL, total, of.kernel, *of.carry, *of.spring, position,
                 explicit, coupled);
        else
            step(field, drive, read, next, other, other, NULL, NULL, of.kernel, *of.carry, *of.spring, position,
                 explicit, coupled);
        vector *free = read;
        read = next, next = free;
    }
    store(results, read_out(field, read, other, total), *of.scale, plane.stride, plane.pixels, samples);
}

/* Gradients of one channel, summed over pixels and steps; an example in each place. Every step has a sum of its own,
   which keeps the rounding error of long sums small. */
typedef struct {
    vector kernel[9], carry, spring, scale;
} Sums;

/* reached += K^T * adjoint, and the gradient of K. */
INLINE void couple_back(const Field *field, const vector *adjoint, const vector *read, const REAL *k, vector *reached,
                        vector *of_kernel) {
    const long row = field->width + 2;
    const REAL transposed[9] = {k[8], k[7], k[6], k[5], k[4], k[3], k[2], k[1], k[0]};
    vector sums[9] = {{0}};
    for (long y = 0; y < field->height; y++)
        for (long x = 0; x < field->width; x++) {
            const long at = (y + 1) * row + x + 1;
            const vector a = adjoint[at], *r = read + at;
            reached[y * field->width + x] += convolve(adjoint + at, transposed, row);
            sums[0] += a * r[-row - 1], sums[1] += a * r[-row], sums[2] += a * r[-row + 1];
            sums[3] += a * r[-1], sums[4] += a * r[0], sums[5] += a * r[1];
            sums[6] += a * r[row - 1], sums[7] += a * r[row], sums[8] += a * r[row + 1];
        }
    for (int j = 0; j < 9; j++) of_kernel[j] += sums[j];
}

INLINE void backward(const Field *field, const REAL *drives, Constants of, const REAL *gradients, REAL *of_drives,
                     Sums *sums, long samples, vector *room, int position, int explicit, int coupled) {
    const Plane plane = plane_of(field);
    const long pixels = plane.pixels, padded = plane.padded, row = field->width + 2, steps = field->steps;
    const long num_others = field->learned ? steps + 1 : 1; /* of the state that K does not read */
    vector *drive = room, *gradient = drive + pixels, *of_drive = gradient + pixels, *of_v = of_drive + pixels,
           *of_p = of_v + pixels, *total = of_p + pixels, *others = total + pixels, *forces = others + num_others * pixels,
           *adjoint = forces + steps * pixels, *reads = adjoint + padded;
    load(drive, drives, plane.stride, pixels, samples);
    load(gradient, gradients, plane.stride, pixels, samples);
    memset(of_drive, 0, (4 + num_others) * pixels * sizeof(vector));
    memset(adjoint, 0, (steps + 2) * padded * sizeof(vector));
    /* The states are computed again, since this takes less time than writing and reading them. */
    for (long t = 0; t < steps; t++) {
        const vector *other = others + (field->learned ? t : 0) * pixels;
        vector *next_other = others + (field->learned ? t + 1 : 0) * pixels;
        step(field, drive, reads + t * padded, reads + (t + 1) * padded, other, next_other, forces + t * pixels, NULL,
             of.kernel, *of.carry, *of.spring, position, explicit, coupled);
        if (field->learned && field->output == SUM)
            for (long y = 0; y < field->height; y++)
                for (long x = 0; x < field->width; x++) {
                    const long q = y * field->width + x;
                    total[q] += position ? reads[(t + 1) * padded + (y + 1) * row + x + 1] : next_other[q];
                }
    }
    if (field->learned) {
        const vector *result = read_out(field, reads + steps * padded, others + steps * pixels, total);
        for (long q = 0; q < pixels; q++) sums->scale += gradient[q] * result[q];
    }
    for (long q = 0; q < pixels; q++) gradient[q] *= *of.scale;
    for (long t = steps - 1; t >= 0; t--) { /* the adjoint of the step from t to t + 1 */
        if (field->output == SUM || t == steps - 1) {
            vector *reached = field->output == VELOCITY ? of_v : of_p;
            for (long q = 0; q < pixels; q++) reached[q] += gradient[q];
        }
        const vector *read = reads + t * padded, *other = others + (field->learned ? t : 0) * pixels,
                     *force = forces + t * pixels;
        vector of_carry = {0}, of_spring = {0};
        for (long y = 0; y < field->height; y++)
            for (long x = 0; x < field->width; x++) {
                const long q = y * field->width + x, at = (y + 1) * row + x + 1;
                const vector p = of_p[q], v = explicit ? of_v[q] : of_v[q] + p;
                const vector a = v * ((REAL)1 - force[q] * force[q]);
                adjoint[at] = a;
                of_drive[q] += a;
                of_p[q] = p - *of.spring * v;
                of_v[q] = explicit ? *of.carry * v + p : *of.carry * v;
                if (field->learned) {
                    of_carry += v * (position ? other[q] : read[at]);
                    of_spring -= v * (position ? read[at] : other[q]);
                }
            }
        sums->carry += of_carry, sums->spring += of_spring;
        if (coupled && t > 0) /* before the first step all states are 0 */
            couple_back(field, adjoint, read, of.kernel, position ? of_p : of_v, sums->kernel);
    }
    store(of_drives, of_drive, 1, plane.stride, pixels, samples);
}

INLINE Constants of_channel(Constants of, long channel) {
    return (Constants){of.kernel + 9 * channel, of.carry + channel, of.spring + channel, of.scale + channel};
}

/* Call a function with the three choices as literals, so that no choice is left in its loops. */
#define FOR_EVERY_CHOICE(CALL)                                                                                        \
    switch (4 * !!field->position + 2 * !!field->explicit + !!field->coupled) {                                       \
        case 0: CALL(0, 0, 0); break;                                                                                 \
        case 1: CALL(0, 0, 1); break;                                                                                 \
        case 2: CALL(0, 1, 0); break;                                                                                 \
        case 3: CALL(0, 1, 1); break;                                                                                 \
        case 4: CALL(1, 0, 0); break;                                                                                 \
        case 5: CALL(1, 0, 1); break;                                                                                 \
        case 6: CALL(1, 1, 0); break;                                                                                 \
        case 7: CALL(1, 1, 1); break;                                                                                 \
    }

/* Compute the channels from `first` to before `last`; maps are (batch, channels, height, width). Return whether there
   was no memory. */
int field_forward(const Field *field, const REAL *drives, const Constants *constants, REAL *results, long first,
                  long last) {
    const Plane plane = plane_of(field);
    vector *room = aligned_alloc(sizeof(vector), (3 * plane.pixels + 2 * plane.padded) * sizeof(vector));
    if (!room) return 1;
    for (long c = first; c < last; c++) {
        const Constants of = of_channel(*constants, c);
        for (long b = 0; b < field->batch; b += SAMPLES) {
            const long samples = field->batch - b < SAMPLES ? field->batch - b : SAMPLES;
            const long start = (b * field->channels + c) * plane.pixels;
#define CALL(P, E, K) forward(field, drives + start, of, results + start, samples, room, P, E, K)
            FOR_EVERY_CHOICE(CALL)
#undef CALL
        }
    }
    free(room);
    return 0;
}

/* The same for the gradients of drives and constants, from those of the results. */
int field_backward(const Field *field, const REAL *drives, const Constants *constants, const REAL *gradients,
                   REAL *of_drives, const Constants *of_constants, long first, long last) {
    const Plane plane = plane_of(field);
    const long planes = 7 + (field->learned ? 2 : 1) * field->steps;
    vector *room =
        aligned_alloc(sizeof(vector), (planes * plane.pixels + (field->steps + 2) * plane.padded) * sizeof(vector));
    if (!room) return 1;
    for (long c = first; c < last; c++) {
        const Constants of = of_channel(*constants, c), result = of_channel(*of_constants, c);
        Sums sums;
        memset(&sums, 0, sizeof sums);
        for (long b = 0; b < field->batch; b += SAMPLES) {
            const long samples = field->batch - b < SAMPLES ? field->batch - b : SAMPLES;
            const long start = (b * field->channels + c) * plane.pixels;
#define CALL(P, E, K)                                                                                                 \
    backward(field, drives + start, of, gradients + start, of_drives + start, &sums, samples, room, P, E, K)
            FOR_EVERY_CHOICE(CALL)
#undef CALL
        }
        if (field->coupled)
            for (int j = 0; j < 9; j++) result.kernel[j] = sum(sums.kernel[j]);
        *result.carry = sum(sums.carry), *result.spring = sum(sums.spring), *result.scale = sum(sums.scale);
    }
    free(room);
    return 0;
}
