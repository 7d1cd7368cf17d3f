/* Booting one sandbox; see the header. */

#include "sandbox_boot.h"

#include "sandbox_checkpoint.h"
#include "sandbox_cold.h"
#include "sandbox_crash.h"
#include "sandbox_net.h"
#include "sandbox_time.h"

#include <stdio.h>
#include <string.h>


/*
 * Boot checkpoints that are kept, each with a memory file: tenants choose the
 * sizes, so there is a bound.  Beyond it an unused checkpoint is removed; if
 * all are used, creates boot cold.
 */
#define SANDBOX_BOOT_SHAPES 16

/* Failures in a row after which a checkpoint is discarded. */
#define SANDBOX_BOOT_FAILURES 3


static sandbox_hv_status_t
sandbox_boot_guest_status(sandbox_guest_status_t status)
{
    switch (status) {
    case SANDBOX_GUEST_OK:
        return SANDBOX_HV_OK;
    case SANDBOX_GUEST_TIMEOUT:
        return SANDBOX_HV_TIMEOUT;
    default:
        return SANDBOX_HV_GUEST;
    }
}


/* The guest of which a boot checkpoint is made is up when its agent answers. */
static sandbox_hv_status_t
sandbox_boot_ready(void *data, sandbox_channel_t *channel, int64_t deadline_ms,
                   sandbox_hv_error_t *err)
{
    sandbox_guest_channel_t ch = { channel, sandbox_channel_write,
                                   sandbox_channel_read };

    (void) data;

    err->status = sandbox_boot_guest_status(sandbox_guest_sync(
        &ch, deadline_ms, err->message, sizeof(err->message)));

    return err->status;
}


/*
 * 1 if the lease holds and the deadline has not passed.  Else the address may
 * have been given back: no domain may be started with it.
 */
static int
sandbox_boot_may_start(sandbox_boot_t *boot)
{
    int64_t now;

    now = sandbox_time_monotonic_ms();

    if (now < boot->deadline_ms && now < *boot->holds_until_ms) {
        return 1;
    }

    boot->result.status = SANDBOX_HV_TIMEOUT;
    (void) snprintf(boot->result.message, sizeof(boot->result.message),
                    "the boot timeout or the lease has passed");
    return 0;
}


/*
 * Makes the shape's checkpoint, or waits for another boot that makes it.  Half
 * of the time is left for a cold boot if that takes too long.
 */
static sandbox_hv_status_t
sandbox_boot_make(sandbox_boot_t *boot)
{
    int64_t now;
    sandbox_hv_status_t status;
    sandbox_checkpoint_boot_t shape;

    now = sandbox_time_monotonic_ms();

    memset(&shape, 0, sizeof(shape));
    shape.id = boot->shape;
    shape.template = boot->template;
    shape.vcpus = boot->vcpus;
    shape.memory_mb = boot->memory_mb;
    shape.deadline_ms = now + (boot->deadline_ms - now) / 2;
    shape.max = SANDBOX_BOOT_SHAPES;
    shape.ready = sandbox_boot_ready;

    status = sandbox_checkpoint_boot(&shape, &boot->result);
    boot->made = shape.made;

    return status;
}


/*
 * A checkpoint that failed is not used for a while; after several failures in a
 * row it is discarded.
 */
static sandbox_hv_status_t
sandbox_boot_trust(sandbox_boot_t *boot)
{
    int failures;

    failures = sandbox_cold_failures(boot->shape, sandbox_time_monotonic_ms());

    if (failures < 0) {
        boot->result.status = SANDBOX_HV_NO_CHECKPOINT;
        boot->result.message[0] = '\0';

    } else if (failures >= SANDBOX_BOOT_FAILURES
               && sandbox_checkpoint_discard(boot->shape, &boot->result)
                      == SANDBOX_HV_OK)
    {
        sandbox_cold_forget(boot->shape);
        boot->discarded = 1;
    }

    return boot->result.status;
}


static sandbox_hv_status_t
sandbox_boot_checkpoint(sandbox_boot_t *boot, const sandbox_domain_spec_t *spec)
{
    if (sandbox_checkpoint_shape(boot->shape, boot->template, boot->vcpus,
                                 boot->memory_mb, &boot->result)
            != SANDBOX_HV_OK
        || sandbox_boot_trust(boot) != SANDBOX_HV_OK
        || sandbox_checkpoint_start(boot->shape, spec, boot->deadline_ms,
                                    &boot->times, &boot->result)
               != SANDBOX_HV_NO_CHECKPOINT)
    {
        return boot->result.status;
    }

    if (sandbox_boot_make(boot) != SANDBOX_HV_OK
        || !sandbox_boot_may_start(boot)) {
        return boot->result.status;
    }

    return sandbox_checkpoint_start(boot->shape, spec, boot->deadline_ms,
                                    &boot->times, &boot->result);
}


/* 1 if a cold boot may do what a checkpoint could not. */
static int
sandbox_boot_falls_back(const sandbox_boot_t *boot)
{
    int64_t now;

    switch (boot->result.status) {
    case SANDBOX_HV_OK:
    case SANDBOX_HV_UNAVAILABLE:
    case SANDBOX_HV_NO_CAPACITY:
    case SANDBOX_HV_NETWORK:
        return 0;

    default:
        break;
    }

    now = sandbox_time_monotonic_ms();

    /* without the lease: the new owner may have made the start fail */
    return now < boot->deadline_ms && now < *boot->holds_until_ms;
}


static sandbox_hv_status_t
sandbox_boot_start(sandbox_boot_t *boot, const sandbox_domain_spec_t *spec)
{
    if (boot->checkpoint) {
        boot->way = SANDBOX_BOOT_CHECKPOINT;
        return sandbox_checkpoint_start(boot->checkpoint, spec,
                                        boot->deadline_ms, &boot->times,
                                        &boot->result);
    }

    if (boot->checkpoints) {
        boot->way = SANDBOX_BOOT_CHECKPOINT;
        (void) sandbox_boot_checkpoint(boot, spec);

        if (!sandbox_boot_falls_back(boot)) {
            return boot->result.status;
        }

        (void) snprintf(boot->reason, sizeof(boot->reason), "%s",
                        boot->result.message);
    }

    boot->way = boot->checkpoints ? SANDBOX_BOOT_FALLBACK : SANDBOX_BOOT_COLD;

    if (sandbox_hypervisor_boot(spec, &boot->times, &boot->result)
            == SANDBOX_HV_OK
        && boot->reason[0]
        && sandbox_time_monotonic_ms() < *boot->holds_until_ms)
    {
        sandbox_cold_failed(boot->shape, sandbox_time_monotonic_ms());
    }

    return boot->result.status;
}


static int
sandbox_boot_network(sandbox_boot_t *boot, sandbox_network_t *network)
{
    memset(network, 0, sizeof(*network));
    sandbox_network_name(network, boot->bridge, boot->address);

    if (sandbox_policy_parse(&network->policy, boot->internet, boot->allow_out,
                             boot->deny_out)
        == 0)
    {
        return 0;
    }

    boot->result.status = SANDBOX_HV_FAILED;
    (void) snprintf(
        boot->result.message, sizeof(boot->result.message),
        "the egress policy in the record of \"%s\" cannot be parsed", boot->id);

    return -1;
}


static sandbox_hv_status_t
sandbox_boot_domain(sandbox_boot_t *boot, const sandbox_network_t *network)
{
    int64_t start;
    sandbox_domain_spec_t spec;

    memset(&spec, 0, sizeof(spec));
    spec.id = boot->id;
    spec.tenant = boot->tenant;
    spec.operation = boot->operation;
    spec.mac = network->mac;
    spec.tap = network->tap;
    spec.network = network;
    spec.vcpus = boot->vcpus;
    spec.memory_mb = boot->memory_mb;
    spec.disk_mb = boot->disk_mb;
    spec.template = boot->template;

    start = sandbox_time_monotonic_ms();
    (void) sandbox_boot_start(boot, &spec);

    if (boot->way != SANDBOX_BOOT_COLD) {
        boot->checkpoint_ms = sandbox_time_monotonic_ms() - start
                              - boot->times.disk_ms - boot->times.domain_ms;
    }

    return boot->result.status;
}


/*
 * Notes whether the guest of a boot checkpoint came up.  A refusal by the guest
 * is no failure of the checkpoint, nor is a guest that ended after the lease.
 */
static void
sandbox_boot_judge(sandbox_boot_t *boot, sandbox_guest_status_t status)
{
    int64_t now;

    now = sandbox_time_monotonic_ms();

    if (status == SANDBOX_GUEST_OK) {
        sandbox_cold_forget(boot->shape);

    } else if (status != SANDBOX_GUEST_REFUSED && now < *boot->holds_until_ms) {
        sandbox_cold_failed(boot->shape, now);
        (void) snprintf(boot->reason, sizeof(boot->reason), "%s",
                        boot->result.message);
    }
}


static void
sandbox_boot_guest(sandbox_boot_t *boot, const sandbox_network_t *network,
                   sandbox_channel_t *channel)
{
    char ip[16], address[24], gateway[16], mac[18];
    char hostname[SANDBOX_ID_SIZE];
    char *p;
    sandbox_guest_config_t conf;
    sandbox_guest_status_t status;
    sandbox_guest_channel_t ch = { channel, sandbox_channel_write,
                                   sandbox_channel_read };

    sandbox_net_mac(mac, boot->address);
    sandbox_net_ipv4(ip, boot->address);
    sandbox_net_ipv4(gateway, boot->gateway);
    (void) snprintf(address, sizeof(address), "%s/%u", ip, boot->prefix);

    /* host names must not contain "_" */
    (void) snprintf(hostname, sizeof(hostname), "%s", boot->id);
    p = strchr(hostname, '_');
    if (p) {
        *p = '-';
    }

    memset(&conf, 0, sizeof(conf));
    conf.hostname = hostname;
    conf.mac = mac;
    conf.address = address;
    conf.gateway = gateway;
    conf.dns = boot->dns;
    conf.token = boot->agent_token;
    conf.envs = boot->envs;
    conf.cwd = boot->cwd;

    if (boot->cwd == NULL && boot->template) {
        conf.cwd = boot->template->workdir;
    }

    conf.grow_disk =
        boot->checkpoint == NULL && boot->disk_mb > boot->template->disk_mb;

    status = sandbox_guest_bootstrap(&ch, &conf, boot->deadline_ms,
                                     boot->result.message,
                                     sizeof(boot->result.message));
    boot->result.status = sandbox_boot_guest_status(status);

    if (boot->checkpoint) {
        /* the network comes last: the guest had another address before */
        if (boot->result.status == SANDBOX_HV_OK) {
            (void) sandbox_hypervisor_connect(boot->id, network, &boot->result);
        }

    } else if (boot->way == SANDBOX_BOOT_CHECKPOINT) {
        sandbox_boot_judge(boot, status);
    }
}


void
sandbox_boot(sandbox_boot_t *boot)
{
    int64_t now;
    sandbox_channel_t *channel;
    sandbox_network_t network;

    now = sandbox_time_monotonic_ms();
    boot->queue_ms = now - boot->asked_ms;

    if (!sandbox_boot_may_start(boot)
        || sandbox_boot_network(boot, &network) != 0
        || sandbox_boot_domain(boot, &network) != SANDBOX_HV_OK)
    {
        return;
    }

    now = sandbox_time_monotonic_ms();

    SANDBOX_CRASH_POINT("boot.channel.before");

    if (sandbox_channel_open(&channel, boot->id, &boot->result)
        != SANDBOX_HV_OK) {
        return;
    }

    SANDBOX_CRASH_POINT("boot.channel.after");
    sandbox_boot_guest(boot, &network, channel);
    SANDBOX_CRASH_POINT("boot.guest.after");
    sandbox_channel_close(channel);
    boot->guest_ms = sandbox_time_monotonic_ms() - now;
}
