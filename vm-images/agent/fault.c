/* Errors of files as answers; see the header. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fault.h"
#include "worker.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const struct {
    int err;
    unsigned status;
    const char *code;
    const char *message;
    const char *reason;
} faults[] = {
    { ENOENT, 404, "not_found", "There is no such file or directory." },
    { ENOTDIR, 409, "conflict", "A part of the path is not a directory." },
    { EISDIR, 409, "conflict", "The path is a directory." },
    { EINVAL, 409, "conflict", "The path is neither a file nor a directory." },
    { ELOOP, 409, "conflict", "The path leads through links to nowhere." },
    { EEXIST, 409, "conflict", "The path is taken." },
    { ENOTEMPTY, 409, "conflict", "The directory is not empty." },
    { ENOSPC, 409, "conflict", "There is no space left on the disk." },
    { EDQUOT, 409, "conflict", "There is no space left on the disk." },
    { EXDEV, 409, "conflict", "The paths are on different file systems." },
    { EBUSY, 409, "conflict",
      "The path is in use, for example as a mount point." },
    { ENAMETOOLONG, 400, "invalid_request", "A path or name is too long.",
      "is too long for its file system, or leads to a path that is" },
    { ENOMEM, 503, "capacity_exceeded", "The sandbox is out of memory." },
    { EMFILE, 503, "capacity_exceeded",
      "The sandbox has too many open files." },
    { ENFILE, 503, "capacity_exceeded",
      "The sandbox has too many open files." },
    { ETIME, 503, "capacity_exceeded",
      "Another change of the directory takes too long." },
};


void
agent_fault(agent_fault_t *fault, int err)
{
    size_t i;

    for (i = 0; i < COUNT(faults); i++) {
        if (faults[i].err == err) {
            fault->status = faults[i].status;
            fault->code = faults[i].code;
            fault->reason = faults[i].reason;
            snprintf(fault->message, sizeof(fault->message), "%s",
                     faults[i].message);
            return;
        }
    }

    fault->status = 409;
    fault->reason = NULL;
    fault->code = "conflict";
    snprintf(fault->message, sizeof(fault->message),
             "The file system refuses this: %s.", strerror(err));
}


void
agent_http_fault(agent_request_t *r, int err, const char *field)
{
    agent_fault_t fault;

    agent_fault(&fault, err);
    agent_http_error(r, fault.status, fault.code, fault.message,
                     fault.reason ? field : NULL, fault.reason);
}


void
agent_worker_fault_at(int peer, int err, const char *field)
{
    agent_fault_t fault;

    agent_fault(&fault, err);
    agent_worker_error(peer, fault.status, fault.code,
                       fault.reason ? field : NULL, fault.reason, "%s",
                       fault.message);
}


void
agent_worker_fault(int peer, int err)
{
    agent_worker_fault_at(peer, err, "path");
}
