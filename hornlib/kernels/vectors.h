/* Vectors of numbers, one number for each example. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#ifdef __AVX512F__ /* BYTES: of a register; wider vectors spill */
#define BYTES 64
#elif defined(__AVX__)
#define BYTES 32
#else
#define BYTES 16
#endif
#define SAMPLES ((int)(BYTES / sizeof(REAL)))
#define INLINE static inline __attribute__((always_inline))

typedef REAL vector __attribute__((vector_size(BYTES)));

/* In float32 a rational function of a, fitted with a relative error of 2e-8. */
INLINE vector hyperbolic_tangent(vector a) {
    if (sizeof(REAL) == sizeof(double)) {
        for (int i = 0; i < SAMPLES; i++) a[i] = (REAL)tanh((double)a[i]);
        return a;
    }
    for (int i = 0; i < SAMPLES; i++) { /* a NaN stays one, since every comparison with it is false */
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

INLINE REAL sum(vector values) {
    REAL total = 0;
    for (int i = 0; i < SAMPLES; i++) total += values[i];
    return total;
}
