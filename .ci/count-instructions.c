/* A TCG plugin for qemu-user: how often each translated block of the guest ran, and
 * which instructions it is made of. `.ci/count-instructions` builds, loads and reads it.
 *
 *   qemu-aarch64 -plugin count-instructions.so,out=FILE ...
 *
 * The first line of FILE is the guest addresses at which the program's code (not that of
 * shared libraries) begins and ends; each other line is a block that ran: address, runs,
 * and its instruction words. All numbers are hexadecimal.
 *
 * Debian ships no qemu-plugin.h. What is used of it is declared here, as interface
 * version 1 (QEMU 6.0 to 8.2) has it; QEMU refuses a plugin whose version it lacks. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

typedef uint64_t plugin_id;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
typedef struct qemu_info qemu_info_t;
enum register_access { NO_REGISTERS };

void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, void (*)(plugin_id, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *, void (*)(unsigned, void *),
                                          enum register_access, void *);
void qemu_plugin_register_atexit_cb(plugin_id, void (*)(plugin_id, void *), void *);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *);
uint64_t qemu_plugin_start_code(void);
uint64_t qemu_plugin_end_code(void);

EXPORT int qemu_plugin_version = 1;

struct block {
    struct block *next;
    uint64_t address, runs;
    size_t length;
    uint32_t words[];
};

static struct block *blocks;
static FILE *out;

/* Guest threads run at once, so the additions are atomic. */
static void count(unsigned vcpu, void *block)
{
    (void)vcpu;
    __atomic_fetch_add(&((struct block *)block)->runs, 1, __ATOMIC_RELAXED);
}

/* A block that QEMU translates anew gets another record; the reader adds them up. */
static void translated(plugin_id id, struct qemu_plugin_tb *tb)
{
    (void)id;
    size_t length = qemu_plugin_tb_n_insns(tb);
    struct block *block = malloc(sizeof *block + length * sizeof block->words[0]);
    if (!block) {
        fputs("count-instructions: out of memory\n", stderr);
        exit(1);
    }
    block->address = qemu_plugin_tb_vaddr(tb);
    block->runs = 0;
    block->length = length;
    for (size_t i = 0; i < length; i++)
        memcpy(&block->words[i], qemu_plugin_insn_data(qemu_plugin_tb_get_insn(tb, i)), 4);
    block->next = __atomic_load_n(&blocks, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(&blocks, &block->next, block, 0, __ATOMIC_RELEASE,
                                        __ATOMIC_RELAXED))
        ;
    qemu_plugin_register_vcpu_tb_exec_cb(tb, count, NO_REGISTERS, block);
}

static void ended(plugin_id id, void *unused)
{
    (void)id, (void)unused;
    fprintf(out, "%" PRIx64 " %" PRIx64 "\n", qemu_plugin_start_code(), qemu_plugin_end_code());
    for (struct block *block = blocks; block; block = block->next) {
        if (!block->runs)
            continue;
        fprintf(out, "%" PRIx64 " %" PRIx64, block->address, block->runs);
        for (size_t i = 0; i < block->length; i++)
            fprintf(out, " %" PRIx32, block->words[i]);
        fputc('\n', out);
    }
    /* A full disk must not pass for a small count. */
    if (fclose(out)) {
        perror("count-instructions: the counts could not be written");
        _Exit(1);
    }
}

EXPORT int qemu_plugin_install(plugin_id id, const qemu_info_t *info, int argc, char **argv)
{
    (void)info;
    if (argc != 1 || strncmp(argv[0], "out=", 4)) {
        fputs("count-instructions: the one argument is out=FILE\n", stderr);
        return -1;
    }
    out = fopen(argv[0] + 4, "w");
    if (!out) {
        perror(argv[0] + 4);
        return -1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_atexit_cb(id, ended, NULL);
    return 0;
}
