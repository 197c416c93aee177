/* Recurrent layers: some steps of one lane forward, and their adjoint. recurrence.py has the equations.

   Arrays are (steps, batch, numbers), row by row; a vector holds neighbouring nodes. A call computes the steps from
   `start` to before `stop` for the examples from `first` to before `last`, which never meet, so that threads may share
   them. Drives and deltas begin at `start`, all other arrays at step 0. Sums over examples and steps are products of
   large matrices, which are left to the caller. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#ifndef REAL
#define REAL float
#endif
#ifdef __AVX512F__ /* BYTES: of a register. A product keeps ROWS x COLUMNS vectors in registers. */
#define BYTES 64
#define COLUMNS 4
#elif defined(__AVX__)
#define BYTES 32
#define COLUMNS 2
#else
#define BYTES 16
#define COLUMNS 2
#endif
#define ROWS 4
#define WIDTH ((long)(BYTES / sizeof(REAL)))
#define INLINE static inline __attribute__((always_inline))

typedef REAL vector __attribute__((vector_size(BYTES)));
typedef REAL unaligned __attribute__((vector_size(BYTES), aligned(sizeof(REAL))));

typedef struct {
    long steps, batch, nodes, start, stop;
} Layer;

enum { NOTHING, VELOCITY, SUM, EARLIER_SUM }; /* what the recurrent weights of an oscillator read */

/* In float32 a rational function, fitted with a relative error of 2e-8. */
INLINE vector hyperbolic_tangent(vector a) {
    if (sizeof(REAL) == sizeof(double)) {
        for (int i = 0; i < WIDTH; i++) a[i] = (REAL)tanh((double)a[i]);
        return a;
    }
    for (int i = 0; i < WIDTH; i++) { /* a NaN stays one, since every comparison with it is false */
        REAL high = a[i] > 9 ? 9 : a[i];
        a[i] = high < -9 ? -9 : high;
    }
    const vector t = a * a;
    vector p = t * (REAL)1.3354640089591953e-08 + (REAL)2.060906606775728e-05;
    p = p * t + (REAL)0.0034955870959366905;
    p = p * t + (REAL)0.1338102475132613;
    p = p * t + (REAL)0.9999999794532648;
    vector q = t * (REAL)7.776549316538288e-07 + (REAL)0.00032856331649926677;
    q = q * t + (REAL)0.02587697821767548;
    q = q * t + (REAL)0.46714340342901417;
    q = q * t + (REAL)1;
    return a * p / q;
}

INLINE vector logistic(vector a) { return (REAL)0.5 + (REAL)0.5 * hyperbolic_tangent((REAL)0.5 * a); }

/* At the end of a row `left` numbers are fewer than a vector has. */
INLINE vector get(const REAL *from, long left) {
    if (left >= WIDTH) return *(const unaligned *)from;
    vector values = {0};
    memcpy(&values, from, left * sizeof(REAL));
    return values;
}

INLINE void put(REAL *to, vector values, long left) {
    if (left >= WIDTH)
        *(unaligned *)to = values;
    else
        memcpy(to, &values, left * sizeof(REAL));
}

/* Numbers of a row, filled up with zeros to whole vectors. */
static long padded(long numbers) { return (numbers + WIDTH - 1) / WIDTH * WIDTH; }

/* Write a matrix as (inputs, outputs), with padded rows; `transposed`: it is stored the other way. */
static void pack(REAL *matrix, const REAL *weight, long inputs, long outputs, int transposed) {
    for (long m = 0; m < inputs; m++)
        for (long n = 0; n < outputs; n++)
            matrix[m * padded(outputs) + n] = transposed ? weight[n * inputs + m] : weight[m * outputs + n];
}

/* A block of rows and vectors of `multiply`, whose sums stay in registers. */
INLINE void multiply_block(REAL *to, const REAL *from, long from_stride, const REAL *matrix, long inputs, long stride,
                           int rows, int columns) {
    vector sums[ROWS][COLUMNS] = {{{0}}};
    for (long m = 0; m < inputs; m++) {
        const vector *weight = (const vector *)(matrix + m * stride);
#pragma GCC unroll 8
        for (int row = 0; row < rows; row++)
#pragma GCC unroll 8
            for (int column = 0; column < columns; column++)
                sums[row][column] += from[row * from_stride + m] * weight[column];
    }
#pragma GCC unroll 8
    for (int row = 0; row < rows; row++)
#pragma GCC unroll 8
        for (int column = 0; column < columns; column++)
            *(vector *)(to + row * stride + column * WIDTH) = sums[row][column];
}

INLINE void multiply_rows(REAL *to, const REAL *from, long from_stride, const REAL *matrix, long inputs, long stride,
                          int rows) {
    long n = 0;
    for (; n + COLUMNS * WIDTH <= stride; n += COLUMNS * WIDTH)
        multiply_block(to + n, from, from_stride, matrix + n, inputs, stride, rows, COLUMNS);
    for (; n < stride; n += WIDTH) multiply_block(to + n, from, from_stride, matrix + n, inputs, stride, rows, 1);
}

/* to = from matrix: (rows, inputs) times (inputs, stride). */
static void multiply(REAL *to, const REAL *from, long from_stride, const REAL *matrix, long inputs, long stride,
                     long rows) {
    long row = 0;
    for (; row + ROWS <= rows; row += ROWS)
        multiply_rows(to + row * stride, from + row * from_stride, from_stride, matrix, inputs, stride, ROWS);
    for (; row < rows; row++)
        multiply_rows(to + row * stride, from + row * from_stride, from_stride, matrix, inputs, stride, 1);
}

/* What a call works with: its weights, their product with what they read, and states of its examples, all padded. */
typedef struct {
    long rows, inputs, stride, state_stride;
    REAL *matrix, *product, *states;
} Work;

/* `backward`: the weights are (gates nodes, nodes) and multiply the deltas; otherwise they multiply the states. Return
   whether there is memory. */
static int begin(Work *work, const Layer *layer, const REAL *weight, long gates, int backward, long states, long first,
                 long last) {
    const long rows = last - first, numbers = gates * layer->nodes;
    const long inputs = backward ? numbers : layer->nodes, outputs = backward ? layer->nodes : numbers;
    const long stride = padded(outputs), state_stride = padded(layer->nodes);
    const long total = (inputs + rows) * stride + states * rows * state_stride;
    REAL *memory = aligned_alloc(BYTES, total * sizeof(REAL));
    if (!memory) return 0;
    memset(memory, 0, total * sizeof(REAL));
    if (weight) pack(memory, weight, inputs, outputs, !backward);
    *work = (Work){rows, inputs, stride, state_stride, memory, memory + inputs * stride,
                   memory + (inputs + rows) * stride};
    return 1;
}

/* A state lies in rooms of the call during the call, and in arrays (batch, nodes) between calls. */
static void enter(REAL *room, const REAL *state, const Layer *layer, long first, long last) {
    for (long row = first; row < last; row++)
        memcpy(room + (row - first) * padded(layer->nodes), state + row * layer->nodes, layer->nodes * sizeof(REAL));
}

static void leave(REAL *state, const REAL *room, const Layer *layer, long first, long last) {
    for (long row = first; row < last; row++)
        memcpy(state + row * layer->nodes, room + (row - first) * padded(layer->nodes), layer->nodes * sizeof(REAL));
}

/* Loop over the examples of a call and the vectors of their nodes: `left` nodes are left from node n. In the body, q is
   their place in an array (batch, nodes) of a step, g in one of all gates, p in a room. */
#define FOR_EVERY_VECTOR                                                                                              \
    for (long row = 0; row < work.rows; row++)                                                                        \
        for (long n = 0, left = nodes, q = (first + row) * nodes, p = row * work.state_stride; n < nodes;             \
             n += WIDTH, left -= WIDTH, q += WIDTH, p += WIDTH)

int tanh_forward(const Layer *layer, const REAL *drives, const REAL *weight, REAL *outputs, long first, long last) {
    const long nodes = layer->nodes, size = layer->batch * nodes;
    Work work;
    if (!begin(&work, layer, weight, 1, 0, 0, first, last)) return 1;
    for (long t = layer->start; t < layer->stop; t++) {
        const REAL *drive = drives + (t - layer->start) * size;
        REAL *output = outputs + t * size;
        if (t > 0) multiply(work.product, output - size + first * nodes, nodes, work.matrix, nodes, work.stride, work.rows);
        FOR_EVERY_VECTOR put(output + q, hyperbolic_tangent(get(drive + q, left) + get(work.product + p, WIDTH)), left);
    }
    free(work.matrix);
    return 0;
}

int tanh_backward(const Layer *layer, const REAL *gradients, const REAL *weight, const REAL *outputs, REAL *deltas,
                  REAL *reached, long first, long last) {
    const long nodes = layer->nodes, size = layer->batch * nodes;
    Work work;
    if (!begin(&work, layer, weight, 1, 1, 0, first, last)) return 1;
    enter(work.product, reached, layer, first, last);
    for (long t = layer->stop - 1; t >= layer->start; t--) {
        const REAL *gradient = gradients + t * size, *output = outputs + t * size;
        REAL *delta = deltas + (t - layer->start) * size;
        FOR_EVERY_VECTOR {
            const vector h = get(output + q, left), adjoint = get(gradient + q, left) + get(work.product + p, WIDTH);
            put(delta + q, adjoint * ((REAL)1 - h * h), left);
        }
        multiply(work.product, delta + first * nodes, nodes, work.matrix, work.inputs, work.stride, work.rows);
    }
    leave(reached, work.product, layer, first, last);
    free(work.matrix);
    return 0;
}

int gru_forward(const Layer *layer, const REAL *drives, const REAL *weight, const REAL *bias, REAL *outputs,
                REAL *gates, REAL *inner, long first, long last) {
    const long nodes = layer->nodes, size = layer->batch * nodes;
    Work work;
    if (!begin(&work, layer, weight, 3, 0, 0, first, last)) return 1;
    for (long t = layer->start; t < layer->stop; t++) {
        const REAL *drive = drives + 3 * (t - layer->start) * size;
        REAL *output = outputs + t * size, *gate = gates + 3 * t * size, *within = inner + t * size;
        if (t > 0) multiply(work.product, output - size + first * nodes, nodes, work.matrix, nodes, work.stride, work.rows);
        FOR_EVERY_VECTOR {
            const long g = 3 * (first + row) * nodes + n;
            const REAL *product = work.product + row * work.stride + n;
            const vector reset = logistic(get(drive + g, left) + get(product, left));
            const vector keep = logistic(get(drive + g + nodes, left) + get(product + nodes, left));
            const vector recurrent = get(product + 2 * nodes, left) + get(bias + n, left);
            const vector candidate = hyperbolic_tangent(get(drive + g + 2 * nodes, left) + reset * recurrent);
            const vector h = t > 0 ? get(output - size + q, left) : (vector){0};
            put(gate + g, reset, left), put(gate + g + nodes, keep, left), put(gate + g + 2 * nodes, candidate, left);
            put(within + q, recurrent, left);
            put(output + q, candidate + keep * (h - candidate), left);
        }
    }
    free(work.matrix);
    return 0;
}

/* `deltas` are the gradients of W h + bias, `of_drives` those of the drives; they differ in the candidate. */
int gru_backward(const Layer *layer, const REAL *gradients, const REAL *weight, const REAL *outputs, const REAL *gates,
                 const REAL *inner, REAL *deltas, REAL *of_drives, REAL *reached, long first, long last) {
    const long nodes = layer->nodes, size = layer->batch * nodes;
    Work work;
    if (!begin(&work, layer, weight, 3, 1, 1, first, last)) return 1;
    enter(work.product, reached, layer, first, last);
    for (long t = layer->stop - 1; t >= layer->start; t--) {
        const REAL *gradient = gradients + t * size, *output = outputs + t * size, *gate = gates + 3 * t * size,
                   *within = inner + t * size;
        REAL *delta = deltas + 3 * (t - layer->start) * size, *of_drive = of_drives + 3 * (t - layer->start) * size;
        FOR_EVERY_VECTOR {
            const long g = 3 * (first + row) * nodes + n;
            const vector reset = get(gate + g, left), keep = get(gate + g + nodes, left),
                         candidate = get(gate + g + 2 * nodes, left);
            const vector h = t > 0 ? get(output - size + q, left) : (vector){0};
            const vector adjoint = get(gradient + q, left) + get(work.product + p, WIDTH);
            const vector of_candidate = adjoint * ((REAL)1 - keep) * ((REAL)1 - candidate * candidate);
            const vector of_recurrent = of_candidate * reset;
            const vector of_reset = of_recurrent * get(within + q, left) * ((REAL)1 - reset);
            const vector of_keep = adjoint * (h - candidate) * keep * ((REAL)1 - keep);
            put(work.states + p, adjoint * keep, WIDTH);
            put(delta + g, of_reset, left), put(of_drive + g, of_reset, left);
            put(delta + g + nodes, of_keep, left), put(of_drive + g + nodes, of_keep, left);
            put(delta + g + 2 * nodes, of_recurrent, left), put(of_drive + g + 2 * nodes, of_candidate, left);
        }
        multiply(work.product, delta + 3 * first * nodes, 3 * nodes, work.matrix, work.inputs, work.stride, work.rows);
        FOR_EVERY_VECTOR put(work.product + p, get(work.product + p, WIDTH) + get(work.states + p, WIDTH), WIDTH);
    }
    leave(reached, work.product, layer, first, last);
    free(work.matrix);
    return 0;
}

int lstm_forward(const Layer *layer, const REAL *drives, const REAL *weight, REAL *outputs, REAL *gates,
                 REAL *memories, REAL *squashed, long first, long last) {
    const long nodes = layer->nodes, size = layer->batch * nodes;
    Work work;
    if (!begin(&work, layer, weight, 4, 0, 0, first, last)) return 1;
    for (long t = layer->start; t < layer->stop; t++) {
        const REAL *drive = drives + 4 * (t - layer->start) * size;
        REAL *output = outputs + t * size, *gate = gates + 4 * t * size, *memory = memories + t * size,
             *bounded = squashed + t * size;
        if (t > 0) multiply(work.product, output - size + first * nodes, nodes, work.matrix, nodes, work.stride, work.rows);
        FOR_EVERY_VECTOR {
            const long g = 4 * (first + row) * nodes + n;
            const REAL *product = work.product + row * work.stride + n;
            const vector write = logistic(get(drive + g, left) + get(product, left));
            const vector keep = logistic(get(drive + g + nodes, left) + get(product + nodes, left));
            const vector candidate =
                hyperbolic_tangent(get(drive + g + 2 * nodes, left) + get(product + 2 * nodes, left));
            const vector read = logistic(get(drive + g + 3 * nodes, left) + get(product + 3 * nodes, left));
            const vector old = t > 0 ? get(memory - size + q, left) : (vector){0};
            const vector stored = keep * old + write * candidate, within = hyperbolic_tangent(stored);
            put(gate + g, write, left), put(gate + g + nodes, keep, left);
            put(gate + g + 2 * nodes, candidate, left), put(gate + g + 3 * nodes, read, left);
            put(memory + q, stored, left), put(bounded + q, within, left), put(output + q, read * within, left);
        }
    }
    free(work.matrix);
    return 0;
}

int lstm_backward(const Layer *layer, const REAL *gradients, const REAL *weight, const REAL *outputs,
                  const REAL *gates, const REAL *memories, const REAL *squashed, REAL *deltas, REAL *reached,
                  REAL *of_memory, long first, long last) {
    const long nodes = layer->nodes, size = layer->batch * nodes;
    Work work;
    if (!begin(&work, layer, weight, 4, 1, 1, first, last)) return 1;
    enter(work.product, reached, layer, first, last);
    enter(work.states, of_memory, layer, first, last);
    for (long t = layer->stop - 1; t >= layer->start; t--) {
        const REAL *gradient = gradients + t * size, *output = outputs + t * size, *gate = gates + 4 * t * size,
                   *memory = memories + t * size, *bounded = squashed + t * size;
        REAL *delta = deltas + 4 * (t - layer->start) * size;
        FOR_EVERY_VECTOR {
            const long g = 4 * (first + row) * nodes + n;
            const vector write = get(gate + g, left), keep = get(gate + g + nodes, left),
                         candidate = get(gate + g + 2 * nodes, left), read = get(gate + g + 3 * nodes, left);
            const vector h = get(output + q, left), old = t > 0 ? get(memory - size + q, left) : (vector){0};
            const vector of_h = get(gradient + q, left) + get(work.product + p, WIDTH);
            /* o (1 - tanh^2) of h = o tanh */
            const vector adjoint = get(work.states + p, WIDTH) + of_h * (read - h * get(bounded + q, left));
            put(work.states + p, adjoint * keep, WIDTH);
            put(delta + g, adjoint * candidate * write * ((REAL)1 - write), left);
            put(delta + g + nodes, adjoint * old * keep * ((REAL)1 - keep), left);
            put(delta + g + 2 * nodes, adjoint * write * ((REAL)1 - candidate * candidate), left);
            put(delta + g + 3 * nodes, of_h * h * ((REAL)1 - read), left);
        }
        multiply(work.product, delta + 4 * first * nodes, 4 * nodes, work.matrix, work.inputs, work.stride, work.rows);
    }
    leave(reached, work.product, layer, first, last);
    leave(of_memory, work.states, layer, first, last);
    free(work.matrix);
    return 0;
}

/* v_{t+1} = carry v_t - stiffness S_{t-1} + f_t with f = tanh(a / 2) / 2 and S_t = v_1 + ... + v_t. `forces` has the
   drives at first, f at the end; `sums` may be NULL; `v` and `s`, (batch, nodes), are the states before and after. */
int oscillator_forward(const Layer *layer, long reads, const REAL *weight, const REAL *carry, const REAL *stiffness,
                       REAL *forces, REAL *velocities, REAL *sums, REAL *v, REAL *s, long first, long last) {
    const long nodes = layer->nodes, size = layer->batch * nodes, delay = reads == EARLIER_SUM ? 2 : 1;
    Work work;
    if (!begin(&work, layer, weight, 1, 0, 2, first, last)) return 1;
    REAL *velocity = work.states, *sum = velocity + work.rows * work.state_stride;
    enter(velocity, v, layer, first, last), enter(sum, s, layer, first, last);
    for (long t = layer->start; t < layer->stop; t++) {
        REAL *force = forces + t * size;
        if (reads && t >= delay)
            multiply(work.product, (reads == VELOCITY ? velocities : sums) + (t - delay) * size + first * nodes, nodes,
                     work.matrix, nodes, work.stride, work.rows);
        FOR_EVERY_VECTOR {
            const vector a = get(force + q, left) + get(work.product + p, WIDTH);
            const vector f = (REAL)0.5 * hyperbolic_tangent((REAL)0.5 * a);
            const vector old = get(velocity + p, WIDTH), total = get(sum + p, WIDTH);
            const vector new = f + get(carry + n, left) * old - get(stiffness + n, left) * (total - old);
            put(velocity + p, new, WIDTH), put(sum + p, total + new, WIDTH);
            put(force + q, f, left), put(velocities + t * size + q, new, left);
            if (sums) put(sums + t * size + q, total + new, left);
        }
    }
    leave(v, velocity, layer, first, last), leave(s, sum, layer, first, last);
    free(work.matrix);
    return 0;
}

/* `gradients` are those of every S_t, (steps, batch, nodes), or NULL; `of_v`, `of_s` and `reached`, (batch, nodes), are
   the adjoints of v_t and S_t without and from the recurrent weights. `of_carry` and `of_stiffness`, (batch, nodes),
   may be NULL; they need `s`, which is S_t. */
int oscillator_backward(const Layer *layer, long reads, const REAL *gradients, const REAL *weight, const REAL *carry,
                        const REAL *stiffness, const REAL *forces, const REAL *velocities, REAL *deltas, REAL *reached,
                        REAL *of_v, REAL *of_s, REAL *s, REAL *of_carry, REAL *of_stiffness, long first, long last) {
    const long nodes = layer->nodes, size = layer->batch * nodes, delay = reads == EARLIER_SUM ? 2 : 1;
    Work work;
    if (!begin(&work, layer, weight, 1, 1, 0, first, last)) return 1;
    enter(work.product, reached, layer, first, last);
    for (long t = layer->stop - 1; t >= layer->start; t--) {
        FOR_EVERY_VECTOR {
            const vector coupled = get(work.product + p, WIDTH), k = get(stiffness + n, left);
            vector from_v = get(of_v + q, left), from_s = get(of_s + q, left);
            if (reads == VELOCITY)
                from_v += coupled;
            else
                from_s += coupled;
            if (gradients) from_s += get(gradients + t * size + q, left);
            from_v += from_s; /* v_{t+1} is a part of S_{t+1} */
            const vector f = get(forces + t * size + q, left);
            put(deltas + (t - layer->start) * size + q, from_v * ((REAL)0.25 - f * f), left);
            if (of_carry && t > 0) {
                const vector old = get(velocities + (t - 1) * size + q, left);
                const vector earlier = get(s + q, left) - get(velocities + t * size + q, left) - old;
                put(s + q, earlier + old, left);
                put(of_carry + q, get(of_carry + q, left) + from_v * old, left);
                put(of_stiffness + q, get(of_stiffness + q, left) - from_v * earlier, left);
            }
            put(of_v + q, (get(carry + n, left) + k) * from_v, left);
            put(of_s + q, from_s - k * from_v, left);
        }
        const long reader = t + delay - 1; /* the step whose argument has read v_t or S_t */
        if (reads && t > 0 && reader < layer->steps)
            multiply(work.product, deltas + (reader - layer->start) * size + first * nodes, nodes, work.matrix, nodes,
                     work.stride, work.rows);
    }
    leave(reached, work.product, layer, first, last);
    free(work.matrix);
    return 0;
}
