/* Trains LightGCN and serves the best items of each user, with nothing but liblightgcn.a and the C library.
 *
 *   latentc unpack gowalla --out data           the data that ships with latentc, as text: train.txt, test.txt
 *   latentc build lightgcn --out lib            for that data: code depends on how many users and items there are
 *   cc -std=c11 -O2 serve.c -Ilib -Llib -llightgcn -lm -lpthread -o serve
 *   ./serve data 2 1                            the data, the number of threads, of epochs
 *
 * It prints the losses of each epoch, the items of the first users, and the share of held-out items among the 20 best
 * of all users, beside the share that guessing finds. */
#define _POSIX_C_SOURCE 200809L
#include "lightgcn.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { TOP = 20, MOST_THREADS = 16 };

/* The greatest batches that the programs were built for. */
#define BATCH LIGHTGCN_STEP_DIMS_BATCH_MOST
#define ASK LIGHTGCN_RANK_DIMS_BATCH_MOST

static void fail(const char *what)
{
    fprintf(stderr, "serve: %s\n", what);
    exit(1);
}

static void *take(size_t count, size_t size)
{
    void *memory = calloc(count > 0 ? count : 1, size);
    if (memory == NULL)
        fail("no memory");
    return memory;
}

/* ---- data ---- */

/* Items by user: those of user u are items[start[u]..start[u + 1]], ascending. */
struct lists {
    int32_t users;
    int32_t most; /* the greatest item, -1 for none */
    int32_t *start;
    int32_t *items;
};

/* With room for one element more than are used: twice as much whenever a power of two is reached. */
static int32_t *grow(int32_t *all, int32_t used)
{
    if ((used & (used - 1)) == 0) {
        all = realloc(all, (used > 0 ? 2 * (size_t)used : 1) * sizeof *all);
        if (all == NULL)
            fail("no memory");
    }
    return all;
}

/* Reads lines `user item item ...`: users ascend, so do the items of each, and a user who is left out has none. */
static struct lists read_lists(const char *folder, const char *name, int32_t users)
{
    char path[512];
    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path)
        fail("the path is too long");
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        fprintf(stderr, "serve: cannot read %s\n", path);
        exit(1);
    }
    struct lists lists = {0, -1, NULL, NULL};
    int32_t pairs = 0;
    int at_user = 1, c;
    while ((c = getc(file)) != EOF) {
        if (c == '\n')
            at_user = 1;
        if (c == '\n' || c == ' ' || c == '\r')
            continue;
        int32_t number = 0;
        for (; c >= '0' && c <= '9' && number < 1 << 26; c = getc(file))
            number = 10 * number + (c - '0');
        if (c != EOF && c != ' ' && c != '\r' && c != '\n')
            fail("not a number, or one too large");
        ungetc(c, file);
        if (at_user) {
            if (number < lists.users)
                fail("users do not ascend");
            for (; lists.users <= number; lists.users++)
                (lists.start = grow(lists.start, lists.users))[lists.users] = pairs;
            at_user = 0;
            continue;
        }
        if (pairs > lists.start[lists.users - 1] && number <= lists.items[pairs - 1])
            fail("the items of a user do not ascend");
        (lists.items = grow(lists.items, pairs))[pairs] = number;
        pairs++;
        if (number > lists.most)
            lists.most = number;
    }
    fclose(file);
    for (; lists.users < users; lists.users++)
        (lists.start = grow(lists.start, lists.users))[lists.users] = pairs;
    (lists.start = grow(lists.start, lists.users))[lists.users] = pairs;
    return lists;
}

static int has(const struct lists *lists, int32_t user, int32_t item)
{
    int32_t low = lists->start[user], high = lists->start[user + 1];
    while (low < high) {
        int32_t middle = low + (high - low) / 2;
        if (lists->items[middle] == item)
            return 1;
        if (lists->items[middle] < item)
            low = middle + 1;
        else
            high = middle;
    }
    return 0;
}

/* The graph of users (first) and items as compressed rows: an edge both ways for each pair. */
static void make_graph(const struct lists *train, int32_t items, int32_t *indptr, int32_t *indices)
{
    int32_t users = train->users, pairs = train->start[users];
    int32_t *next = take((size_t)items, sizeof *next); /* where the next user of each item goes */
    for (int32_t e = 0; e < pairs; e++)
        next[train->items[e]]++;
    for (int32_t i = 0, at = pairs; i < items; i++) {
        int32_t count = next[i];
        indptr[users + i] = next[i] = at;
        at += count;
    }
    for (int32_t u = 0; u < users; u++) {
        indptr[u] = train->start[u];
        for (int32_t e = train->start[u]; e < train->start[u + 1]; e++) {
            indices[e] = users + train->items[e];
            indices[next[train->items[e]]++] = u;
        }
    }
    indptr[users + items] = 2 * pairs;
    free(next);
}

/* ---- random numbers: xorshift64* ---- */

static uint64_t random_state = UINT64_C(0x9e3779b97f4a7c15);

static uint64_t next_random(void)
{
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return random_state * UINT64_C(0x2545f4914f6cdd1d);
}

/* A number of 0..n, each as likely but for a part in 2^32. */
static int32_t below(int32_t n)
{
    return (int32_t)(((next_random() >> 32) * (uint64_t)n) >> 32);
}

/* A number of normal distribution, as near as twelve even ones come. */
static float normal(void)
{
    float sum = -6.0f;
    for (int i = 0; i < 12; i++)
        sum += (float)(next_random() >> 40) / (float)(1 << 24);
    return sum;
}

/* A batch for Bayesian personalised ranking: any user who has items, one of them, and any item that he has not. Rows
 * of items come after those of users. */
static void sample(const struct lists *train, int32_t items, int32_t batch, int32_t *user, int32_t *pos, int32_t *neg)
{
    for (int32_t i = 0; i < batch; i++) {
        int32_t u, item;
        do
            u = below(train->users);
        while (train->start[u] == train->start[u + 1] || train->start[u + 1] - train->start[u] == items);
        do
            item = below(items);
        while (has(train, u, item));
        user[i] = u;
        pos[i] = train->users + train->items[train->start[u] + below(train->start[u + 1] - train->start[u])];
        neg[i] = train->users + item;
    }
}

/* ---- threads: one is started for each part of a loop; a real program keeps a pool ---- */

struct part {
    latentc_task task;
    void *argument;
    size_t part;
};

static void *run_part(void *memory)
{
    struct part *p = memory;
    p->task(p->argument, p->part);
    return NULL;
}

static void parallel(void *context, latentc_task task, void *argument, size_t parts)
{
    pthread_t threads[MOST_THREADS];
    struct part all[MOST_THREADS];
    int started[MOST_THREADS] = {0};
    *(size_t *)context += 1;
    for (size_t i = 0; i < parts; i++) {
        all[i] = (struct part){task, argument, i};
        started[i] = i > 0 && pthread_create(&threads[i], NULL, run_part, &all[i]) == 0;
        if (!started[i] && i > 0)
            task(argument, i);
    }
    task(argument, 0);
    for (size_t i = 1; i < parts; i++)
        if (started[i])
            pthread_join(threads[i], NULL);
}

static void *workspace(size_t bytes)
{
    /* aligned_alloc wants a multiple of the alignment. */
    void *memory = aligned_alloc(LATENTC_ALIGN, (bytes / LATENTC_ALIGN + 1) * LATENTC_ALIGN);
    if (memory == NULL)
        fail("no memory for the workspace");
    return memory;
}

/* Ends the program with the text of an error. */
#define CHECK(name, state, call)                                                                                       \
    do {                                                                                                               \
        if ((call) != LATENTC_OK) {                                                                                    \
            char text[400];                                                                                            \
            name##_error_text(&(state), text, sizeof text);                                                            \
            fail(text);                                                                                                \
        }                                                                                                              \
    } while (0)

int main(int argc, char **argv)
{
    if (argc < 2)
        fail("usage: serve DATA [THREADS [EPOCHS]]");
    size_t threads = argc > 2 ? strtoul(argv[2], NULL, 10) : 1, launches = 0;
    long epochs = argc > 3 ? strtol(argv[3], NULL, 10) : 1;
    if (threads > MOST_THREADS)
        fail("too many threads");
    struct lists train = read_lists(argv[1], "train.txt", 0);
    struct lists test = read_lists(argv[1], "test.txt", train.users);
    int32_t users = train.users;
    int32_t items = (train.most > test.most ? train.most : test.most) + 1;
    int32_t nodes = users + items, pairs = train.start[users];
    if (LIGHTGCN_STEP_IN_ADJ_INDPTR_LENGTH != nodes + 1 || LIGHTGCN_STEP_IN_ADJ_INDICES_LENGTH != 2 * pairs ||
        test.users != users)
        fail("the library was built for other data");
    const int32_t width = LIGHTGCN_STEP_PARAMS_NODES_LENGTH / nodes;

    /* Parameters, and what Adam keeps of each. */
    size_t count = (size_t)nodes * (size_t)width;
    float *table = take(count, sizeof *table), *m = take(count, sizeof *m), *v = take(count, sizeof *v);
    for (size_t i = 0; i < count; i++)
        table[i] = 0.1f * normal();
    int32_t *indptr = take((size_t)nodes + 1, sizeof *indptr), *indices = take(2 * (size_t)pairs, sizeof *indices);
    make_graph(&train, items, indptr, indices);

    /* A step of training. */
    int32_t *user = take(BATCH, sizeof *user), *pos = take(BATCH, sizeof *pos), *neg = take(BATCH, sizeof *neg);
    int64_t steps = 0;
    float loss = 0, lr = 0.02f;
    lightgcn_step step = {0};
    step.in.user = user;
    step.in.pos = pos;
    step.in.neg = neg;
    step.in.adj_indptr = indptr;
    step.in.adj_indices = indices;
    step.in.lr = &lr;
    step.params.nodes = table;
    step.state.adam_step = &steps;
    step.state.adam_m_nodes = m;
    step.state.adam_v_nodes = v;
    step.out.loss = &loss;
    step.parallel = parallel;
    step.parallel_context = &launches;
    step.threads = threads;
    step.dims.batch = BATCH;
    step.workspace_bytes = lightgcn_step_workspace_bytes(&step.dims);
    step.workspace = workspace(step.workspace_bytes);
    CHECK(lightgcn_step, step, lightgcn_step_init(&step, LIGHTGCN_STEP_ABI));
    double took = 0;
    for (long epoch = 0; epoch < epochs; epoch++) {
        double total = 0;
        float first = 0;
        for (int32_t done = 0; done < pairs; done += BATCH) {
            /* The last batch of an epoch is a shorter one. */
            int32_t batch = pairs - done < BATCH ? pairs - done : BATCH;
            sample(&train, items, batch, user, pos, neg);
            struct timespec begin, end;
            clock_gettime(CLOCK_MONOTONIC, &begin);
            step.dims.batch = batch;
            CHECK(lightgcn_step, step, lightgcn_step_run(&step));
            clock_gettime(CLOCK_MONOTONIC, &end);
            took += (double)(end.tv_sec - begin.tv_sec) + 1e-9 * (double)(end.tv_nsec - begin.tv_nsec);
            total += (double)loss * batch;
            if (done == 0)
                first = loss;
        }
        printf("epoch %ld loss %.9f first %.9f last %.9f\n", epoch, total / pairs, (double)first, (double)loss);
    }
    fprintf(stderr, "%lld steps, %.1f microseconds each, %zu loops in parts, level %lld\n", (long long)steps,
            1e6 * took / (double)(steps > 0 ? steps : 1), launches, (long long)step.level);

    /* The final rows. */
    lightgcn_embed embed = {0};
    float *user_rows = take((size_t)users * (size_t)width, sizeof *user_rows);
    float *item_rows = take((size_t)items * (size_t)width, sizeof *item_rows);
    embed.in.adj_indptr = indptr;
    embed.in.adj_indices = indices;
    embed.params.nodes = table;
    embed.out.users = user_rows;
    embed.out.items = item_rows;
    embed.workspace_bytes = lightgcn_embed_workspace_bytes(&embed.dims);
    embed.workspace = workspace(embed.workspace_bytes);
    CHECK(lightgcn_embed, embed, lightgcn_embed_init(&embed, LIGHTGCN_EMBED_ABI));
    CHECK(lightgcn_embed, embed, lightgcn_embed_run(&embed));

    /* The best items of every user, without those that he has, so many users at a time. */
    lightgcn_rank rank = {0};
    int32_t *ask = take(ASK, sizeof *ask), *best = take((size_t)users * TOP, sizeof *best);
    rank.in.users = user_rows;
    rank.in.items = item_rows;
    rank.in.user = ask;
    rank.in.seen_indptr = train.start;
    rank.in.seen_indices = train.items;
    rank.parallel = parallel;
    rank.parallel_context = &launches;
    rank.threads = threads;
    rank.workspace_bytes = lightgcn_rank_workspace_bytes(NULL);
    rank.workspace = workspace(rank.workspace_bytes);
    CHECK(lightgcn_rank, rank, lightgcn_rank_init(&rank, LIGHTGCN_RANK_ABI));
    for (int32_t from = 0; from < users; from += ASK) {
        rank.dims.batch = users - from < ASK ? users - from : ASK;
        for (int32_t i = 0; i < rank.dims.batch; i++)
            ask[i] = from + i;
        rank.out.ids = best + (size_t)from * TOP;
        CHECK(lightgcn_rank, rank, lightgcn_rank_run(&rank));
    }
    double recall = 0, chance = 0;
    int judged = 0;
    for (int32_t u = 0; u < users; u++) {
        int hits = 0;
        for (int i = 0; i < TOP; i++) {
            int32_t item = best[u * TOP + i];
            if (has(&train, u, item))
                fail("an item was recommended that the user has");
            hits += has(&test, u, item);
        }
        int32_t held = test.start[u + 1] - test.start[u];
        if (held > 0) {
            recall += (double)hits / held;
            /* Twenty of the items that he has not, each as likely. */
            chance += (double)TOP / (items - (train.start[u + 1] - train.start[u]));
            judged++;
        }
        if (u < 3) {
            printf("user %d:", u);
            for (int i = 0; i < TOP; i++)
                printf(" %d", best[u * TOP + i]);
            printf("\n");
        }
    }
    printf("recall@%d %.4f guessing %.4f\n", TOP, recall / judged, chance / judged);
    if (!(recall > 2 * chance))
        fail("the lists are no better than guessing");

    void *all[] = {table, m, v, indptr, indices, user, pos, neg, step.workspace, user_rows, item_rows, embed.workspace, ask,
                   best, rank.workspace, train.start, train.items, test.start, test.items};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
    return 0;
}
