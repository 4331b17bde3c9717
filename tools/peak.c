/* What this processor's vector units can do at most: multiply-adds on registers alone, no load and no store.

   Every vector unit starts a new fused multiply-add in each cycle and gives its result some cycles later, so
   that several independent sums must be under way at once. tools/contestants.py compiles this file for the
   processor that it runs on, runs it on all cores, and checks the sums that come back. */

#if defined(__AVX512F__)
#define BYTES 64
#elif defined(__AVX__)
#define BYTES 32
#else
#define BYTES 16 /* SSE, NEON */
#endif
#if defined(__AVX512F__)
#define SUMS 12 /* of 32 registers; two units with a latency of four cycles need eight */
#elif defined(__ARM_NEON)
#define SUMS 20 /* of 32 registers; four units with a latency of four cycles need sixteen */
#else
#define SUMS 10 /* of 16 registers */
#endif
#define LANES (BYTES / 4)

typedef float vector __attribute__((vector_size(BYTES)));

/* Floating-point operations of one iteration: a multiplication and an addition in every lane of every sum. */
double fp32_flops(void) { return 2.0 * LANES * SUMS; }

/* Do sum = sum * x + y for n iterations in every lane of every sum; sum k begins at k. Returns their total. */
double fp32(long n, float x, float y) {
    vector sum[SUMS], factor, summand;
    for (int lane = 0; lane < LANES; lane++) {
        factor[lane] = x;
        summand[lane] = y;
        for (int k = 0; k < SUMS; k++) sum[k][lane] = (float)k;
    }
    for (long i = 0; i < n; i++)
        for (int k = 0; k < SUMS; k++) sum[k] = sum[k] * factor + summand;
    double total = 0;
    for (int k = 0; k < SUMS; k++)
        for (int lane = 0; lane < LANES; lane++) total += sum[k][lane];
    return total;
}

/* Tile units (AMX) do more than these vectors. PyTorch's matrix product uses them, and is timed beside this. */
#if defined(__AVX512BF16__)
#include <immintrin.h>

/* In each 32-bit lane two bf16 products are added to an fp32 sum: two multiplications, two additions. */
double bf16_flops(void) { return 4.0 * LANES * SUMS; }

/* Do sum = sum + x * y + x * y for n iterations in every lane of every sum; sum k begins at k. */
double bf16(long n, float x, float y) {
    __m512 sum[SUMS];
    __m512bh a = _mm512_cvtne2ps_pbh(_mm512_set1_ps(x), _mm512_set1_ps(x));
    __m512bh b = _mm512_cvtne2ps_pbh(_mm512_set1_ps(y), _mm512_set1_ps(y));
    for (int k = 0; k < SUMS; k++) sum[k] = _mm512_set1_ps((float)k);
    for (long i = 0; i < n; i++)
        for (int k = 0; k < SUMS; k++) sum[k] = _mm512_dpbf16_ps(sum[k], a, b);
    double total = 0;
    for (int k = 0; k < SUMS; k++) total += _mm512_reduce_add_ps(sum[k]);
    return total;
}
#endif
