/*
 * Lists files in the directory of disks that nothing needs, and removes them
 * on demand.  Knows the VM engine and nothing else; scripts/sandbox-scrub tells
 * it which checkpoints have a record.
 */

#include "sandbox_storage.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct {
    char (*ids)[SANDBOX_ID_SIZE];
    size_t n;
} scrub_known_t;

typedef struct {
    int all;
    int remove;
    int records; /* known holds all checkpoints that have one */
    scrub_known_t known;
    int64_t grace_ms;
    sandbox_hypervisor_conf_t conf;
} scrub_t;


static void
scrub_usage(FILE *out)
{
    (void) fprintf(
        out,
        "Usage: sandbox-scrub-disks [--remove] [--all] [--data-dir DIR]\n"
        "                     [--uri URI] [--older SECONDS] [--records -]\n"
        "\n"
        "  --remove         removes what is listed as spare\n"
        "  --all            lists also what is needed\n"
        "  --data-dir DIR   (default: /var/lib/nginx-sandbox)\n"
        "  --uri URI        of libvirt (default: qemu:///system)\n"
        "  --older SECONDS  spares files that changed within that time "
        "(default: 600)\n"
        "  --records -      checkpoints that have a record, a line each\n");
}


static void
scrub_log(int level, const char *message)
{
    (void) level;
    (void) fprintf(stderr, "sandbox-scrub: %s\n", message);
}


static int
scrub_failed(const sandbox_hv_error_t *err)
{
    (void) fprintf(stderr, "sandbox-scrub: %s\n", err->message);
    return 1;
}


/* Reads ids, one a line, from standard input; 0, or -1 if that failed. */
static int
scrub_read(scrub_known_t *known)
{
    size_t len;
    char line[256];
    char(*ids)[SANDBOX_ID_SIZE];

    while (fgets(line, sizeof(line), stdin)) {
        len = strcspn(line, "\r\n");
        line[len] = '\0';

        if (len == 0 || len >= SANDBOX_ID_SIZE) {
            continue;
        }

        ids = realloc(known->ids, (known->n + 1) * sizeof(*ids));
        if (ids == NULL) {
            return -1;
        }

        known->ids = ids;
        (void) snprintf(ids[known->n++], SANDBOX_ID_SIZE, "%.*s",
                        SANDBOX_ID_SIZE - 1, line);
    }

    return ferror(stdin) ? -1 : 0;
}


static int
scrub_is_known(void *data, const char *id)
{
    size_t i;
    const scrub_known_t *known = data;

    for (i = 0; i < known->n; i++) {
        if (strcmp(known->ids[i], id) == 0) {
            return 1;
        }
    }

    return 0;
}


static void
scrub_print(const sandbox_storage_file_t *file)
{
    static const char *const needs[] = { "needed", "young", "spare" };

    (void) printf("%-6s %10.1f MiB  %s  (%s%s%s)\n", needs[file->need],
                  (double) file->bytes / 1048576, file->name, file->why,
                  file->by[0] ? " " : "", file->by);
}


static sandbox_hv_status_t
scrub_list(const scrub_t *options, sandbox_storage_file_t **list, size_t *n,
           sandbox_hv_error_t *err)
{
    sandbox_storage_look_t look;

    memset(&look, 0, sizeof(look));
    look.grace_ms = options->grace_ms;

    if (options->records) {
        look.known = scrub_is_known;
        look.data = (void *) &options->known;
    }

    if (sandbox_storage_list(&look, list, n, err) == SANDBOX_HV_OK
        && look.unsettled)
    {
        (void) fprintf(stderr,
                       "sandbox-scrub: a sandbox is being taken: its disk "
                       "cannot be told from others, try again\n");
    }

    return err->status;
}


/*
 * Removes states of checkpoints first, and nothing else if one of them stays:
 * other files may be parts of it.
 */
static int
scrub_remove(const sandbox_storage_file_t *list, size_t n)
{
    int rc, states;
    size_t i;
    sandbox_hv_error_t err;

    rc = 0;

    for (states = 1; states >= 0 && rc == 0; states--) {
        for (i = 0; i < n; i++) {
            if (list[i].need == SANDBOX_STORAGE_SPARE
                && (list[i].kind == SANDBOX_STORAGE_STATE) == states
                && sandbox_storage_remove(&list[i], &err) != SANDBOX_HV_OK)
            {
                rc = scrub_failed(&err);
            }
        }
    }

    return rc;
}


static int
scrub(const scrub_t *options)
{
    int rc;
    size_t i, n, count;
    int64_t bytes;
    sandbox_hv_error_t err;
    sandbox_storage_file_t *list;

    if (scrub_list(options, &list, &n, &err) != SANDBOX_HV_OK) {
        return scrub_failed(&err);
    }

    bytes = 0;
    count = 0;

    for (i = 0; i < n; i++) {
        if (list[i].need == SANDBOX_STORAGE_SPARE) {
            bytes += list[i].bytes;
            count++;
        }

        if (list[i].need == SANDBOX_STORAGE_SPARE || options->all) {
            scrub_print(&list[i]);
        }
    }

    rc = options->remove ? scrub_remove(list, n) : 0;
    free(list);

    (void) printf("%zu %s, %.1f MiB%s\n", count, count == 1 ? "file" : "files",
                  (double) bytes / 1048576,
                  rc                ? ""
                  : options->remove ? " removed"
                                    : " could be removed");
    return rc;
}


/* 0, or an exit code plus one. */
static int
scrub_arguments(scrub_t *options, int argc, char **argv)
{
    int i;
    const char *name, *value;

    for (i = 1; i < argc; i++) {
        name = argv[i];

        if (strcmp(name, "--remove") == 0) {
            options->remove = 1;
            continue;
        }

        if (strcmp(name, "--all") == 0) {
            options->all = 1;
            continue;
        }

        if (strcmp(name, "--help") == 0) {
            scrub_usage(stdout);
            return 1;
        }

        value = i + 1 < argc ? argv[++i] : NULL;

        if (value && strcmp(name, "--data-dir") == 0) {
            options->conf.data_dir = value;
        } else if (value && strcmp(name, "--uri") == 0) {
            options->conf.uri = value;
        } else if (value && strcmp(name, "--older") == 0
                   && value[strspn(value, "0123456789")] == '\0'
                   && strlen(value) < 10)
        {
            options->grace_ms = atoll(value) * 1000;
        } else if (value && strcmp(name, "--records") == 0
                   && strcmp(value, "-") == 0) {
            options->records = 1;
        } else {
            scrub_usage(stderr);
            return 3;
        }
    }

    return 0;
}


int
main(int argc, char **argv)
{
    int rc;
    char disks[1024];
    scrub_t options;

    memset(&options, 0, sizeof(options));
    options.grace_ms = 600000;
    options.conf.uri = "qemu:///system";
    options.conf.data_dir = "/var/lib/nginx-sandbox";
    options.conf.node = "";
    options.conf.bridge = "";
    options.conf.accel = SANDBOX_ACCEL_TCG; /* starts nothing, probes nothing */

    rc = scrub_arguments(&options, argc, argv);
    if (rc) {
        return rc - 1;
    }

    if (options.records && scrub_read(&options.known) != 0) {
        (void) fprintf(stderr, "sandbox-scrub: the records cannot be read\n");
        return 1;
    }

    /* libvirt would make the directory if it were missing */
    (void) snprintf(disks, sizeof(disks), "%s/disks", options.conf.data_dir);

    if (access(disks, R_OK | X_OK) == -1) {
        (void) fprintf(stderr, "sandbox-scrub: %s: %s\n", disks,
                       strerror(errno));
        return 1;
    }

    (void) signal(SIGPIPE, SIG_IGN);

    if (sandbox_hypervisor_start(&options.conf, scrub_log) != 0) {
        (void) fprintf(stderr, "sandbox-scrub: libvirt does not start\n");
        return 1;
    }

    rc = scrub(&options);

    sandbox_hypervisor_stop();
    free(options.known.ids);

    return rc;
}
