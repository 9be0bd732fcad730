/* Finds the run and the step of each row of a text log: `place_rows` in readers/text/axis.py, with the same result.
 *
 * The state is that of the row before; a call goes on from it. Where a number has no place in 64 bits, the call returns 0 and
 * Python places the rows.
 */
#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(_WIN32)
#define PUBLIC __declspec(dllexport)
#else
#define PUBLIC __attribute__((visibility("default")))
#endif

enum { INNER = 1, NAMED = 2, POSITIONAL = 4, METRICS = 8, EVAL = 16, PASSING = 32 }; /* traits of a template */
enum { PLAIN_COUNT = 0, UNNAMED_COUNT = 1 };                                        /* the counts that every log may have */
static const double MOST_COUNT = 9007199254740992.0, MOST_STEP = 9e18;

/* `StepCount`: NaN is `None`. */
typedef struct {
    double last, first, base, epoch, total;
    double exists; /* or 0 */
} Count;

/* `AxisState`: NaN is `None`. */
typedef struct {
    double epoch, first_epoch;
    int64_t run, step, position;
    int64_t has_step, is_fine, has_rows, split, is_passing; /* `split` is a place in a list */
} Axis;

/* The traits of the template of a row: flags, its split, its count as a place in a list. */
typedef struct {
    int64_t flags, split, count;
} Traits;

/* Numbers of the rows, and whether each is known. */
typedef struct {
    const double *values;
    const uint8_t *known;
} Column;

static void begin_run(Axis *axis, Count *counts, int64_t n_counts) {
    axis->run += axis->has_rows != 0;
    axis->has_rows = 0;
    axis->epoch = axis->first_epoch = NAN;
    for (int64_t i = 0; i < n_counts; i++) counts[i].exists = 0;
    axis->has_step = axis->is_fine = axis->step = 0;
    axis->position = -1;
}

static void update_epoch(double epoch, const Traits *kind, Axis *axis, Count *counts, int64_t n_counts) {
    if (!(fabs(epoch) < MOST_COUNT)) return;
    if (epoch < axis->epoch) {
        if (kind->flags & EVAL) return;
        if (epoch <= axis->first_epoch) begin_run(axis, counts, n_counts);
    }
    axis->epoch = epoch;
    if (isnan(axis->first_epoch)) axis->first_epoch = epoch;
}

/* Handles a count that fell; returns the count that goes on, perhaps that of another run. */
static Count *after_fall(double count, double total, const Traits *kind, Axis *axis, Count *counts, int64_t n_counts, Count *mine) {
    int over = axis->epoch > mine->epoch;
    if (over || (kind->flags & (INNER | EVAL)) || axis->epoch == mine->epoch) {
        double passed = over ? fmax(1.0, axis->epoch - mine->epoch) : 1.0;
        int has_total = total != 0;
        double length = has_total && total >= mine->last ? total : mine->last + (count < 1 ? 1 : 0);
        mine->base += length * (has_total ? passed : 1.0);
        return mine;
    }
    if (!isnan(axis->epoch) || count > mine->first) return mine;
    begin_run(axis, counts, n_counts);
    mine = &counts[kind->flags & NAMED ? PLAIN_COUNT : UNNAMED_COUNT];
    *mine = (Count){NAN, count, 0, NAN, NAN, 1};
    return mine;
}

/* Whether the count of an evaluation is that of the training, by its total. */
static int is_of_training(double total, const Count *counts) {
    const Count *training = counts[PLAIN_COUNT].exists ? &counts[PLAIN_COUNT] : &counts[UNNAMED_COUNT];
    return !training->exists || isnan(training->total) || training->total == total;
}

typedef enum { NO_COUNT, HAS_COUNT, NO_ROOM } Found;

/* Finds the step of a row by its count. `total` is 0 where it is not known. */
static Found update_count(double count, double total, int has_total, const Traits *kind, Axis *axis, Count *counts, int64_t n_counts, int64_t *step) {
    if (!(fabs(count) < MOST_COUNT)) return NO_COUNT;
    count = fabs(count);
    int64_t flags = kind->flags;
    Count *mine = &counts[kind->count];
    if ((flags & EVAL) && (flags & NAMED) && !(flags & INNER) && total != 0 && !is_of_training(total, counts))
        return *step = axis->step, axis->is_fine && axis->has_step ? HAS_COUNT : NO_COUNT;
    if (!mine->exists) *mine = (Count){NAN, count, 0, NAN, NAN, 1};
    if (count < mine->last) {
        mine = after_fall(count, total, kind, axis, counts, n_counts, mine);
    } else if (!isnan(mine->last) && (flags & INNER) && total != 0 && mine->last >= total) {
        int same = mine->epoch == axis->epoch || (isnan(mine->epoch) && isnan(axis->epoch));
        if (!same) mine->base += total; /* one step in each epoch */
    }
    mine->last = count, mine->epoch = axis->epoch, mine->total = has_total ? total : NAN;
    double at = mine->base + count;
    if (!(fabs(at) < MOST_STEP)) return NO_ROOM;
    *step = (int64_t)at;
    if (!(flags & EVAL)) axis->step = *step, axis->has_step = axis->is_fine = 1;
    else if (!axis->is_fine) return NO_COUNT;
    if ((flags & EVAL) && !(flags & INNER) && !(flags & NAMED)) return *step = axis->step, axis->has_step ? HAS_COUNT : NO_COUNT;
    return HAS_COUNT;
}

static void update_split(const Traits *kind, int has_axis, int64_t no_split, Axis *axis) {
    if (!(kind->flags & METRICS)) axis->split = kind->split, axis->is_passing = (kind->flags & PASSING) != 0;
    else if (axis->is_passing && has_axis) axis->split = no_split, axis->is_passing = 0;
}

/* Places so many rows. `keys` are places in `kinds`. `numbers` are epoch, count and total. Totals are finite where they are known. */
PUBLIC int32_t place_text_rows(
    const int64_t *keys, int64_t rows, const Column *numbers, const Traits *kinds, Axis *axis, Count *counts, int64_t n_counts,
    int64_t no_split, int64_t *runs, int64_t *steps, uint8_t *placed, uint8_t *own, int64_t *under) {
    for (int64_t i = 0; i < rows; i++) {
        const Traits *kind = &kinds[keys[i]];
        int has_epoch = numbers[0].known[i], has_count = numbers[1].known[i], has_total = numbers[2].known[i];
        double epoch = numbers[0].values[i];
        int64_t step = 0;
        update_split(kind, has_epoch || has_count, no_split, axis);
        if (has_epoch) update_epoch(epoch, kind, axis, counts, n_counts);
        Found found = NO_COUNT;
        if (has_count)
            found = update_count(numbers[1].values[i], has_total ? numbers[2].values[i] : 0, has_total, kind, axis, counts, n_counts, &step);
        if (found == NO_ROOM) return 0;
        if ((kind->flags & POSITIONAL) && (kind->flags & METRICS)) {
            step = axis->step = ++axis->position;
            axis->has_step = axis->is_fine = 1, found = HAS_COUNT;
        }
        axis->has_rows |= (kind->flags & METRICS) != 0;
        own[i] = found == HAS_COUNT, placed[i] = 1;
        if (!own[i] && axis->is_fine) {
            step = axis->step, placed[i] = axis->has_step != 0;
        } else if (!own[i]) {
            double at = has_epoch && fabs(epoch) < MOST_COUNT ? epoch : axis->epoch;
            placed[i] = !isnan(at), step = placed[i] ? (int64_t)at : 0;
        }
        runs[i] = axis->run, steps[i] = step, under[i] = axis->split;
    }
    return 1;
}
