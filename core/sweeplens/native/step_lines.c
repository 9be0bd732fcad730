/* Step-per-line JSON -> columns of numbers: the one part of sweeplens that is compiled.
 *
 * It takes the rows that it is sure of: flat objects of numbers (NaN and Infinity among them), each key once, a whole number
 * at the axis; null, true and false are counted, no more. Any other line is a doubt, which Python settles: the judgement of
 * what a log says lies in one place only.
 *
 * Rows of many files come into one Table. `table_begin` begins a file, `table_read` takes lines of it, `table_keep` makes them
 * stay; `table_take` hands a column over as an array of Arrow's C data interface. Nothing is read at or beyond the end of a text.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "decimals.h"

#if defined(_WIN32)
#define PUBLIC __declspec(dllexport)
#else
#define PUBLIC __attribute__((visibility("default")))
#endif

/* ------------------------------------------------------------------ columns */

typedef struct {
    char *token; /* the key as it was first written, with quotes, colon and blanks: `"loss": ` */
    size_t token_length, name_length;
    uint32_t hash;
    int32_t next;     /* the column whose key came behind this one the last time */
    uint64_t seen;    /* the row in which it was met last */
    double *values;   /* of the first `filled` rows; 0 where there is none */
    uint8_t *present; /* a bit for each row */
    int64_t filled, count;
    int64_t others; /* null, true and false in the file at hand */
} Column;

typedef struct {
    int32_t column;
    int32_t is_other; /* null, true or false */
    double value;
} Cell;

typedef struct {
    Column *columns; /* the first is the axis; its values are `steps` */
    int32_t n_columns, room_for_columns;
    int32_t first;  /* the column that a row began with the last time */
    int32_t *slots; /* by hash, a column + 1; at most half of them are taken */
    uint32_t n_slots;
    int64_t *steps;
    uint32_t *files, *places;
    int64_t rows, room, values, most_cells;
    int64_t others; /* of all columns, in the file at hand */
    Cell *cells; /* of the row at hand */
    int32_t n_cells;
    uint64_t seen;
    uint32_t file;
    int64_t kept_rows; /* of the files before the one at hand */
    int32_t kept_columns;
    int32_t is_full; /* a row of the file at hand would have taken more cells than it is worth */
} Table;

typedef struct {
    int64_t begin, end, number; /* bytes of the line without its newline; its number from 0 */
} Line;

enum { AXIS = 0, NONE = -1, FILES = -1, PLACES = -2 };
enum { FIRST_ROOM = 64, FEW_CELLS = 1 << 22, SPARSEST = 16 };

#define GROW(pointer, count) replaced(&(pointer), realloc((pointer), (size_t)(count) * sizeof *(pointer)))

static int replaced(void *pointer, void *grown) {
    if (grown) memcpy(pointer, &grown, sizeof grown);
    return grown != NULL;
}

static int make_rows(Column *column, int64_t old, int64_t room) {
    if (!GROW(column->values, room) || !GROW(column->present, room / 8)) return 0;
    memset(column->present + old / 8, 0, (size_t)(room - old) / 8);
    return 1;
}

/* Columns cost memory whether there is something in them or not. */
static int is_worth_it(Table *t, int64_t rows, int32_t columns) {
    int64_t cells = rows * columns;
    int worth = cells <= t->most_cells && (cells <= FEW_CELLS || cells <= SPARSEST * t->values);
    t->is_full |= !worth;
    return worth;
}

static int has_room(Table *t) {
    if (t->rows < t->room) return 1;
    int64_t room = t->room ? 2 * t->room : FIRST_ROOM;
    if (!is_worth_it(t, room, t->n_columns)) return 0;
    for (int32_t i = AXIS + 1; i < t->n_columns; i++)
        if (!make_rows(&t->columns[i], t->room, room)) return 0;
    if (!GROW(t->steps, room) || !GROW(t->files, room) || !GROW(t->places, room)) return 0;
    t->room = room;
    return 1;
}

static uint32_t hash_of(const char *name, size_t length) {
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (size_t i = 0; i < length; i++) hash = (hash ^ (uint8_t)name[i]) * 16777619u;
    return hash;
}

static void enter(Table *t, int32_t column) {
    uint32_t slot = t->columns[column].hash;
    while (t->slots[slot & (t->n_slots - 1)]) slot++;
    t->slots[slot & (t->n_slots - 1)] = column + 1;
}

static void enter_all(Table *t) {
    memset(t->slots, 0, t->n_slots * sizeof(int32_t));
    for (int32_t i = 0; i < t->n_columns; i++) enter(t, i);
}

static int32_t find(const Table *t, const char *name, size_t length, uint32_t hash) {
    for (uint32_t slot = hash;; slot++) {
        int32_t column = t->slots[slot & (t->n_slots - 1)] - 1;
        if (column == NONE) return NONE;
        const Column *c = &t->columns[column];
        if (c->hash == hash && c->name_length == length && memcmp(c->token + 1, name, length) == 0) return column;
    }
}

static int has_room_for_column(Table *t) {
    if (t->n_columns < t->room_for_columns) return 1;
    int32_t room = t->room_for_columns ? 2 * t->room_for_columns : 16;
    if (!GROW(t->columns, room) || !GROW(t->cells, room) || !GROW(t->slots, 2 * room)) return 0;
    t->room_for_columns = room, t->n_slots = 2 * (uint32_t)room;
    enter_all(t);
    return 1;
}

static int32_t add_column(Table *t, const char *token, size_t token_length, size_t name_length) {
    if (!is_worth_it(t, t->room, t->n_columns + 1) || !has_room_for_column(t)) return NONE;
    Column c = {.token_length = token_length, .name_length = name_length, .next = NONE};
    c.hash = hash_of(token + 1, name_length);
    c.token = malloc(token_length);
    if (!c.token || (t->room && !make_rows(&c, 0, t->room))) {
        free(c.token), free(c.values), free(c.present);
        return NONE;
    }
    memcpy(c.token, token, token_length);
    t->columns[t->n_columns] = c;
    enter(t, t->n_columns);
    return t->n_columns++;
}

/* The columns that came last leave. */
static void keep_columns(Table *t, int32_t count) {
    if (count == t->n_columns) return;
    for (int32_t i = count; i < t->n_columns; i++)
        free(t->columns[i].token), free(t->columns[i].values), free(t->columns[i].present);
    t->n_columns = count;
    enter_all(t);
}

static void put(Table *t, const Cell *cell) {
    Column *column = &t->columns[cell->column];
    int64_t row = t->rows;
    if (cell->is_other) {
        column->others++, t->others++;
        return;
    }
    if (column->filled < row) memset(column->values + column->filled, 0, (size_t)(row - column->filled) * sizeof(double));
    column->values[row] = cell->value;
    column->present[row / 8] |= (uint8_t)(1 << row % 8);
    column->filled = row + 1;
    column->count++, t->values++;
}

static void take_back(Table *t, Column *column, int64_t rows) {
    for (; column->filled > rows; column->filled--) {
        int64_t row = column->filled - 1;
        int there = column->present[row / 8] >> row % 8 & 1;
        column->count -= there, t->values -= there;
        column->present[row / 8] &= (uint8_t)~(1 << row % 8);
    }
}

/* ------------------------------------------------------------------ rows */

static const char *skip_blanks(const char *p, const char *end) {
    while (p < end && (*p == ' ' || *p == '\t' || *p == '\r')) p++;
    return p;
}

/* A key and its colon -> its column, which may be new; `*at` is then at the value. `guess` is the column that is likely. */
static int32_t read_key(Table *t, const char **at, const char *end, int32_t guess) {
    const char *token = *at;
    if (guess >= 0 && guess < t->n_columns) {
        const Column *c = &t->columns[guess];
        if ((size_t)(end - token) >= c->token_length && memcmp(token, c->token, c->token_length) == 0) {
            *at = skip_blanks(token + c->token_length, end);
            return guess;
        }
    }
    const char *p = token;
    if (p == end || *p != '"') return NONE;
    for (p++; p < end && *p != '"'; p++)
        if ((uint8_t)*p < ' ' || *p == '\\') return NONE;
    size_t length = (size_t)(p - token - 1);
    p = p < end ? skip_blanks(p + 1, end) : end;
    if (p == end || *p != ':') return NONE;
    *at = skip_blanks(p + 1, end);
    int32_t known = find(t, token + 1, length, hash_of(token + 1, length));
    return known != NONE ? known : add_column(t, token, (size_t)(*at - token), length);
}

/* null, true or false; returns what is behind it, NULL for anything else. */
static const char *read_other(const char *p, const char *end) {
    if (end - p >= 4 && (memcmp(p, "null", 4) == 0 || memcmp(p, "true", 4) == 0)) return p + 4;
    return end - p >= 5 && memcmp(p, "false", 5) == 0 ? p + 5 : NULL;
}

static int32_t *next_of(Table *t, int32_t column) { return column == NONE ? &t->first : &t->columns[column].next; }

/* "key": value -> a cell, or the step of the row. Returns what is behind it, NULL in doubt. */
static const char *read_cell(Table *t, const char *p, const char *end, int32_t *column, int64_t *step) {
    int32_t previous = *column;
    *column = read_key(t, &p, end, *next_of(t, previous));
    if (*column == NONE || t->columns[*column].seen == t->seen) return NULL;
    *next_of(t, previous) = *column;
    t->columns[*column].seen = t->seen;
    if (*column == AXIS) return read_step(p, end, step);
    Cell *cell = &t->cells[t->n_cells++];
    cell->column = *column;
    cell->is_other = p < end && (*p == 'n' || *p == 't' || *p == 'f');
    return cell->is_other ? read_other(p, end) : read_number(p, end, &cell->value);
}

/* One object with its newline, into cells; NULL in doubt. */
static const char *read_cells(Table *t, const char *p, const char *end, int64_t *step) {
    int32_t column = NONE;
    t->seen++, t->n_cells = 0;
    p = skip_blanks(p, end);
    if (p == end || *p != '{') return NULL;
    do {
        p = read_cell(t, skip_blanks(p + 1, end), end, &column, step);
        if (p == NULL || (p = skip_blanks(p, end)) == end) return NULL;
    } while (*p == ',');
    if (*p != '}' || t->columns[AXIS].seen != t->seen) return NULL;
    p = skip_blanks(p + 1, end);
    return p < end && *p == '\n' ? p + 1 : NULL;
}

/* One line into the table; NULL in doubt, and nothing has changed then. */
static const char *read_row(Table *t, const char *p, const char *end) {
    int32_t columns = t->n_columns;
    int64_t step = 0;
    p = read_cells(t, p, end, &step);
    if (p == NULL || !has_room(t)) {
        keep_columns(t, columns);
        return NULL;
    }
    for (int32_t i = 0; i < t->n_cells; i++) put(t, &t->cells[i]);
    t->steps[t->rows] = step;
    t->files[t->rows] = t->file;
    t->places[t->rows] = (uint32_t)(t->rows - t->kept_rows);
    t->rows++;
    return p;
}

/* ------------------------------------------------------------------ for Python */

PUBLIC int32_t table_version(void) { return 3; }

PUBLIC void table_free(Table *t) {
    if (t == NULL) return;
    keep_columns(t, 0);
    free(t->columns), free(t->cells), free(t->slots), free(t->steps), free(t->files), free(t->places), free(t);
}

/* The rows of the file at hand stay. */
PUBLIC void table_keep(Table *t) { t->kept_rows = t->rows, t->kept_columns = t->n_columns; }

/* A table whose rows stand at `axis`, a key; it will not hold more than so many cells, empty ones included. */
PUBLIC Table *table_new(const char *axis, int64_t length, int64_t most_cells) {
    Table *t = calloc(1, sizeof(Table));
    if (t == NULL) return NULL;
    t->first = NONE, t->most_cells = most_cells;
    char *token = malloc((size_t)length + 3);
    if (token) {
        token[0] = '"', memcpy(token + 1, axis, (size_t)length), memcpy(token + 1 + length, "\":", 2);
        add_column(t, token, (size_t)length + 3, (size_t)length);
        free(token);
    }
    if (t->n_columns == 1) return table_keep(t), t;
    table_free(t);
    return NULL;
}

/* What is read from now on is of this file. The rows of one that was not kept are forgotten. */
PUBLIC void table_begin(Table *t, uint32_t file) {
    for (int32_t i = AXIS + 1; i < t->n_columns; i++) {
        take_back(t, &t->columns[i], t->kept_rows);
        t->columns[i].others = 0;
    }
    t->others = 0;
    keep_columns(t, t->kept_columns);
    t->rows = t->kept_rows;
    t->file = file, t->is_full = 0;
}

/* The whole lines of a text, whose bytes and number are told. `doubts` are the lines that are no rows for here; returns how
 * many there are, -1 where more than `most`. */
PUBLIC int64_t table_read(Table *t, const char *text, int64_t length, int64_t *bytes, int64_t *lines, Line *doubts, int64_t most) {
    const char *p = text, *end = text + length;
    int64_t found = 0;
    for (*lines = 0; p < end; ++*lines) {
        const char *next = read_row(t, p, end);
        if (next == NULL) {
            const char *newline = memchr(p, '\n', (size_t)(end - p));
            if (newline == NULL) break;
            if (found == most) return -1;
            doubts[found++] = (Line){p - text, newline - text, *lines};
            next = newline + 1;
        }
        p = next;
    }
    *bytes = p - text;
    return found;
}

PUBLIC int64_t table_rows(const Table *t) { return t->rows; }
PUBLIC int32_t table_columns(const Table *t) { return t->n_columns; }
PUBLIC int32_t table_is_full(const Table *t) { return t->is_full; }
/* How often null, true or false stood under a key of the file at hand; for the axis: under any key. */
PUBLIC int64_t table_others(const Table *t, int32_t column) { return column == AXIS ? t->others : t->columns[column].others; }

PUBLIC const char *table_key(const Table *t, int32_t column, int64_t *length) {
    *length = (int64_t)t->columns[column].name_length;
    return t->columns[column].token + 1;
}

/* ------------------------------------------------------------------ Arrow's C data interface */

typedef struct ArrowSchema {
    const char *format, *name, *metadata;
    int64_t flags, n_children;
    struct ArrowSchema **children, *dictionary;
    void (*release)(struct ArrowSchema *);
    void *private_data;
} ArrowSchema;

typedef struct ArrowArray {
    int64_t length, null_count, offset, n_buffers, n_children;
    const void **buffers;
    struct ArrowArray **children, *dictionary;
    void (*release)(struct ArrowArray *);
    void *private_data;
} ArrowArray;

static void release_schema(ArrowSchema *schema) { schema->release = NULL; }

static void release_array(ArrowArray *array) {
    free((void *)array->buffers[0]), free((void *)array->buffers[1]), free((void *)array->buffers);
    array->release = NULL;
}

/* Hands over memory of the table: numbers of one format, and bits that say which are there, where some are not. */
static int hand_over(const Table *t, const char *format, void *numbers, uint8_t *present, int64_t missing, ArrowSchema *schema,
                     ArrowArray *array) {
    const void **buffers = calloc(2, sizeof(void *));
    if (buffers == NULL) return 0;
    buffers[0] = present, buffers[1] = numbers;
    *schema = (ArrowSchema){.format = format, .name = "", .flags = 2 /* nullable */, .release = release_schema};
    *array = (ArrowArray){.length = t->rows, .null_count = missing, .n_buffers = 2, .buffers = buffers, .release = release_array};
    return 1;
}

static int take_values(const Table *t, Column *column, ArrowSchema *schema, ArrowArray *array) {
    int64_t missing = t->rows - column->count;
    memset(column->values + column->filled, 0, (size_t)(t->rows - column->filled) * sizeof(double));
    if (!hand_over(t, "g", column->values, missing ? column->present : NULL, missing, schema, array)) return 0;
    if (!missing) free(column->present);
    column->values = NULL, column->present = NULL;
    return 1;
}

/* A column as an Arrow array, which owns it from now on: of a key, of the axis (0), of the rows' files (-1) or of their places
 * in these (-2). Then the table is only good for the columns that are left. 0 where there is no memory. */
PUBLIC int32_t table_take(Table *t, int32_t column, ArrowSchema *schema, ArrowArray *array) {
    if (column > AXIS) return take_values(t, &t->columns[column], schema, array);
    void *numbers = column == AXIS ? (void *)t->steps : column == FILES ? t->files : t->places;
    if (!hand_over(t, column == AXIS ? "l" : "I", numbers, NULL, 0, schema, array)) return 0;
    if (column == AXIS) t->steps = NULL;
    else if (column == FILES) t->files = NULL;
    else t->places = NULL;
    return 1;
}
