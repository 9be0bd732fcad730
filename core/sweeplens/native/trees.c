/* Grows and asks regression trees with random cuts (extremely randomised trees: Geurts, Ernst, Wehenkel 2006).
 *
 * At each node every column that varies there gets one random cut between its least and its greatest value; the cut that leaves
 * the least squared error is taken. The random numbers depend on the seed and on the way to the node only, and values to learn
 * are whole numbers whose sums and squares of sums are exact, so `trees.py` grows the same trees without this file.
 */
#include <stdint.h>
#include <stdlib.h>

#if defined(_WIN32)
#define PUBLIC __declspec(dllexport)
#else
#define PUBLIC __attribute__((visibility("default")))
#endif

/* A node: a cut with the places of two more nodes, or a leaf (column -1) with the mean of its rows. */
typedef struct {
    int32_t column, low, high;
    float cut;
    double mean;
} Node;

typedef struct {
    uint64_t key; /* of the way from the root */
    int64_t first, end; /* its rows, as places in `rows` */
    int32_t node;
} Open;

typedef struct {
    int32_t column;
    float cut;
    double score;
} Cut;

static uint64_t mixed(uint64_t key) {
    key += 0x9e3779b97f4a7c15u;
    key = (key ^ (key >> 30)) * 0xbf58476d1ce4e5b9u;
    key = (key ^ (key >> 27)) * 0x94d049bb133111ebu;
    return key ^ (key >> 31);
}

/* Returns a number in [0, 1) for a column at a node. */
static double drawn(uint64_t key, int32_t column) {
    return (double)(mixed(key + (uint64_t)column + 1) >> 11) * 0x1.0p-53;
}

static void try_cut(const float *x, const double *y, const int32_t *rows, const Open *open, int64_t leaf, Cut *best, int32_t column) {
    float least = x[rows[open->first]], greatest = least;
    for (int64_t i = open->first + 1; i < open->end; i++) {
        const float value = x[rows[i]];
        least = value < least ? value : least;
        greatest = value > greatest ? value : greatest;
    }
    if (!(greatest > least)) return;
    const double away = drawn(open->key, column) * ((double)greatest - (double)least);
    float cut = (float)((double)least + away);
    if (!(cut < greatest)) cut = least;
    double below = 0, total = 0;
    int64_t n = 0;
    for (int64_t i = open->first; i < open->end; i++) {
        const int goes = x[rows[i]] <= cut;
        below += goes ? y[rows[i]] : 0.0;
        total += y[rows[i]];
        n += goes;
    }
    const int64_t rest = open->end - open->first - n;
    if (n < leaf || rest < leaf) return;
    const double above = total - below;
    const double first = below * below / (double)n, second = above * above / (double)rest;
    const double score = first + second;
    if (best->column < 0 || score > best->score) *best = (Cut){column, cut, score};
}

/* Returns whether all values of a node are equal; `mean` becomes their mean. */
static int is_pure(const double *y, const int32_t *rows, const Open *open, double *mean) {
    double total = 0;
    int pure = 1;
    for (int64_t i = open->first; i < open->end; i++) {
        total += y[rows[i]];
        pure &= y[rows[i]] == y[rows[open->first]];
    }
    *mean = total / (double)(open->end - open->first);
    return pure;
}

/* Puts the rows below the cut first; returns the place of the first row above it. */
static int64_t parted(const float *x, int32_t *rows, const Open *open, float cut) {
    int64_t low = open->first, high = open->end;
    while (low < high) {
        if (x[rows[low]] <= cut) {
            low++;
        } else {
            const int32_t row = rows[low];
            rows[low] = rows[--high];
            rows[high] = row;
        }
    }
    return low;
}

/* Grows a tree into `nodes`, which has room for 2 n - 1; returns their number, or -1 if memory is short.
 *
 * `x` holds p columns of n values, `y` n whole numbers. A leaf keeps at least `leaf` rows.
 */
PUBLIC int32_t tree_grow(const float *x, const double *y, int32_t n, int32_t p, int32_t leaf, uint64_t seed, Node *nodes) {
    if (n < 1) return 0;
    int32_t *rows = malloc(sizeof(int32_t) * (size_t)n);
    Open *stack = malloc(sizeof(Open) * (size_t)n); /* open nodes share no row */
    if (!rows || !stack) {
        free(rows);
        free(stack);
        return -1;
    }
    for (int32_t i = 0; i < n; i++) rows[i] = i;
    int32_t made = 1, waiting = 1;
    stack[0] = (Open){mixed(seed), 0, n, 0};
    while (waiting) {
        const Open open = stack[--waiting];
        Node *node = &nodes[open.node];
        *node = (Node){-1, 0, 0, 0, 0};
        if (is_pure(y, rows, &open, &node->mean) || open.end - open.first < 2 * (int64_t)leaf) continue;
        Cut best = {-1, 0, 0};
        const int32_t start = (int32_t)(mixed(open.key) % (uint64_t)p); /* which of equal cuts is taken is random too */
        for (int32_t k = 0; k < p; k++) {
            const int32_t column = (start + k) % p;
            try_cut(x + (int64_t)column * n, y, rows, &open, leaf, &best, column);
        }
        if (best.column < 0) continue;
        const int64_t middle = parted(x + (int64_t)best.column * n, rows, &open, best.cut);
        node->column = best.column;
        node->cut = best.cut;
        node->low = made++;
        node->high = made++;
        stack[waiting++] = (Open){mixed(open.key ^ 1), open.first, middle, node->low};
        stack[waiting++] = (Open){mixed(open.key ^ 2), middle, open.end, node->high};
    }
    free(rows);
    free(stack);
    return made;
}

/* Writes the mean of the leaf that each of m rows of p values falls into. */
PUBLIC void tree_ask(const Node *nodes, const float *x, int64_t m, int32_t p, double *means) {
    for (int64_t i = 0; i < m; i++) {
        const float *row = x + i * p;
        const Node *node = nodes;
        while (node->column >= 0) node = nodes + (row[node->column] <= node->cut ? node->low : node->high);
        means[i] = node->mean;
    }
}
