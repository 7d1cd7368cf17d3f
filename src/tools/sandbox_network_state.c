/* Files and elements of admitted guests; see the header. */

#include "sandbox_network_state.h"

#include "sandbox_network_rules.h"

#include <nftables/libnftables.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define STATE_LOCK "lock"
#define STATE_NEW ".new"
#define STATE_FILE_MAX 16384

static int state_dir = -1;
static int state_lock = -1;


static int
state_failed(const char *what, const char *name)
{
    (void) fprintf(stderr, "sandbox-network: cannot %s %s/%s: %s\n", what,
                   SANDBOX_NETWORK_DIR, name, strerror(errno));
    return -1;
}


/*
 * Only who knows the name of a file may read it: QEMU does, of its own, and
 * names end in what cannot be guessed.  Whatever the umask is.
 */
static void
state_make(const char *path)
{
    if (mkdir(path, 0711) == 0) {
        (void) chmod(path, 0711);
    }
}


static int
state_open(void)
{
    state_make(SANDBOX_NETWORK_RUN);
    state_make(SANDBOX_NETWORK_DIR);

    state_dir = open(SANDBOX_NETWORK_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    return state_dir == -1 ? state_failed("open", "") : 0;
}


int
network_lock(void)
{
    if (state_dir == -1 && state_open() != 0) {
        return -1;
    }

    state_lock =
        openat(state_dir, STATE_LOCK, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (state_lock == -1) {
        return state_failed("open", STATE_LOCK);
    }

    while (flock(state_lock, LOCK_EX) == -1) {
        if (errno != EINTR) {
            (void) state_failed("lock", STATE_LOCK);
            network_unlock();
            return -1;
        }
    }

    return 0;
}


void
network_unlock(void)
{
    (void) close(state_lock);
    state_lock = -1;
}


/* Runs commands of nft as one transaction; its words go to *words. */
static int
state_run(const sandbox_text_t *commands, sandbox_text_t *words)
{
    int rc;
    struct nft_ctx *nft;

    if (sandbox_text_failed(commands)) {
        return -1;
    }

    if (commands->len == 0) {
        return 0;
    }

    nft = nft_ctx_new(NFT_CTX_DEFAULT);
    if (nft == NULL) {
        return -1;
    }

    rc = -1;

    if (nft_ctx_buffer_output(nft) == 0 && nft_ctx_buffer_error(nft) == 0) {
        rc = nft_run_cmd_from_buffer(nft, commands->data) == 0 ? 0 : -1;
    }

    if (rc != 0 && words) {
        sandbox_text_fmt(words, "%.400s", nft_ctx_get_error_buffer(nft));
    }

    nft_ctx_free(nft);
    return rc;
}


static int
state_read(network_guest_t *guest, const char *name)
{
    int fd, rc;
    char *text;
    ssize_t n;
    struct stat st;

    text = malloc(STATE_FILE_MAX);
    fd = openat(state_dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    rc = -1;

    if (text && fd != -1 && fstat(fd, &st) == 0) {
        n = read(fd, text, STATE_FILE_MAX);

        if (n > 0 && n < STATE_FILE_MAX) {
            rc = sandbox_network_read(&guest->network, NULL, text, (size_t) n)
                         == 1
                     ? 0
                     : -1;
            guest->seconds = st.st_mtim.tv_sec;
        }
    }

    if (fd != -1) {
        (void) close(fd);
    }

    free(text);
    return rc;
}


/* The uuid in the name of a guest's file, or NULL. */
static const char *
state_uuid(const char *name)
{
    const char *dot;

    dot = strchr(name, '.');

    return dot && strlen(dot + 1) == SANDBOX_UUID_SIZE - 1 ? dot + 1 : NULL;
}


/* A directory stream of our own; NULL with a line on standard error. */
static DIR *
state_files(void)
{
    int fd;
    DIR *files;

    fd = openat(state_dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    files = fd == -1 ? NULL : fdopendir(fd);

    if (files == NULL) {
        (void) state_failed("read", "");

        if (fd != -1) {
            (void) close(fd);
        }
    }

    return files;
}


int
network_list(network_guest_t **guests, size_t *n)
{
    DIR *files;
    size_t size;
    const char *uuid;
    struct dirent *entry;
    network_guest_t *more;

    *guests = NULL;
    *n = size = 0;

    files = state_files();
    if (files == NULL) {
        return -1;
    }

    while ((entry = readdir(files)) != NULL) {
        uuid = state_uuid(entry->d_name);
        if (uuid == NULL) {
            continue;
        }

        if (*n == size) {
            size = size ? size * 2 : 64;
            more = realloc(*guests, size * sizeof(**guests));

            if (more == NULL) {
                (void) closedir(files);
                free(*guests);
                return state_failed("read", "");
            }

            *guests = more;
        }

        if (state_read(&(*guests)[*n], entry->d_name) != 0) {
            (void) fprintf(stderr, "sandbox-network: %s/%s is odd: removed\n",
                           SANDBOX_NETWORK_DIR, entry->d_name);
            (void) unlinkat(state_dir, entry->d_name, 0);
            continue;
        }

        memcpy((*guests)[*n].uuid, uuid, SANDBOX_UUID_SIZE);
        (*n)++;
    }

    (void) closedir(files);
    return 0;
}


int
network_rebuild(const char *bridge)
{
    int rc;
    size_t i, n;
    network_guest_t *guests;
    sandbox_network_t *networks;
    sandbox_text_t commands = SANDBOX_TEXT_INIT, words = SANDBOX_TEXT_INIT;

    if (network_list(&guests, &n) != 0) {
        return -1;
    }

    networks = malloc((n + 1) * sizeof(*networks));

    for (i = 0; networks && i < n; i++) {
        networks[i] = guests[i].network;
    }

    free(guests);

    if (networks == NULL) {
        return -1;
    }

    network_rules_all(&commands, networks, n, bridge);
    free(networks);

    rc = state_run(&commands, &words);

    if (rc != 0) {
        (void) fprintf(stderr,
                       "sandbox-network: the rules of the guests cannot be "
                       "set; has \"host-network up\" run? %s\n",
                       words.data ? words.data : "");
    }

    sandbox_text_free(&words);
    sandbox_text_free(&commands);

    return rc;
}


/* From the one to the other, each may be NULL; the files are written. */
static int
state_change(const sandbox_network_t *old, const sandbox_network_t *wanted)
{
    int rc;
    sandbox_text_t commands = SANDBOX_TEXT_INIT;

    network_rules_change(&commands, old, wanted);
    rc = state_run(&commands, NULL);
    sandbox_text_free(&commands);

    if (rc == 0) {
        return 0;
    }

    return network_rebuild(wanted ? wanted->bridge : old->bridge);
}


static int
state_write(const sandbox_network_t *network, const char *uuid)
{
    int fd, rc;
    char *xml, name[SANDBOX_NETWORK_PATH_SIZE];
    size_t len;

    sandbox_network_file(name, network->tap, uuid);

    xml = sandbox_network_xml(network);
    if (xml == NULL) {
        errno = ENOMEM;
        return state_failed("write", name);
    }

    rc = -1;
    len = strlen(xml);
    fd = openat(state_dir, STATE_NEW,
                O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);

    if (fd != -1) {
        if (fchmod(fd, 0644) == 0 && write(fd, xml, len) == (ssize_t) len
            && renameat(state_dir, STATE_NEW, state_dir, name) == 0)
        {
            rc = 0;
        }

        (void) close(fd);
    }

    free(xml);
    return rc == 0 ? 0 : state_failed("write", name);
}


/* Removes the files of others with this tap; their number, or -1. */
static int
state_evict(const char *tap, const char *uuid)
{
    int n;
    DIR *files;
    size_t len;
    struct dirent *entry;

    files = state_files();
    if (files == NULL) {
        return -1;
    }

    n = 0;
    len = strlen(tap);

    while ((entry = readdir(files)) != NULL) {
        if (strncmp(entry->d_name, tap, len) == 0 && entry->d_name[len] == '.'
            && strcmp(entry->d_name + len + 1, uuid) != 0)
        {
            (void) unlinkat(state_dir, entry->d_name, 0);
            n++;
        }
    }

    (void) closedir(files);
    return n;
}


int
network_admit(const sandbox_network_t *network, const char *uuid)
{
    int rc, evicted;
    char name[SANDBOX_NETWORK_PATH_SIZE];

    evicted = state_evict(network->tap, uuid);

    if (evicted == -1 || state_write(network, uuid) != 0) {
        return -1;
    }

    /* what is in the kernel of the other one is known to nobody */
    rc = evicted ? network_rebuild(network->bridge)
                 : state_change(NULL, network);

    if (evicted && rc == 0) {
        rc = network_forget_flows(network->address);
    }

    if (rc != 0) {
        sandbox_network_file(name, network->tap, uuid);
        (void) unlinkat(state_dir, name, 0);
    }

    return rc;
}


int
network_expel(const char *tap, const char *uuid)
{
    int rc;
    char name[SANDBOX_NETWORK_PATH_SIZE];
    network_guest_t guest;

    sandbox_network_file(name, tap, uuid);

    if (state_read(&guest, name) != 0) {
        return 0;
    }

    if (unlinkat(state_dir, name, 0) == -1 && errno != ENOENT) {
        return state_failed("remove", name);
    }

    rc = state_change(&guest.network, NULL);

    return network_forget_flows(guest.network.address) == 0 ? rc : -1;
}


int
network_alter(const network_guest_t *guest, const sandbox_network_t *wanted)
{
    sandbox_network_t network;

    /* a policy moves nobody */
    network = guest->network;
    network.generation = wanted->generation;
    network.policy = wanted->policy;

    if (state_write(&network, guest->uuid) != 0) {
        return -1;
    }

    if (state_change(&guest->network, &network) == 0) {
        return 0;
    }

    (void) state_write(&guest->network, guest->uuid);
    return -1;
}
