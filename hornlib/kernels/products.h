/* Products of matrices with blocks of BLOCK examples: arrays (numbers, COLUMNS) of vectors. */

#define COLUMNS 2 /* a product keeps ROWS x COLUMNS sums in registers */
#define ROWS 6
#define BLOCK (COLUMNS * SAMPLES)

/* Loop over a block of sums whose sizes are literals, so that every sum has a register. */
#define UNROLLED(INDEX, COUNT) _Pragma("GCC unroll 8") for (int INDEX = 0; INDEX < COUNT; INDEX++)

INLINE void multiply_rows(vector *to, const REAL *matrix, long inputs, const vector *from, int rows) {
    vector sums[ROWS][COLUMNS];
    UNROLLED(row, rows) UNROLLED(column, COLUMNS) sums[row][column] = to[row * COLUMNS + column];
    for (long m = 0; m < inputs; m++)
        UNROLLED(row, rows) UNROLLED(column, COLUMNS)
            sums[row][column] += matrix[row * inputs + m] * from[m * COLUMNS + column];
    UNROLLED(row, rows) UNROLLED(column, COLUMNS) to[row * COLUMNS + column] = sums[row][column];
}

/* to += matrix from, with a matrix (rows, inputs). */
static void multiply_add(vector *to, const REAL *matrix, long rows, long inputs, const vector *from) {
    long row = 0;
#define ROWS_OF(NUMBER)                                                                                               \
    for (; row + NUMBER <= rows; row += NUMBER)                                                                       \
        multiply_rows(to + row * COLUMNS, matrix + row * inputs, inputs, from, NUMBER);
    ROWS_OF(ROWS)
    ROWS_OF(4)
    ROWS_OF(2)
    ROWS_OF(1)
#undef ROWS_OF
}

INLINE void outer_block(REAL *to, long inputs, const vector *deltas, long delta_stride, const vector *reads,
                        long read_stride, long steps, int rows, int columns) {
    vector sums[4][3] = {{{0}}};
    for (long t = 0; t < steps; t++)
        for (int i = 0; i < COLUMNS; i++)
            UNROLLED(row, rows) UNROLLED(column, columns)
                sums[row][column] += deltas[t * delta_stride + row * COLUMNS + i] *
                                     reads[t * read_stride + column * COLUMNS + i];
    UNROLLED(row, rows) UNROLLED(column, columns) to[row * inputs + column] += sum(sums[row][column]);
}

/* to += the sum of deltas times reads over steps and examples, (rows, inputs). */
static void add_outer(REAL *to, long rows, long inputs, const vector *deltas, long delta_stride, const vector *reads,
                      long read_stride, long steps) {
    for (long row = 0, num_rows; row < rows; row += num_rows) {
        num_rows = rows - row >= 4 ? 4 : 1;
        for (long column = 0, num_columns; column < inputs; column += num_columns) {
            num_columns = inputs - column >= 3 ? 3 : inputs - column;
            REAL *place = to + row * inputs + column;
            const vector *delta = deltas + row * COLUMNS, *read = reads + column * COLUMNS;
#define OUTER(R, C)                                                                                                   \
    case 4 * R + C: outer_block(place, inputs, delta, delta_stride, read, read_stride, steps, R, C); break;
            switch (4 * num_rows + num_columns) {
                OUTER(4, 3) OUTER(4, 2) OUTER(4, 1)
                OUTER(1, 3) OUTER(1, 2) OUTER(1, 1)
            }
#undef OUTER
        }
    }
}
