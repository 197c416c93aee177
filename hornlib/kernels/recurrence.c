/* Recurrent layers: all steps forward, and the adjoint. recurrence.py has the equations.

   BLOCK examples of a lane are computed together and alone: COLUMNS vectors for every node. No layer is too narrow or
   odd for the vectors then. The forward pass keeps the states before every chunk of steps. The backward pass computes
   the states of a chunk again, and uses them while they are in the cache. */

enum { OSCILLATOR, TANH, GRU, LSTM };

typedef struct {
    long unit, lanes, steps, batch, features, nodes;
    long driven;   /* whether every step has an input; else one input drives all steps */
    long every;    /* whether every step has a result; else the last step alone */
    long reads;    /* number of the state that the weights read */
    long explicit; /* of oscillators: whether the integrator is explicit Euler */
    long chunk;    /* steps of a chunk */
} Layer;

/* Of all lanes, or of one. Constants are rows of nodes: carry and spring of oscillators, the inner bias of the GRU. */
typedef struct {
    REAL *inputs, *input_weight, *bias, *weight, *constants;
} Arrays;

/* What one step leaves is a slot: arrays (nodes, COLUMNS), first the states. The result is one of the states.
   OSCILLATOR: v, p, force. TANH: h. GRU: h, reset, keep, candidate, inner. LSTM: h, memory, write, keep, candidate,
   read, tanh(memory). */
INLINE long states_of(long unit) { return unit == OSCILLATOR || unit == LSTM ? 2 : 1; }
INLINE long slot_of(long unit) { return unit == OSCILLATOR ? 3 : unit == TANH ? 1 : unit == GRU ? 5 : 7; }
INLINE long gates_of(long unit) { return unit == GRU ? 3 : unit == LSTM ? 4 : 1; }
INLINE long constants_of(long unit) { return unit == OSCILLATOR ? 2 : unit == GRU; }
INLINE long result_of(long unit) { return unit == OSCILLATOR; }

INLINE vector logistic(vector a) { return (REAL)0.5 + (REAL)0.5 * hyperbolic_tangent((REAL)0.5 * a); }

/* (samples, numbers) become one vector a number and column; missing samples repeat the last one. */
static void load(vector *to, const REAL *from, long numbers, long samples) {
    for (long i = 0; i < BLOCK; i++) {
        const REAL *row = from + (i < samples ? i : samples - 1) * numbers;
        for (long m = 0; m < numbers; m++) to[m * COLUMNS + i / SAMPLES][i % SAMPLES] = row[m];
    }
}

static void store(REAL *to, const vector *from, long numbers, long samples) {
    for (long i = 0; i < samples; i++)
        for (long m = 0; m < numbers; m++) to[i * numbers + m] = from[m * COLUMNS + i / SAMPLES][i % SAMPLES];
}

static void spread(vector *to, const REAL *from, long numbers) {
    for (long m = 0; m < numbers; m++)
        for (int column = 0; column < COLUMNS; column++) to[m * COLUMNS + column] = from[m] + (vector){0};
}

static void add(vector *to, const vector *from, long count) {
    for (long i = 0; i < count; i++) to[i] += from[i];
}

/* The slot of a step from the slot before it. `argument` is drive + W r; of the GRU's candidate W h + bias. */
INLINE void advance(const Layer *layer, long unit, const vector *argument, const vector *drive, const REAL *constants,
                    const vector *before, vector *after) {
    const long size = layer->nodes * COLUMNS;
    for (long i = 0; i < size; i++) {
        if (unit == OSCILLATOR) {
            const REAL carry = constants[i / COLUMNS], spring = constants[layer->nodes + i / COLUMNS];
            const vector v = before[i], p = before[size + i], force = hyperbolic_tangent(argument[i]);
            const vector new_v = force + carry * v - spring * p;
            after[i] = new_v, after[size + i] = p + (layer->explicit ? v : new_v), after[2 * size + i] = force;
        } else if (unit == TANH) {
            after[i] = hyperbolic_tangent(argument[i]);
        } else if (unit == GRU) {
            const vector reset = logistic(argument[i]), keep = logistic(argument[size + i]);
            const vector inner = argument[2 * size + i];
            const vector candidate = hyperbolic_tangent(drive[2 * size + i] + reset * inner);
            after[i] = candidate + keep * (before[i] - candidate);
            after[size + i] = reset, after[2 * size + i] = keep, after[3 * size + i] = candidate;
            after[4 * size + i] = inner;
        } else {
            const vector write = logistic(argument[i]), keep = logistic(argument[size + i]);
            const vector candidate = hyperbolic_tangent(argument[2 * size + i]);
            const vector read = logistic(argument[3 * size + i]);
            const vector memory = keep * before[size + i] + write * candidate, squashed = hyperbolic_tangent(memory);
            after[i] = read * squashed, after[size + i] = memory, after[2 * size + i] = write;
            after[3 * size + i] = keep, after[4 * size + i] = candidate, after[5 * size + i] = read;
            after[6 * size + i] = squashed;
        }
    }
}

/* `of_states`, the adjoints of the states after a step, become those before it, without what arrives through W.
   `delta` is the adjoint of the argument, `of_drive` that of the drive; they differ in the GRU's candidate alone. */
INLINE void retreat(const Layer *layer, long unit, const REAL *constants, const vector *before, const vector *after,
                    vector *of_states, vector *delta, vector *of_drive, vector *of_constants) {
    const long size = layer->nodes * COLUMNS;
    for (long i = 0; i < size; i++) {
        if (unit == OSCILLATOR) {
            const REAL carry = constants[i / COLUMNS], spring = constants[layer->nodes + i / COLUMNS];
            const vector force = after[2 * size + i], of_p = of_states[size + i];
            const vector of_v = layer->explicit ? of_states[i] : of_states[i] + of_p;
            delta[i] = of_v * ((REAL)1 - force * force);
            of_states[i] = layer->explicit ? carry * of_v + of_p : carry * of_v;
            of_states[size + i] = of_p - spring * of_v;
            of_constants[i] += of_v * before[i], of_constants[size + i] -= of_v * before[size + i];
        } else if (unit == TANH) {
            delta[i] = of_states[i] * ((REAL)1 - after[i] * after[i]);
            of_states[i] = (vector){0};
        } else if (unit == GRU) {
            const vector reset = after[size + i], keep = after[2 * size + i], candidate = after[3 * size + i];
            const vector adjoint = of_states[i];
            const vector of_candidate = adjoint * ((REAL)1 - keep) * ((REAL)1 - candidate * candidate);
            const vector of_inner = of_candidate * reset;
            delta[i] = of_drive[i] = of_inner * after[4 * size + i] * ((REAL)1 - reset);
            delta[size + i] = of_drive[size + i] = adjoint * (before[i] - candidate) * keep * ((REAL)1 - keep);
            delta[2 * size + i] = of_inner, of_drive[2 * size + i] = of_candidate;
            of_states[i] = adjoint * keep, of_constants[i] += of_inner;
        } else {
            const vector write = after[2 * size + i], keep = after[3 * size + i], candidate = after[4 * size + i];
            const vector read = after[5 * size + i], squashed = after[6 * size + i], of_h = of_states[i];
            const vector adjoint = of_states[size + i] + of_h * read * ((REAL)1 - squashed * squashed);
            delta[i] = adjoint * candidate * write * ((REAL)1 - write);
            delta[size + i] = adjoint * before[size + i] * keep * ((REAL)1 - keep);
            delta[2 * size + i] = adjoint * write * ((REAL)1 - candidate * candidate);
            delta[3 * size + i] = of_h * squashed * read * ((REAL)1 - read);
            of_states[i] = (vector){0}, of_states[size + i] = adjoint * keep;
        }
    }
}

/* Sizes of a block in vectors, and the memory that a call works in. `slot` and `stride`, from one step to the next of
   slots and deltas, are a group more than their numbers: powers of two would meet in a few places of the cache. The
   argument lies on the drive where nobody needs the drive any more. */
typedef struct {
    long samples, size, states, slot, gates, stride, constants;
    vector *input, *drive, *argument, *slots; /* of the current step, except slots */
} Work;

INLINE void drive_by(const Layer *layer, const Arrays *of, const Work *work, const vector *input) {
    const long numbers = work->gates / COLUMNS;
    spread(work->drive, of->bias, numbers);
    multiply_add(work->drive, of->input_weight, numbers, layer->features, input);
}

/* The first step in which W reads states that are not all 0. */
INLINE long first_read(const Layer *layer) { return layer->explicit && layer->reads ? 2 : 1; }

/* The steps whose forces move a result: with explicit Euler all but the last one. */
INLINE long moving_steps(const Layer *layer) { return layer->steps - (layer->explicit ? 1 : 0); }

INLINE void step(const Layer *layer, long unit, const Arrays *of, const Work *work, long t, const vector *before,
                 vector *after) {
    const long size = work->size;
    if (work->argument != work->drive) memcpy(work->argument, work->drive, work->gates * sizeof(vector));
    if (unit == GRU) spread(work->argument + 2 * size, of->constants, layer->nodes);
    if (of->weight && t >= first_read(layer))
        multiply_add(work->argument, of->weight, work->gates / COLUMNS, layer->nodes, before + layer->reads * size);
    advance(layer, unit, work->argument, work->drive, of->constants, before, after);
}

static Work sizes(const Layer *layer) {
    const long size = layer->nodes * COLUMNS;
    return (Work){.size = size,
                  .states = states_of(layer->unit) * size,
                  .slot = slot_of(layer->unit) * size + COLUMNS,
                  .gates = gates_of(layer->unit) * size,
                  .stride = gates_of(layer->unit) * size + COLUMNS,
                  .constants = constants_of(layer->unit) * size};
}

/* Place drive and argument, and return the memory behind them. */
static vector *place_drive(const Layer *layer, Work *work, vector *memory) {
    work->drive = work->argument = memory;
    if (layer->unit == GRU || !layer->driven) work->argument += work->gates;
    return memory + 2 * work->gates;
}

/* Arrays of one lane, and of inputs and results those of the block that begins with an example. */
static Arrays of_lane(const Layer *layer, const Arrays *of, long lane, long example) {
    const long numbers = gates_of(layer->unit) * layer->nodes, features = layer->features;
    const long input = (lane * (layer->driven ? layer->steps : 1) * layer->batch + example) * features;
    return (Arrays){of->inputs ? of->inputs + input : NULL, of->input_weight + lane * numbers * features,
                    of->bias + lane * numbers, of->weight ? of->weight + lane * numbers * layer->nodes : NULL,
                    of->constants + lane * constants_of(layer->unit) * layer->nodes};
}

static long result_at(const Layer *layer, long lane, long example, long t) {
    return ((lane * (layer->every ? layer->steps : 1) + (layer->every ? t : 0)) * layer->batch + example) * layer->nodes;
}

INLINE void forward(const Layer *layer, long unit, Arrays of, REAL *results, REAL *marks, Work work, long lane,
                    long example) {
    const long row = layer->batch * layer->features;
    vector *before = work.slots, *after = before + work.slot;
    memset(before, 0, work.slot * sizeof(vector));
    for (long t = 0; t < layer->steps; t++) {
        if (t % layer->chunk == 0)
            memcpy(marks + t / layer->chunk * work.states * SAMPLES, before, work.states * sizeof(vector));
        if (t == 0 || layer->driven) {
            load(work.input, of.inputs + t * row, layer->features, work.samples);
            drive_by(layer, &of, &work, work.input);
        }
        step(layer, unit, &of, &work, t, before, after);
        if (layer->every || t == layer->steps - 1)
            store(results + result_at(layer, lane, example, t), after + result_of(unit) * work.size, layer->nodes,
                  work.samples);
        vector *free = before;
        before = after, after = free;
    }
}

/* Memory of the backward pass: inputs, deltas and adjoints of the drives of a chunk, sums, and transposed weights. */
typedef struct {
    vector *inputs, *deltas, *of_drives, *of_states, *of_constants, *of_bias, *gradient, *of_input;
    REAL *weight, *input_weight;
} Tape;

INLINE void backward(const Layer *layer, long unit, Arrays of, const REAL *gradients, const REAL *marks,
                     Arrays result, Work work, Tape tape, long lane, long example) {
    const long nodes = layer->nodes, features = layer->features, numbers = work.gates / COLUMNS, last = layer->steps - 1;
    const long row = layer->batch * features, width = features * COLUMNS;
    memset(tape.of_states, 0, work.states * sizeof(vector));
    memset(tape.of_constants, 0, work.constants * sizeof(vector));
    memset(tape.of_bias, 0, work.gates * sizeof(vector));
    if (!layer->driven) {
        load(tape.inputs, of.inputs, features, work.samples);
        drive_by(layer, &of, &work, tape.inputs);
    }
    for (long start = last - last % layer->chunk; start >= 0; start -= layer->chunk) {
        const long stop = start + layer->chunk < layer->steps ? start + layer->chunk : layer->steps;
        memcpy(work.slots, marks + start / layer->chunk * work.states * SAMPLES, work.states * sizeof(vector));
        for (long t = start; t < stop; t++) { /* the states of the chunk again */
            vector *before = work.slots + (t - start) * work.slot;
            if (layer->driven) {
                load(tape.inputs + (t - start) * width, of.inputs + t * row, features, work.samples);
                drive_by(layer, &of, &work, tape.inputs + (t - start) * width);
            }
            step(layer, unit, &of, &work, t, before, before + work.slot);
        }
        for (long t = stop - 1; t >= start; t--) {
            const vector *before = work.slots + (t - start) * work.slot;
            vector *delta = tape.deltas + (t - start) * work.stride, *of_drive = tape.of_drives + (t - start) * work.stride;
            if (layer->every || t == last) {
                load(tape.gradient, gradients + result_at(layer, lane, example, t), nodes, work.samples);
                for (long i = work.samples; i < BLOCK; i++)
                    for (long n = 0; n < nodes; n++) tape.gradient[n * COLUMNS + i / SAMPLES][i % SAMPLES] = 0;
                add(tape.of_states + result_of(unit) * work.size, tape.gradient, work.size);
            }
            if (t >= moving_steps(layer)) { /* p moves by v alone */
                add(tape.of_states, tape.of_states + work.size, work.size);
                if (layer->driven && result.inputs)
                    memset(result.inputs + t * row, 0, work.samples * features * sizeof(REAL));
                continue;
            }
            retreat(layer, unit, of.constants, before, before + work.slot, tape.of_states, delta, of_drive,
                    tape.of_constants);
            if (of.weight && t >= first_read(layer))
                multiply_add(tape.of_states + layer->reads * work.size, tape.weight, nodes, numbers, delta);
            if (layer->driven && result.inputs) {
                memset(tape.of_input, 0, width * sizeof(vector));
                multiply_add(tape.of_input, tape.input_weight, features, numbers, of_drive);
                store(result.inputs + t * row, tape.of_input, features, work.samples);
            }
        }
        const long moving = stop < moving_steps(layer) ? stop : moving_steps(layer);
        const long reading = start > 0 ? start : first_read(layer); /* the first step of the chunk in which W reads */
        for (long i = 0; i < work.gates; i++) {
            vector total = {0};
            for (long t = 0; t < moving - start; t++) total += tape.of_drives[t * work.stride + i];
            tape.of_bias[i] += total;
        }
        if (layer->driven)
            add_outer(result.input_weight, numbers, features, tape.of_drives, work.stride, tape.inputs, width,
                      moving - start);
        if (result.weight && moving > reading)
            add_outer(result.weight, numbers, nodes, tape.deltas + (reading - start) * work.stride, work.stride,
                      work.slots + (reading - start) * work.slot + layer->reads * work.size, work.slot,
                      moving - reading);
    }
    if (!layer->driven) {
        add_outer(result.input_weight, numbers, features, tape.of_bias, 0, tape.inputs, 0, 1);
        if (result.inputs) {
            memset(tape.of_input, 0, width * sizeof(vector));
            multiply_add(tape.of_input, tape.input_weight, features, numbers, tape.of_bias);
            store(result.inputs, tape.of_input, features, work.samples);
        }
    }
    for (long n = 0; n < numbers; n++)
        for (int column = 0; column < COLUMNS; column++) result.bias[n] += sum(tape.of_bias[n * COLUMNS + column]);
    for (long n = 0; n < work.constants / COLUMNS; n++)
        for (int column = 0; column < COLUMNS; column++)
            result.constants[n] += sum(tape.of_constants[n * COLUMNS + column]);
}

static void transpose(REAL *to, const REAL *from, long rows, long columns) {
    for (long row = 0; row < rows; row++)
        for (long column = 0; column < columns; column++) to[column * rows + row] = from[row * columns + column];
}

static long blocks_of(const Layer *layer) { return (layer->batch + BLOCK - 1) / BLOCK; }

static long mark_numbers(const Layer *layer, const Work *work) {
    return (layer->steps + layer->chunk - 1) / layer->chunk * work->states * SAMPLES;
}

/* Call a function with the unit as a literal, so that no choice of it is left in its loops. */
#define FOR_EVERY_UNIT(CALL)                                                                                          \
    switch (layer->unit) {                                                                                            \
        case OSCILLATOR: CALL(OSCILLATOR); break;                                                                     \
        case TANH: CALL(TANH); break;                                                                                 \
        case GRU: CALL(GRU); break;                                                                                   \
        case LSTM: CALL(LSTM); break;                                                                                 \
    }

long recurrence_block(void) { return BLOCK; }

/* Compute the blocks from `first` to before `last`, counted over all lanes. Inputs and results are (lanes, steps or 1,
   batch, numbers); marks are (lanes, blocks, chunks, states, nodes, BLOCK). Return whether there was no memory. */
int recurrence_forward(const Layer *layer, const Arrays *arrays, REAL *results, REAL *marks, long first, long last) {
    Work work = sizes(layer);
    const long input = layer->features * COLUMNS;
    vector *memory = aligned_alloc(sizeof(vector), (input + 2 * work.gates + 2 * work.slot) * sizeof(vector));
    if (!memory) return 1;
    work.input = memory, work.slots = place_drive(layer, &work, work.input + input);
    for (long number = first; number < last; number++) {
        const long lane = number / blocks_of(layer), example = number % blocks_of(layer) * BLOCK;
        const Arrays of = of_lane(layer, arrays, lane, example);
        REAL *mark = marks + number * mark_numbers(layer, &work);
        work.samples = layer->batch - example < BLOCK ? layer->batch - example : BLOCK;
#define CALL(UNIT) forward(layer, UNIT, of, results, mark, work, lane, example)
        FOR_EVERY_UNIT(CALL)
#undef CALL
    }
    free(memory);
    return 0;
}

/* The same for the gradients. Those of the parameters are added to `gradients_of`, whose parameters have a row for every
   block of every lane, since threads compute blocks; its inputs or weight are NULL if nobody asks for their gradients. */
int recurrence_backward(const Layer *layer, const Arrays *arrays, const REAL *gradients, const REAL *marks,
                        const Arrays *gradients_of, long first, long last) {
    Work work = sizes(layer);
    const long features = layer->features, nodes = layer->nodes, numbers = work.gates / COLUMNS, chunk = layer->chunk;
    const long input = features * COLUMNS, weights = (numbers * (features + nodes) + SAMPLES - 1) / SAMPLES;
    const long total = (chunk + 1) * (input + work.slot) + 2 * chunk * work.stride + work.states + work.constants +
                       3 * work.gates + work.size + weights;
    vector *memory = aligned_alloc(sizeof(vector), total * sizeof(vector));
    if (!memory) return 1;
    Tape tape;
    work.slots = place_drive(layer, &work, memory);
    tape.inputs = work.slots + (chunk + 1) * work.slot, tape.of_input = tape.inputs + chunk * input;
    tape.deltas = tape.of_input + input;
    tape.of_drives = layer->unit == GRU ? tape.deltas + chunk * work.stride : tape.deltas;
    tape.of_states = tape.deltas + 2 * chunk * work.stride, tape.of_constants = tape.of_states + work.states;
    tape.of_bias = tape.of_constants + work.constants, tape.gradient = tape.of_bias + work.gates;
    tape.weight = (REAL *)(tape.gradient + work.size), tape.input_weight = tape.weight + numbers * nodes;
    for (long number = first, packed = -1; number < last; number++) {
        const long lane = number / blocks_of(layer), example = number % blocks_of(layer) * BLOCK;
        const Arrays of = of_lane(layer, arrays, lane, example);
        Arrays result = of_lane(layer, gradients_of, number, 0);
        if (gradients_of->inputs) result.inputs = of_lane(layer, gradients_of, lane, example).inputs;
        if (lane != packed) {
            transpose(tape.input_weight, of.input_weight, numbers, features);
            if (of.weight) transpose(tape.weight, of.weight, numbers, nodes);
            packed = lane;
        }
        work.samples = layer->batch - example < BLOCK ? layer->batch - example : BLOCK;
        const REAL *mark = marks + number * mark_numbers(layer, &work);
#define CALL(UNIT) backward(layer, UNIT, of, gradients, mark, result, work, tape, lane, example)
        FOR_EVERY_UNIT(CALL)
#undef CALL
    }
    free(memory);
    return 0;
}
